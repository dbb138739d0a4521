//! What the peer sends, frame by frame.
//!
//! ```text
//!   preface ──▶ head ──▶ data ────────▶ head          payload stays where it is, an event names its place
//!                 ├────▶ body ────────▶ head          small frames; put together when they come in pieces
//!                 └────▶ skip ────────▶ head          frames that mean nothing to us
//! ```

mod data;
mod headers;
mod small;

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::frame::{self, HEAD, Head, Kind};
use super::{Code, Connection, Event, Role};
use crate::tunnel::{Fault, hpack};
use data::Data;
use headers::Block;

/// Where the parser is.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Parser {
    state: State,
    /// The beginning of a frame whose rest has not come.
    partial: Vec<u8>,
    /// A header block whose rest has not come.
    block: Option<Block>,
    #[serde(with = "decoder")]
    decoder: hpack::Decoder,
}

#[derive(Debug, Serialize, Deserialize)]
enum State {
    /// The client's first octets: so many have come.
    Preface(usize),
    /// Between frames, or within a frame header.
    Head {
        octets: [u8; HEAD],
        filled: usize,
    },
    Data(Data),
    Body(Head),
    Skip(u32),
}

const BETWEEN: State = State::Head { octets: [0; HEAD], filled: 0 };

/// Plaintext, and where in the caller's input it begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input<'i> {
    pub(super) bytes: &'i [u8],
    pub(super) at: usize,
}

impl<'i> Input<'i> {
    /// Takes up to so many octets off the front.
    fn take(&mut self, most: usize) -> &'i [u8] {
        let (taken, rest) = self.bytes.split_at(most.min(self.bytes.len()));
        self.bytes = rest;
        self.at += taken.len();
        taken
    }
}

/// The dynamic table of the peer's encoder, until it has seen that we want none.
const DEFAULT_TABLE: usize = 4096;

impl Parser {
    pub(super) fn new(role: Role) -> Self {
        let state = if role == Role::Server { State::Preface(0) } else { BETWEEN };
        Self { state, partial: Vec::new(), block: None, decoder: hpack::Decoder::new(DEFAULT_TABLE) }
    }
}

/// Takes all of `input`.
pub(super) fn receive(
    connection: &mut Connection,
    now: Instant,
    mut input: Input<'_>,
    events: &mut Vec<Event>,
) -> Result<(), Fault> {
    while !input.bytes.is_empty() {
        let mut cursor = Cursor { connection, now, events };
        match std::mem::replace(&mut cursor.connection.parser.state, BETWEEN) {
            State::Preface(seen) => cursor.preface(seen, &mut input)?,
            State::Head { octets, filled } => cursor.head(octets, filled, &mut input)?,
            State::Data(data) => cursor.data(data, &mut input)?,
            State::Body(head) => cursor.body(head, &mut input)?,
            State::Skip(left) => {
                let skipped = input.take(left as usize).len();
                cursor.skip(left - u32::try_from(skipped).unwrap_or(left));
            }
        }
    }
    Ok(())
}

/// A connection while it takes input.
struct Cursor<'c> {
    connection: &'c mut Connection,
    now: Instant,
    events: &'c mut Vec<Event>,
}

