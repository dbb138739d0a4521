//! What is noted of a connection so that its end can be explained: who ended it, and in what state the network was.
//!
//! The application's socket is asked once, at the end. The tunnel's is asked at most every [`FRESH`], however many connections begin and
//! end on it.

use std::time::{Duration, Instant};

use culvert_core::tunnel::http2::Role;
use culvert_sys::tcp::{self, Info};

use super::Driver;
use super::leg::Carried;
use super::wire::Wire;
use crate::stream::Side;

/// How old what is known of the tunnel's socket may be.
const FRESH: Duration = Duration::from_millis(100);

/// The last answer of the kernel, and when that was.
#[derive(Debug, Default)]
pub(super) struct LastInfo(Option<(Instant, Info)>);

/// The side of a connection whose application is at this end.
pub(super) fn near(role: Role) -> Side {
    match role {
        Role::Client => Side::Client,
        Role::Server => Side::Server,
    }
}

impl Wire {
    /// What the kernel knows of the tunnel's socket, or knew a moment ago; nothing when that is a pipe.
    fn info(&mut self, now: Instant) -> Option<Info> {
        if let Some((at, info)) = self.last.0
            && now.saturating_duration_since(at) < FRESH
        {
            return Some(info);
        }
        let info = tcp::info(self.socket.tcp()?).ok()?;
        self.last = LastInfo(Some((now, info)));
        Some(info)
    }
}

impl Driver {
    /// A connection begins on the tunnel.
    pub(super) fn note_beginning(&mut self, carried: &Carried) {
        if let Some(info) = self.wire.info(Instant::now()) {
            carried.moved.begin_after(info.retransmits);
        }
    }

    /// A connection is about to be closed.
    pub(super) fn note_end(&mut self, carried: &Carried) {
        let near = carried.socket.tcp().and_then(|socket| tcp::info(socket).ok());
        carried.moved.part(near, self.wire.info(Instant::now()));
    }
}
