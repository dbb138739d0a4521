//! A peer that follows a script, frame by frame, against a connection of ours.

mod script;
pub(in crate::tunnel) mod wire;

mod closed;
mod fields;
mod floods;
mod frames;
mod goaway;
mod liveness;
mod opening;
mod padding;
mod receiving;
mod rounds;
mod sending;
mod share;

use super::*;
use script::Script;
use wire::*;

/// What our end allows in most tests.
const LIMITS: Limits = Limits {
    streams: 16,
    stream_window: 256 * 1024,
    connection_window: 1024 * 1024,
    frame: 16_384,
    fields: 1024,
};

/// The window every stream has at first, with these limits.
const INITIAL: u32 = 26_214;
