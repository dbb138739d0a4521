//! One connection of a tunnel: the application's socket, and what is known of its two directions.
//!
//! ```text
//!   sending     waiting ──answered──▶ reading ──FIN──▶ over            application ─▶ stream
//!   receiving   writing ──END_STREAM──▶ emptying ──all written, FIN sent──▶ over      stream ─▶ application
//! ```

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use culvert_core::tunnel::http2::{Fields, StreamId};
use culvert_sys::stream;
use tokio::io::Interest;
use tokio::sync::oneshot;

use super::attempt;
use super::backlog::Backlog;
use crate::limits::Exceeded;
use crate::stream::{Broken, Early, Moved};
use crate::tunnel::inbox::{Carry, Offered, Ticket, Unopened};
use crate::tunnel::socket::Socket;
use crate::waiting::Waiting;

/// One connection.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) stream: StreamId,
    /// `None`: the peer asked for a stream that nobody has accepted yet.
    pub(super) carried: Option<Carried>,
    /// Tells whoever serves such a stream that the peer has taken it back: by being dropped.
    offered: Option<Offered>,
    /// What came and was not taken yet.
    pub(super) backlog: Backlog,
    /// The peer has sent all.
    pub(super) peer_ended: bool,
    waker: Waker,
}

/// A connection that is carried.
#[derive(Debug)]
pub(super) struct Carried {
    pub(super) socket: Socket,
    pub(super) ticket: Ticket,
    pub(super) moved: Arc<Moved>,
    pub(super) done: oneshot::Sender<Result<(), Early>>,
    pub(super) asked: Option<Asked>,
    /// What was read and must be sent first: to another peer than it was read for, or perhaps again.
    pub(super) said: Vec<u8>,
    /// How much of it was sent.
    pub(super) sent: usize,
    /// There may be something to read.
    pub(super) readable: bool,
    /// The application takes no more at present.
    pub(super) blocked: bool,
    /// It waits for its turn.
    pub(super) queued: bool,
    /// The stream's window is used up.
    pub(super) stalled: bool,
    pub(super) sending_over: bool,
    pub(super) receiving_over: bool,
    /// The application takes nothing any more: until then it may still speak.
    pub(super) broken: Option<Broken>,
    /// How much to read at a time: what it had to say lately.
    pub(super) want: usize,
    pub(super) bulk: Bulk,
    /// What it has sent in its turn.
    turn: usize,
}

/// A stream that was asked for and not answered.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) answer: oneshot::Sender<Result<Fields, Unopened>>,
    /// Whether the peer takes data before it has answered.
    pub(super) early: bool,
    /// The application, when it waits to hear that it is connected.
    pub(super) waiting: Option<Arc<Waiting>>,
}

/// The most an application may say before the answer.
const MOST_SAID: usize = 16 * 1024;

/// How often we ask to be woken by the next change while changes come.
const LOOKS: usize = 4;

/// What a bulk stream may send before it is another's turn.
pub(super) const TURN: usize = 1024 * 1024;

const SMALLEST_READ: usize = 16 * 1024;
const LARGEST_READ: usize = 256 * 1024;

impl Leg {
    /// A stream we ask for.
    pub(super) fn asked(stream: StreamId, waker: Waker) -> Self {
        Self { stream, carried: None, offered: None, backlog: Backlog::default(), peer_ended: false, waker }
    }

    /// A stream the peer asks for.
    pub(super) fn offered(stream: StreamId, waker: Waker, offered: Offered) -> Self {
        Self { offered: Some(offered), ..Self::asked(stream, waker) }
    }

    /// Has it carried.
    pub(super) fn carry(&mut self, carried: Carried) {
        self.carried = Some(carried);
        self.offered = None;
    }

    /// Tells whoever serves a stream that nobody has accepted yet why there is none any more.
    pub(super) fn gives_up(&mut self, why: Exceeded) {
        if let Some(offered) = self.offered.take() {
            offered.gives_up(why);
        }
    }

