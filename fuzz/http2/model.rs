//! The same connection, kept by somebody who only sees what comes and what is said, and counts.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use culvert_core::tunnel::http2::{By, Code, Event, Limits, Role, StreamId};

use crate::frames::{self, Head, PREFACE, Scanner};

/// What is known of a connection.
pub(super) struct Model {
    role: Role,
    limits: Limits,
    /// The connection is over because of what the peer did.
    pub(super) is_broken: bool,
    /// Streams the application knows, and those it knew.
    streams: BTreeMap<StreamId, Stream>,
    past: BTreeSet<StreamId>,
    came: Scanner,
    said: Scanner,
    /// By number; 0 for the connection.
    counts: BTreeMap<u32, Counts>,
    /// Streams we have reset.
    reset: BTreeSet<u32>,
    /// The windows the peer's streams begin with, and ours.
    our_initial: i64,
    their_initial: i64,
    /// The peer has acknowledged our settings.
    is_settled: bool,
}

/// A stream as its application knows it.
#[derive(Debug, Default)]
struct Stream {
    held: usize,
    is_answered: bool,
    received_end: bool,
    sent_end: bool,
    /// It waits for room to send.
    is_starved: bool,
}

/// Octets of DATA, and of windows that were opened.
#[derive(Debug, Default)]
struct Counts {
    came: i64,
    sent: i64,
    opened_by_us: i64,
    opened_by_them: i64,
}

const DEFAULT_WINDOW: i64 = 65_535;

impl Model {
    pub(super) fn new(role: Role, limits: Limits) -> Self {
        let (came, said) = match role {
            Role::Server => (PREFACE.len(), 0),
            Role::Client => (0, PREFACE.len()),
        };
        let mut counts = BTreeMap::new();
        // The first update makes the connection's window what it is; it gives nothing back.
        let opened_by_us = DEFAULT_WINDOW - i64::from(limits.connection_window);
        counts.insert(0, Counts { opened_by_us, ..Counts::default() });
        Self {
            role,
            limits,
            is_broken: false,
            streams: BTreeMap::new(),
            past: BTreeSet::new(),
            came: Scanner::after(came),
            said: Scanner::after(said),
            counts,
            reset: BTreeSet::new(),
            our_initial: DEFAULT_WINDOW,
            their_initial: DEFAULT_WINDOW,
            is_settled: role == Role::Client,
        }
    }

    /// One of the application's streams.
    pub(super) fn any(&self, which: u8) -> Option<StreamId> {
        self.streams.keys().nth(usize::from(which) % self.streams.len().max(1)).copied()
    }

    pub(super) fn may_speak(&self, stream: StreamId) -> bool {
        self.role == Role::Client || self.streams[&stream].is_answered
    }

    /// Answers a stream, once.
    pub(super) fn answers(&mut self, stream: StreamId) -> bool {
        !std::mem::replace(&mut self.stream(stream).is_answered, true)
    }

    pub(super) fn consume(&mut self, stream: StreamId, all: bool) -> usize {
        let found = self.stream(stream);
        let bytes = if all { found.held } else { found.held / 2 };
        found.held -= bytes;
        self.forget_when_over(stream);
        bytes
    }

    pub(super) fn opened(&mut self, stream: StreamId) {
        assert!(self.past.insert(stream), "stream {stream} for the second time");
        self.streams.insert(stream, Stream::default());
    }

    pub(super) fn gave_up(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
    }

    pub(super) fn sent_end(&mut self, stream: StreamId) {
        self.stream(stream).sent_end = true;
        self.forget_when_over(stream);
    }

    pub(super) fn sent(&mut self, stream: StreamId, bytes: usize) {
        for number in [0, number(stream)] {
            self.counts.entry(number).or_default().sent += bytes as i64;
        }
    }

    /// What the peer lets us send.
    pub(super) fn room(&mut self, stream: StreamId) -> usize {
        let window = |counts: Option<&Counts>, initial| {
            initial + counts.map_or(0, |counts| counts.opened_by_them - counts.sent)
        };
        let of_stream = window(self.counts.get(&number(stream)), self.their_initial);
        let room = of_stream.min(window(self.counts.get(&0), DEFAULT_WINDOW)).max(0);
        room as usize
    }

    /// Notes that the application was told how much room there is.
    pub(super) fn asked_for_room(&mut self, stream: StreamId, room: usize) {
        self.stream(stream).is_starved = room == 0;
    }

    pub(super) fn event(&mut self, event: Event, input: Range<usize>) {
        match event {
            Event::Request { stream, .. } => {
                assert_eq!(self.role, Role::Server);
                self.opened(stream);
            }
            Event::Answer { stream, answer } => {
                assert!(self.role == Role::Client && answer.status >= 200);
                assert!(self.answers(stream), "stream {stream} is answered twice");
            }
            Event::Data { stream, place } => {
                assert!(place.start >= input.start && place.end <= input.end && !place.is_empty());
                let may_come = self.role == Role::Server || self.streams[&stream].is_answered;
                let found = self.stream(stream);
                assert!(may_come && !found.received_end, "payload of {stream} that may not come");
                found.held += place.len();
            }
            Event::End { stream } => {
                let twice = std::mem::replace(&mut self.stream(stream).received_end, true);
                assert!(!twice, "stream {stream} ends twice");
                self.forget_when_over(stream);
            }
            Event::Reset { stream, code, by } => {
                assert!(self.streams.remove(&stream).is_some());
                if by == By::Us && code == Code::FLOW_CONTROL_ERROR && self.came.is_between() {
                    assert!(self.was_exceeded(stream), "{stream} is reset for nothing");
                }
            }
            Event::Refused { stream } => {
                let refused = self.streams.remove(&stream).expect("a stream is over once");
                assert!(self.role == Role::Client && !refused.is_answered);
            }
            Event::Room { stream } => self.stream(stream).is_starved = false,
            Event::Capacity => {}
        }
    }