impl Cursor<'_> {
    fn stay(&mut self, state: State) {
        self.connection.parser.state = state;
    }

    fn skip(&mut self, left: u32) {
        if left > 0 {
            self.stay(State::Skip(left));
        }
    }

    fn preface(&mut self, seen: usize, input: &mut Input<'_>) -> Result<(), Fault> {
        let expected = &frame::PREFACE[seen..];
        let came = input.take(expected.len());
        if !expected.starts_with(came) {
            return Err(protocol("it does not begin with the HTTP/2 preface"));
        }
        if came.len() < expected.len() {
            self.stay(State::Preface(seen + came.len()));
        }
        Ok(())
    }

    fn head(
        &mut self,
        mut octets: [u8; HEAD],
        mut filled: usize,
        input: &mut Input<'_>,
    ) -> Result<(), Fault> {
        let came = input.take(HEAD - filled);
        octets[filled..filled + came.len()].copy_from_slice(came);
        filled += came.len();
        if filled < HEAD {
            self.stay(State::Head { octets, filled });
            return Ok(());
        }
        let head = Head::parse(octets);
        self.check(head)?;
        match head.kind {
            Kind::Data => self.begin_data(head),
            Kind::Unknown | Kind::Priority => {
                self.pointless()?;
                self.check_priority(head)?;
                self.skip(head.length);
                Ok(())
            }
            Kind::Headers
            | Kind::Reset
            | Kind::Settings
            | Kind::PushPromise
            | Kind::Ping
            | Kind::GoAway
            | Kind::WindowUpdate
            | Kind::Continuation => self.begin_body(head),
        }
    }

    fn begin_body(&mut self, head: Head) -> Result<(), Fault> {
        self.check_body(head)?;
        if head.length == 0 {
            return self.frame(head, &[]);
        }
        self.stay(State::Body(head));
        Ok(())
    }

    /// What can be wrong with any frame.
    fn check(&self, head: Head) -> Result<(), Fault> {
        let connection = &self.connection;
        if !connection.liveness.has_begun() && (head.kind != Kind::Settings || head.has(frame::ACK)) {
            return Err(protocol("its first frame is not SETTINGS"));
        }
        let continues = match &connection.parser.block {
            Some(block) => head.kind == Kind::Continuation && block.is_of(head.stream),
            None => head.kind != Kind::Continuation,
        };
        if !continues {
            return Err(protocol("a header block that is not in one piece"));
        }
        if head.length > connection.limits.frame {
            return Err(fault(Code::FRAME_SIZE_ERROR, "a frame larger than allowed"));
        }
        Ok(())
    }

    fn check_priority(&self, head: Head) -> Result<(), Fault> {
        match (head.kind, head.stream, head.length) {
            (Kind::Priority, 0, _) => Err(protocol("PRIORITY for the connection")),
            (Kind::Priority, _, length) if length != 5 => {
                Err(fault(Code::FRAME_SIZE_ERROR, "a PRIORITY frame that is not 5 octets"))
            }
            _ => Ok(()),
        }
    }

    /// Collects the payload of a small frame; most come in one piece and are not copied.
    fn body(&mut self, head: Head, input: &mut Input<'_>) -> Result<(), Fault> {
        let length = head.length as usize;
        let mut partial = std::mem::take(&mut self.connection.parser.partial);
        let came = input.take(length - partial.len());
        if partial.is_empty() && came.len() == length {
            return self.frame(head, came);
        }
        partial.extend_from_slice(came);
        if partial.len() == length {
            return self.frame(head, &partial);
        }
        self.connection.parser.partial = partial;
        self.stay(State::Body(head));
        Ok(())
    }

    /// Before anything is kept, it must be of a size that makes sense.
    fn check_body(&self, head: Head) -> Result<(), Fault> {
        if head.kind == Kind::PushPromise {
            return Err(protocol("PUSH_PROMISE, which is switched off"));
        }
        let right = match head.kind {
            Kind::Reset | Kind::WindowUpdate => head.length == 4,
            Kind::Ping => head.length == 8,
            Kind::GoAway => head.length >= 8,
            Kind::Headers | Kind::Continuation => return headers::check_length(self.connection, head.length),
            Kind::Data | Kind::Priority | Kind::Settings | Kind::PushPromise | Kind::Unknown => true,
        };
        if !right {
            return Err(fault(Code::FRAME_SIZE_ERROR, "a frame of a size it cannot have"));
        }
        // Debug data of a GOAWAY, or settings without end.
        if matches!(head.kind, Kind::GoAway | Kind::Settings) && head.length > MOST_SMALL {
            return Err(fault(Code::ENHANCE_YOUR_CALM, "a SETTINGS or GOAWAY frame of unreasonable size"));
        }
        Ok(())
    }

    fn frame(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        match head.kind {
            Kind::Headers => self.headers(head, payload),
            Kind::Continuation => self.continuation(head, payload),
            Kind::Reset => self.reset(head, payload),
            Kind::Settings => self.settings(head, payload),
            Kind::Ping => self.ping(head, payload),
            Kind::GoAway => self.go_away(head, payload),
            Kind::WindowUpdate => self.window_update(head, payload),
            Kind::PushPromise | Kind::Data | Kind::Priority | Kind::Unknown => Ok(()),
        }
    }

    fn pointless(&mut self) -> Result<(), Fault> {
        self.connection.floods.pointless(self.now)
    }

    /// Whether a stream was never opened (RFC 9113 §5.1, "idle").
    fn is_idle(&self, id: u32) -> bool {
        let ours = (id % 2 == 1) == (self.connection.role == Role::Client);
        if ours { id >= self.connection.next } else { id > self.connection.highest }
    }

    /// Ends one stream because of what the peer did with it.
    fn end_stream(&mut self, id: u32, code: Code) {
        frame::put_reset(&mut self.connection.control, id, code);
        if self.connection.streams.find(id).is_some() {
            self.connection.forget(id);
            self.events.push(Event::Reset { stream: super::StreamId(id), code, by: super::By::Us });
        }
    }
}

/// A decoder on its way to another process.
mod decoder {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use crate::tunnel::hpack::{Decoder, DecoderState};

    pub(super) fn serialize<S: Serializer>(decoder: &Decoder, serializer: S) -> Result<S::Ok, S::Error> {
        decoder.export().serialize(serializer)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(deserializer: D) -> Result<Decoder, D::Error> {
        DecoderState::deserialize(deserializer).map(Decoder::import)
    }
}

/// The most octets of a frame that has no business being long.
const MOST_SMALL: u32 = 16 * 1024;

fn protocol(what: &'static str) -> Fault {
    fault(Code::PROTOCOL_ERROR, what)
}

fn fault(code: Code, what: &'static str) -> Fault {
    Fault::Http2 { code, what }
}