    /// Writes what came; says how much the application took.
    pub(super) fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let Some(carried) = &mut self.carried else { return Ok(0) };
        if carried.blocked || !self.backlog.is_empty() {
            return Ok(0);
        }
        let all = pieces.iter().map(|piece| piece.len()).sum();
        let cx = &mut Context::from_waker(&self.waker);
        let write = || stream::write(&carried.socket, pieces);
        let written = attempt::write(&carried.socket, cx, all, write)?;
        carried.blocked = written.blocked;
        Ok(written.bytes)
    }

    /// Writes what did not go at once; says how much the application took.
    pub(super) fn write_backlog(&mut self) -> io::Result<usize> {
        let Some(carried) = &mut self.carried else { return Ok(0) };
        let cx = &mut Context::from_waker(&self.waker);
        let mut all = 0;
        carried.blocked = false;
        while !self.backlog.is_empty() && !carried.blocked {
            let (front, back) = self.backlog.pieces();
            let pieces = [IoSlice::new(front), IoSlice::new(back)];
            let pieces = if back.is_empty() { &pieces[..1] } else { &pieces };
            let write = || stream::write(&carried.socket, pieces);
            let written = match attempt::write(&carried.socket, cx, self.backlog.len(), write) {
                // What was written counts; the next attempt fails again.
                Err(_) if all > 0 => break,
                written => written?,
            };
            self.backlog.took(written.bytes);
            all += written.bytes;
            carried.blocked = written.blocked;
        }
        Ok(all)
    }

    /// Looks whether there is something to read, and asks to be woken when there is.
    pub(super) fn look(&mut self) {
        let Some(carried) = &mut self.carried else { return };
        let cx = &mut Context::from_waker(&self.waker);
        if !carried.readable && !carried.sending_over {
            // An error shows when it is read.
            carried.readable = carried.socket.poll_read_ready(cx).is_ready();
        }
        if carried.blocked {
            carried.blocked = carried.socket.poll_write_ready(cx).is_pending();
        }
    }

    /// While nothing is read, only this notices that the application has reset the connection.
    pub(super) fn look_for_a_break(&mut self) -> Option<Broken> {
        let carried = self.carried.as_mut()?;
        // What is forgotten here is not asked for again: there may be something to read.
        carried.readable = true;
        let cx = &mut Context::from_waker(&self.waker);
        for _ in 0..LOOKS {
            if carried.ask_for_a_change(cx) {
                break;
            }
        }
        // What happened before we asked shows here; what happens from now on wakes us.
        match carried.socket.take_error() {
            Ok(None) => None,
            Ok(Some(error)) | Err(error) => Some(Broken::of(&error)),
        }
    }

    /// Whether memory for what was not taken is somebody's. What is behind a pipe is another tunnel: the bytes are counted there, and it would
    /// be lost with all its connections for one.
    pub(super) fn is_accounted(&self) -> bool {
        !self.carried.as_ref().is_some_and(|carried| matches!(carried.socket, Socket::Pipe(_)))
    }

    /// Both directions have ended in order.
    pub(super) fn is_over(&self) -> bool {
        self.carried.as_ref().is_some_and(|carried| carried.sending_over && carried.receiving_over)
    }
}

impl Carried {
    /// Asks to be woken by whatever happens next; says whether that will work.
    fn ask_for_a_change(&self, cx: &mut Context<'_>) -> bool {
        attempt::forget(&self.socket, Interest::READABLE);
        if self.socket.poll_read_ready(cx).is_pending() || self.blocked {
            return true;
        }
        // Once a direction is closed, tokio calls it ready for ever, and the other one tells of a reset.
        attempt::forget(&self.socket, Interest::WRITABLE);
        self.socket.poll_write_ready(cx).is_pending()
    }

    pub(super) fn new(carry: Carry, asked: Option<Asked>, said: Vec<u8>) -> Self {
        let Carry { ticket, socket, moved, done } = carry;
        Self {
            socket,
            ticket,
            moved,
            done,
            asked,
            said,
            sent: 0,
            // tokio tells of a change once, and for another tunnel it may have told already.
            readable: true,
            blocked: false,
            queued: false,
            stalled: false,
            sending_over: false,
            receiving_over: false,
            broken: None,
            want: SMALLEST_READ,
            bulk: Bulk::new(Instant::now()),
            turn: 0,
        }
    }

    /// Adapts to how much there was to read.
    pub(super) fn adapt(&mut self, read: usize) {
        if read >= self.want {
            self.want = (self.want * 4).min(LARGEST_READ);
        } else if read < self.want / 4 {
            self.want = (self.want / 2).max(SMALLEST_READ);
        }
    }

    /// Whether a bulk stream that has sent this much may go on before the others.
    pub(super) fn keeps_its_turn(&mut self, sent: usize) -> bool {
        self.turn += sent;
        let keeps = self.turn < TURN;
        if !keeps {
            self.turn = 0;
        }
        keeps
    }

    /// How much may be read, as far as the stream's answer goes.
    pub(super) fn may_say(&self) -> usize {
        match &self.asked {
            None => usize::MAX,
            Some(asked) if asked.early => MOST_SAID.saturating_sub(self.said.len()),
            Some(_) => 0,
        }
    }

    /// What was said and not sent.
    pub(super) fn unsent(&self) -> &[u8] {
        let may_be_sent = self.asked.as_ref().is_none_or(|asked| asked.early);
        if may_be_sent { &self.said[self.sent..] } else { &[] }
    }
}

/// Whether a connection moves a lot, and has done so for a while.
#[derive(Debug)]
pub(super) struct Bulk {
    bytes: usize,
    since: Instant,
}

/// So much in [`BULK_TIME`] is bulk: an interactive connection is far below, a backup far above.
const BULK_BYTES: usize = 4 * 1024 * 1024;
const BULK_TIME: Duration = Duration::from_secs(1);

impl Bulk {
    pub(super) fn new(now: Instant) -> Self {
        Self { bytes: 0, since: now }
    }

    /// Notes bytes; says when that makes it bulk.
    pub(super) fn moved(&mut self, bytes: usize) -> Option<Instant> {
        self.bytes += bytes;
        if self.bytes < BULK_BYTES {
            return None;
        }
        let now = Instant::now();
        let quick = now.saturating_duration_since(self.since) <= BULK_TIME;
        *self = Self::new(now);
        quick.then_some(now)
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn much_in_a_short_time_is_bulk_and_much_in_a_long_time_is_not() {
        let mut bulk = Bulk::new(Instant::now());
        assert!(bulk.moved(BULK_BYTES - 1).is_none());
        assert!(bulk.moved(1).is_some());
        assert!(bulk.moved(BULK_BYTES - 1).is_none(), "it is counted anew");

        let mut slow = Bulk::new(Instant::now().checked_sub(BULK_TIME * 2).unwrap());
        assert!(slow.moved(BULK_BYTES).is_none());
        assert!(slow.moved(BULK_BYTES).is_some(), "what was long ago does not count");
    }
}
