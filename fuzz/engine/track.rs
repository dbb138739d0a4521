//! What both applications know of a stream, and what must be so in the end.

use std::collections::BTreeMap;

use culvert_core::tunnel::http2::StreamId;

/// An end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

impl Side {
    pub(super) fn index(self) -> usize {
        self as usize
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// All streams there ever were.
#[derive(Debug, Default)]
pub(super) struct Tracks(BTreeMap<StreamId, Track>);

/// A stream.
#[derive(Debug)]
pub(super) struct Track {
    key: u8,
    /// By the end that sends.
    pub(super) ways: [Way; 2],
    /// By the end.
    pub(super) views: [View; 2],
    pub(super) is_refused: bool,
    pub(super) is_answered: bool,
}

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// What the application has to say besides what it has sent.
    pub(super) wanted: usize,
    is_all_wanted: bool,
    pub(super) sent: usize,
    pub(super) sent_end: bool,
    pub(super) received: usize,
    pub(super) received_end: bool,
    /// What was received and is not consumed.
    pub(super) held: usize,
}

/// What one end makes of it.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) is_known: bool,
    /// It was known once.
    pub(super) is_seen: bool,
    pub(super) may_speak: bool,
    pub(super) has_room: bool,
    pub(super) reset: bool,
    pub(super) saw_reset: bool,
}

impl Tracks {
    pub(super) fn insert(&mut self, stream: StreamId) {
        let key = self.0.len() as u8;
        let mut track = Track {
            key,
            ways: Default::default(),
            views: Default::default(),
            is_refused: false,
            is_answered: false,
        };
        track.views[0] =
            View { is_known: true, is_seen: true, may_speak: true, has_room: true, ..View::default() };
        assert!(self.0.insert(stream, track).is_none(), "stream {stream} for the second time");
    }

    #[track_caller]
    pub(super) fn get(&mut self, stream: StreamId) -> &mut Track {
        self.0.get_mut(&stream).expect("streams are opened before they are heard of")
    }

    pub(super) fn known(&self, side: Side) -> impl Iterator<Item = StreamId> {
        self.0.iter().filter(move |(_, track)| track.views[side.index()].is_known).map(|(stream, _)| *stream)
    }

    pub(super) fn finish_all(&mut self) {
        for track in self.0.values_mut() {
            track.ways.iter_mut().for_each(|way| way.is_all_wanted = true);
        }
    }

    pub(super) fn check_all(&self) {
        for (stream, track) in &self.0 {
            if let Err(wrong) = track.check() {
                panic!("stream {stream}: {wrong}: {track:?}");
            }
        }
    }
}

impl Track {
    /// What the application of `side` says at a place.
    pub(super) fn octet(&self, side: Side, at: usize) -> u8 {
        let mixed = (at as u64 ^ u64::from(self.key) << 40 ^ (side.index() as u64) << 50)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed.to_be_bytes()[0]
    }

    pub(super) fn want(&mut self, side: Side, bytes: usize) {
        let way = &mut self.ways[side.index()];
        if !way.is_all_wanted {
            way.wanted += bytes;
        }
    }

    /// The application of `side` has nothing more to say than that.
    pub(super) fn finish(&mut self, side: Side) {
        self.ways[side.index()].is_all_wanted = true;
    }

    pub(super) fn is_to_be_ended(&self, side: Side) -> bool {
        let way = &self.ways[side.index()];
        way.is_all_wanted && way.wanted == 0 && !way.sent_end
    }

    /// Forgets the stream where both directions are over.
    pub(super) fn forget_when_over(&mut self, side: Side) {
        let (sends, receives) = (&self.ways[side.index()], &self.ways[side.other().index()]);
        if sends.sent_end && receives.received_end && receives.held == 0 {
            self.views[side.index()].is_known = false;
        }
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.is_refused || (self.views[0].reset && !self.views[1].is_seen) {
            return Ok(());
        }
        let is_whole =
            |side: Side| self.ways[side.index()].sent_end && self.ways[side.other().index()].received_end;
        let is_reset = self.views.iter().any(|view| view.reset);
        for side in [Side::Client, Side::Server] {
            let (ours, theirs) = (&self.views[side.index()], &self.views[side.other().index()]);
            if theirs.saw_reset && !ours.reset {
                return Err("a reset was seen that was not sent");
            }
            if ours.reset && !(theirs.saw_reset || theirs.reset || is_whole(side.other())) {
                return Err("a reset that was sent was not seen");
            }
            let way = &self.ways[side.index()];
            if way.received_end && (way.received != way.sent || !way.sent_end) {
                return Err("an end came too soon");
            }
            let is_over = way.sent_end && way.received_end && way.wanted == 0;
            if !(is_reset || is_over) {
                return Err("it is not over");
            }
        }
        Ok(())
    }
}
