//! What may be sent, and what the peer may send (RFC 9113 §5.2, §6.9).

use serde::{Deserialize, Serialize};

use super::Limits;
use super::settings::DEFAULT_WINDOW;

/// The largest window there is.
pub(super) const LARGEST: u32 = 0x7fff_ffff;
const MOST: i64 = LARGEST as i64;

/// What we may send. Negative after the peer has made its windows smaller (RFC 9113 §6.9.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sending(i64);

/// A window larger than any may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Sending {
    pub(super) fn new(window: u32) -> Self {
        Self(i64::from(window))
    }

    pub(super) fn room(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    pub(super) fn take(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.room(), "more is sent than there is room for");
        self.0 -= i64::try_from(bytes).unwrap_or(MOST);
    }

    /// Makes it larger or smaller.
    pub(super) fn change(&mut self, by: i64) -> Result<(), TooLarge> {
        let window = self.0 + by;
        if window > MOST {
            return Err(TooLarge);
        }
        self.0 = window;
        Ok(())
    }
}

/// What the peer may send on one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Receiving {
    /// What it may still send.
    left: i64,
    /// What was handed to the caller, who still has it.
    held: u32,
    /// What the caller is done with and the peer was not told of.
    owed: u32,
    /// All of it together.
    size: u32,
}

/// More came than was allowed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exceeded;

impl Receiving {
    pub(super) fn new(size: u32) -> Self {
        Self { left: i64::from(size), held: 0, owed: 0, size }
    }

    pub(super) fn held(&self) -> u32 {
        self.held
    }

    /// What it may still send.
    pub(super) fn left(&self) -> u32 {
        u32::try_from(self.left).unwrap_or(0)
    }

    /// Notes what came.
    pub(super) fn receive(&mut self, bytes: u32) -> Result<(), Exceeded> {
        // Nothing may come even when less than nothing is left (RFC 9113 §6.9.1).
        if bytes > 0 && i64::from(bytes) > self.left {
            return Err(Exceeded);
        }
        self.left -= i64::from(bytes);
        self.held += bytes;
        Ok(())
    }

    /// Lets more come for a while, from a peer who does not know the window yet (RFC 9113 §6.9.3).
    pub(super) fn widen(&mut self, by: u32) {
        self.left += i64::from(by);
    }

    /// The while is over. What is left may be less than nothing, as it then is for the peer, too.
    pub(super) fn narrow(&mut self, by: u32) {
        self.left -= i64::from(by);
    }

    /// Notes what the caller is done with; no more than it has counts, and what counts is returned.
    pub(super) fn consume(&mut self, bytes: u32) -> u32 {
        let bytes = bytes.min(self.held);
        self.held -= bytes;
        self.owed += bytes;
        bytes
    }

    /// Whether it is time to tell the peer: half of the window is used up.
    pub(super) fn is_due(&self) -> bool {
        self.owed > 0 && u64::from(self.owed) * 2 >= u64::from(self.size)
    }

    /// Gives back what is owed, and `growth` besides. The result is what the peer is told.
    pub(super) fn give(&mut self, growth: u32) -> u32 {
        let increment = self.owed + growth;
        self.size += growth;
        self.left += i64::from(increment);
        self.owed = 0;
        increment
    }
}

/// How the connection's window is shared out.
///
/// **Invariant:** the windows of all streams together are not larger than the connection's, less what it may owe. So a stream
/// that nobody reads cannot use up what the others need. Two cases are beyond it, and there the connection's own window, which
/// always holds, bounds what is kept: until the peer has acknowledged our SETTINGS its streams begin with the default window
/// ([`Receiving::widen`]); and so many streams that the connection's window has less than [`SMALLEST`] for each get that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Share {
    /// What a stream begins with.
    initial: u32,
    /// What a stream may grow to.
    most: u32,
    /// What all may have.
    budget: u32,
    /// What of that is for windows as they begin, those of streams to come included.
    set_aside: u32,
    /// How many there are.
    streams: u32,
    /// What they have.
    granted: u32,
    /// How many have grown.
    grown: u32,
}

/// Below this, windows are in the way of every connection.
const SMALLEST: u32 = 4 * 1024;
/// What a window is when nothing is said about it (RFC 9113 §6.9.2).
const LARGEST_INITIAL: u32 = DEFAULT_WINDOW;

/// What the connection may owe the peer before it is told: this part of the window.
const OWED_PART: u32 = 16;

impl Share {
    pub(super) fn new(limits: &Limits) -> Self {
        let budget = limits.connection_window - limits.connection_window / OWED_PART;
        let two_fifths = limits.connection_window / 5 * 2;
        let fair = two_fifths / limits.streams.max(1);
        let initial = fair.clamp(SMALLEST, LARGEST_INITIAL).min(limits.stream_window);
        let set_aside = initial.saturating_mul(limits.streams).min(two_fifths);
        let most = limits.stream_window;
        Self { initial, most, budget, set_aside, streams: 0, granted: 0, grown: 0 }
    }

    pub(super) fn initial(&self) -> u32 {
        self.initial
    }

    /// How much more than that a client assumes until it has seen our settings.
    pub(super) fn unsettled(&self) -> u32 {
        LARGEST_INITIAL - self.initial
    }

    pub(super) fn begin(&mut self) -> Receiving {
        self.streams += 1;
        self.granted = self.granted.saturating_add(self.initial);
        Receiving::new(self.initial)
    }

    pub(super) fn end(&mut self, window: &Receiving) {
        self.streams = self.streams.saturating_sub(1);
        self.granted = self.granted.saturating_sub(window.size);
        if window.size > self.initial {
            self.grown = self.grown.saturating_sub(1);
        }
    }

    /// How much a stream whose reader keeps up may grow: it doubles, up to an equal share among those that grow.
    pub(super) fn grow(&mut self, window: &Receiving) -> u32 {
        if window.held > 0 {
            return 0;
        }
        let first = window.size == self.initial;
        let sharers = self.grown + u32::from(first);
        let cap = ((self.budget - self.set_aside) / (sharers + 1)).min(self.most);
        let wanted = window.size.min(cap.saturating_sub(window.size));
        let to_come = self.set_aside.saturating_sub(self.initial.saturating_mul(self.streams));
        let growth = wanted.min(self.budget.saturating_sub(to_come).saturating_sub(self.granted));
        if growth > 0 {
            self.granted += growth;
            self.grown += u32::from(first);
        }
        growth
    }
}

/// What the peer may send on all streams together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Whole {
    left: i64,
    owed: u32,
    /// What may be owed.
    most_owed: u32,
    /// All of it together, with what streams have.
    size: u32,
}

impl Whole {
    pub(super) fn new(limits: &Limits) -> Self {
        let size = limits.connection_window;
        Self { left: i64::from(size), owed: 0, most_owed: size / OWED_PART, size }
    }

    /// What was handed on, or is still coming, and nobody is done with.
    pub(super) fn held(&self) -> u64 {
        u64::try_from(i64::from(self.size) - self.left - i64::from(self.owed)).unwrap_or(0)
    }

    pub(super) fn receive(&mut self, bytes: u32) -> Result<(), Exceeded> {
        if i64::from(bytes) > self.left {
            return Err(Exceeded);
        }
        self.left -= i64::from(bytes);
        Ok(())
    }

    /// Gives back; the result is what the peer is to be told, once it is worth a frame.
    pub(super) fn give(&mut self, bytes: u32) -> Option<u32> {
        self.owed += bytes;
        if self.owed == 0 || self.owed < self.most_owed {
            return None;
        }
        self.left += i64::from(self.owed);
        Some(std::mem::take(&mut self.owed))
    }
}
