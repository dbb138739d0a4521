//! SETTINGS (RFC 9113 §6.5): what the peer allows us.

use serde::{Deserialize, Serialize};

use super::{Code, frame};
use crate::tunnel::Fault;

pub(super) const HEADER_TABLE_SIZE: u16 = 1;
pub(super) const ENABLE_PUSH: u16 = 2;
pub(super) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(super) const INITIAL_WINDOW_SIZE: u16 = 4;
pub(super) const MAX_FRAME_SIZE: u16 = 5;
pub(super) const MAX_HEADER_LIST_SIZE: u16 = 6;

/// Of those set aside for experiments (RFC 9113 §11.3): the server takes DATA before it has answered a request. Whoever does not
/// know it ignores it.
pub(super) const EARLY_DATA: u16 = 0xf0c0;

/// The window of the connection, and of every stream until the peer says otherwise (RFC 9113 §6.9.2).
pub(super) const DEFAULT_WINDOW: u32 = 65_535;

/// What the peer has set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Settings {
    /// Streams we may open at a time; `None` until it says.
    pub(super) streams: Option<u32>,
    /// The window of a new stream.
    pub(super) window: u32,
    /// The payload of a frame.
    pub(super) frame: u32,
    /// It takes data before it has answered.
    pub(super) early: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { streams: None, window: DEFAULT_WINDOW, frame: frame::DEFAULT_MOST, early: false }
    }
}

impl Settings {
    /// Takes the payload of a SETTINGS frame.
    pub(super) fn take(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let (settings, []) = payload.as_chunks::<6>() else {
            return Err(fault(Code::FRAME_SIZE_ERROR, "a SETTINGS frame that is not whole settings"));
        };
        for &[i0, i1, v0, v1, v2, v3] in settings {
            self.set(u16::from_be_bytes([i0, i1]), u32::from_be_bytes([v0, v1, v2, v3]))?;
        }
        Ok(())
    }

    fn set(&mut self, id: u16, value: u32) -> Result<(), Fault> {
        match id {
            ENABLE_PUSH if value > 1 => {
                return Err(fault(Code::PROTOCOL_ERROR, "SETTINGS_ENABLE_PUSH is neither 0 nor 1"));
            }
            MAX_CONCURRENT_STREAMS => self.streams = Some(value),
            INITIAL_WINDOW_SIZE if value > 0x7fff_ffff => {
                return Err(fault(Code::FLOW_CONTROL_ERROR, "SETTINGS_INITIAL_WINDOW_SIZE above 2^31-1"));
            }
            INITIAL_WINDOW_SIZE => self.window = value,
            MAX_FRAME_SIZE if !(frame::DEFAULT_MOST..=frame::LARGEST).contains(&value) => {
                return Err(fault(Code::PROTOCOL_ERROR, "SETTINGS_MAX_FRAME_SIZE outside 2^14 to 2^24-1"));
            }
            MAX_FRAME_SIZE => self.frame = value,
            EARLY_DATA => self.early = value == 1,
            // The table of our encoder is empty whatever the peer allows; the rest we do not make use of.
            _ => {}
        }
        Ok(())
    }
}

fn fault(code: Code, what: &'static str) -> Fault {
    Fault::Http2 { code, what }
}