    /// Whether the peer has sent more on a stream than it may, or opened its window too far.
    fn was_exceeded(&self, stream: StreamId) -> bool {
        let Some(counts) = self.counts.get(&number(stream)) else { return false };
        let initial = if self.is_settled { self.our_initial } else { DEFAULT_WINDOW };
        initial + counts.opened_by_us < counts.came
            || self.their_initial + counts.opened_by_them - counts.sent > 0x7fff_ffff
    }

    /// A stream an event is about, or the application, must be there.
    #[track_caller]
    fn stream(&mut self, stream: StreamId) -> &mut Stream {
        self.streams.get_mut(&stream).expect("of a stream that is over nothing more is heard")
    }

    fn forget_when_over(&mut self, stream: StreamId) {
        let found = self.stream(stream);
        if found.sent_end && found.received_end && found.held == 0 {
            self.streams.remove(&stream);
        }
    }

    /// What the peer sent.
    pub(super) fn came(&mut self, octets: &[u8]) {
        let (counts, initial, settled) = (&mut self.counts, &mut self.their_initial, &mut self.is_settled);
        self.came.push(octets, |head, payload| match head.kind {
            frames::DATA => {
                for number in [0, head.stream] {
                    counts.entry(number).or_default().came += payload.len() as i64;
                }
            }
            frames::WINDOW_UPDATE => {
                counts.entry(head.stream).or_default().opened_by_them += increment(payload)
            }
            frames::SETTINGS if head.flags & frames::ACK != 0 => *settled = true,
            frames::SETTINGS => *initial = initial_window(payload).unwrap_or(*initial),
            _ => {}
        });
    }

    /// What we say.
    pub(super) fn said(&mut self, octets: &[u8]) {
        let (counts, reset, initial) = (&mut self.counts, &mut self.reset, &mut self.our_initial);
        self.said.push(octets, |head, payload| {
            assert!(head.stream == 0 || !reset.contains(&head.stream), "{head:?} after a reset");
            check_form(head, payload);
            match head.kind {
                frames::RESET => drop(reset.insert(head.stream)),
                frames::WINDOW_UPDATE => {
                    counts.entry(head.stream).or_default().opened_by_us += increment(payload);
                }
                frames::SETTINGS => *initial = initial_window(payload).unwrap_or(*initial),
                _ => {}
            }
        });
        assert!(self.said.is_between(), "we say half a frame");
    }

    /// What must hold between any two frames.
    pub(super) fn check(&mut self) {
        if self.is_broken || !self.came.is_between() {
            return;
        }
        let held: usize = self.streams.values().map(|stream| stream.held).sum();
        let whole = &self.counts[&0];
        let owed = whole.came - whole.opened_by_us - held as i64;
        let most = i64::from(self.limits.connection_window / 16);
        assert!((0..=most).contains(&owed), "the connection owes {owed} octets of its window");
        let streams: Vec<StreamId> = self.streams.keys().copied().collect();
        for stream in streams {
            let room = self.room(stream);
            let found = &self.streams[&stream];
            assert!(!found.is_starved || found.sent_end || room == 0, "{stream} is not told of its room");
            if !found.received_end {
                self.check_window(stream, found);
            }
        }
    }

    fn check_window(&self, stream: StreamId, found: &Stream) {
        let counts = self.counts.get(&number(stream));
        let initial = if self.is_settled { self.our_initial } else { DEFAULT_WINDOW };
        let left = initial + counts.map_or(0, |counts| counts.opened_by_us - counts.came);
        assert!(left > 0 || found.held > 0, "the peer can never go on with {stream}");
        let most = i64::from(self.limits.stream_window).max(initial) + initial;
        assert!(left + found.held as i64 <= most, "the window of {stream} is too large");
    }
}

fn number(stream: StreamId) -> u32 {
    stream.to_string().parse().expect("a stream is shown as its number")
}

fn increment(payload: &[u8]) -> i64 {
    let octets = payload.first_chunk().copied().unwrap_or_default();
    i64::from(u32::from_be_bytes(octets) & 0x7fff_ffff)
}

/// SETTINGS_INITIAL_WINDOW_SIZE.
fn initial_window(payload: &[u8]) -> Option<i64> {
    let mut settings = payload.chunks_exact(6).filter(|setting| setting[..2] == [0, 4]);
    let value = settings.next_back()?.last_chunk().copied()?;
    Some(i64::from(u32::from_be_bytes(value)))
}

fn check_form(head: Head, payload: &[u8]) {
    let fits = match head.kind {
        frames::DATA => payload.is_empty() && head.flags == frames::END_STREAM && head.stream != 0,
        frames::HEADERS | frames::CONTINUATION => head.stream != 0,
        frames::RESET => payload.len() == 4 && head.stream != 0,
        frames::SETTINGS => payload.len().is_multiple_of(6) && head.stream == 0,
        frames::PING => payload.len() == 8 && head.stream == 0,
        frames::GO_AWAY => payload.len() == 8 && head.stream == 0,
        frames::WINDOW_UPDATE => payload.len() == 4 && increment(payload) > 0,
        _ => false,
    };
    assert!(fits, "{head:?} with {} octets", payload.len());
}
