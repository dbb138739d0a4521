//! The kinds of things a node has lists of: what is shown of each, and what it is found by.

use time::OffsetDateTime;

use crate::output::{Cell, Tone, human};

mod connections;
mod ends;
mod limits;
mod mesh;
mod node;
mod pods;
mod tunnels;

pub(crate) use connections::{Ended, Recent};
pub(crate) use ends::{called, caller, direction, protocol};
pub(crate) use mesh::{Policy, Service, Workload};

/// How long ago a moment was, in order of that; as it was written, when it is none.
pub(super) fn since(moment: &str, now: OffsetDateTime) -> Cell {
    human::seconds_since(moment, now)
        .map_or_else(|| Cell::text(moment), |seconds| Cell::sorted(human::ago(seconds), seconds.into()))
}

/// A number of bytes, in order of that.
pub(super) fn size(bytes: u64) -> Cell {
    Cell::sorted(human::size(bytes), bytes.into())
}

/// A number of milliseconds, in order of that.
pub(super) fn milliseconds(milliseconds: u64) -> Cell {
    let shown = human::lasting(std::time::Duration::from_millis(milliseconds));
    Cell::sorted(shown, milliseconds.into())
}

/// A number that should be nought.
pub(super) fn unwanted(number: u64) -> Cell {
    Cell::number(number).in_tone(if number == 0 { Tone::Plain } else { Tone::Warning })
}

/// A round trip time in microseconds, in order of that.
pub(super) fn round_trip(socket: Option<&culvert_api::Socket>) -> Cell {
    let shown = |microseconds| Cell::sorted(human::round_trip(microseconds), microseconds.into());
    socket.map_or_else(Cell::nothing, |socket| shown(socket.rtt_microseconds))
}

/// Segments that were sent again.
pub(super) fn retransmits(socket: Option<&culvert_api::Socket>) -> Cell {
    socket.map_or_else(Cell::nothing, |socket| unwanted(socket.retransmits))
}
