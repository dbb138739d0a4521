//! One stream, and the table of those there are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::window::{Receiving, Sending};

/// One stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stream {
    pub(super) sending: Sending,
    pub(super) receiving: Receiving,
    /// Whether it was asked for and not answered.
    pub(super) unanswered: bool,
    /// Whether we have sent all.
    pub(super) sent_all: bool,
    /// Whether the peer has.
    pub(super) received_all: bool,
    /// The caller waits for room to send.
    pub(super) starved: bool,
    /// It waits in line for the connection's window.
    pub(super) queued: bool,
}

impl Stream {
    pub(super) fn new(send: u32, receiving: Receiving) -> Self {
        Self {
            sending: Sending::new(send),
            receiving,
            unanswered: true,
            sent_all: false,
            received_all: false,
            starved: false,
            queued: false,
        }
    }

    /// Closed as the protocol sees it (RFC 9113 §5.1).
    pub(super) fn is_closed(&self) -> bool {
        self.sent_all && self.received_all
    }

    /// Closed, and nobody holds anything of it.
    pub(super) fn is_over(&self) -> bool {
        self.is_closed() && self.receiving.held() == 0
    }
}

/// All streams, and how many of them count as open.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Streams {
    map: BTreeMap<u32, Stream>,
    open: u32,
}

impl Streams {
    /// Streams that count against a limit (RFC 9113 §5.1.2).
    pub(super) fn open(&self) -> u32 {
        self.open
    }

    pub(super) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    pub(super) fn insert(&mut self, id: u32, stream: Stream) {
        self.open += 1;
        self.map.insert(id, stream);
    }

    pub(super) fn find(&self, id: u32) -> Option<&Stream> {
        self.map.get(&id)
    }

    pub(super) fn find_mut(&mut self, id: u32) -> Option<&mut Stream> {
        self.map.get_mut(&id)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Stream)> {
        self.map.iter_mut().map(|(id, stream)| (*id, stream))
    }

    /// Notes that we have sent all of a stream.
    pub(super) fn sent_all(&mut self, id: u32) {
        self.change(id, |stream| stream.sent_all = true);
    }

    /// Notes that the peer has sent all of a stream.
    pub(super) fn received_all(&mut self, id: u32) {
        self.change(id, |stream| stream.received_all = true);
    }

    fn change(&mut self, id: u32, change: impl FnOnce(&mut Stream)) {
        let Some(stream) = self.map.get_mut(&id) else { return };
        let was_open = !stream.is_closed();
        change(stream);
        if was_open && stream.is_closed() {
            self.open -= 1;
        }
    }

    pub(super) fn remove(&mut self, id: u32) -> Option<Stream> {
        let stream = self.map.remove(&id)?;
        if !stream.is_closed() {
            self.open -= 1;
        }
        Some(stream)
    }

    /// The numbers of the streams above `last`.
    pub(super) fn above(&self, last: u32) -> Vec<u32> {
        self.map.range(last.saturating_add(1)..).map(|(id, _)| *id).collect()
    }
}
