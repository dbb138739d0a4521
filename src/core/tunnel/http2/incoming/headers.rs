//! Header blocks (RFC 9113 §6.2, §6.10, §8): requests, answers, and trailers, which mean nothing to us but the end.

use serde::{Deserialize, Serialize};

use super::super::connection::{Connection, Leaving};
use super::super::fields::{Malformed, Reader};
use super::super::frame::{self, Head};
use super::super::settings::DEFAULT_WINDOW;
use super::super::stream::Stream;
use super::super::{By, Code, Event, Fields, Role, StreamId};
use super::{Cursor, fault, protocol};
use crate::tunnel::{Fault, hpack};

/// A header block.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Block {
    stream: u32,
    end_stream: bool,
    bytes: Vec<u8>,
    /// CONTINUATION frames so far.
    frames: u32,
}

/// CONTINUATION frames of one block (CVE-2024-27316).
const MOST_CONTINUATIONS: u32 = 32;

/// A request whose fields are too large (RFC 6585 §5).
const FIELDS_TOO_LARGE: u16 = 431;

impl Block {
    pub(super) fn is_of(&self, stream: u32) -> bool {
        self.stream == stream
    }
}

/// Encoded, a block is not larger than the fields it stands for, but for strings that are Huffman coded all the same: a code has
/// up to 30 bits (RFC 7541 appendix B).
pub(super) fn check_length(connection: &Connection, length: u32) -> Result<(), Fault> {
    let before = connection.parser.block.as_ref().map_or(0, |block| block.bytes.len());
    // Padding and priority come on top.
    if before + length as usize > connection.limits.fields as usize * 4 + 512 {
        return Err(fault(Code::ENHANCE_YOUR_CALM, "a header block larger than allowed"));
    }
    Ok(())
}

impl Cursor<'_> {
    pub(super) fn headers(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        let bytes = without_padding(head, payload)?;
        if head.stream == 0 || head.stream.is_multiple_of(2) {
            return Err(protocol("HEADERS for a stream no client opens"));
        }
        if self.connection.role == Role::Client && self.is_idle(head.stream) {
            return Err(protocol("HEADERS for a stream that was never opened"));
        }
        let end_stream = head.has(frame::END_STREAM);
        if head.has(frame::END_HEADERS) {
            return self.block(head.stream, end_stream, bytes);
        }
        let block = Block { stream: head.stream, end_stream, bytes: bytes.to_vec(), frames: 0 };
        self.connection.parser.block = Some(block);
        Ok(())
    }

    pub(super) fn continuation(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        let Some(mut block) = self.connection.parser.block.take() else { return Ok(()) };
        block.frames += 1;
        if block.frames > MOST_CONTINUATIONS {
            return Err(fault(Code::ENHANCE_YOUR_CALM, "a header block in too many pieces"));
        }
        block.bytes.extend_from_slice(payload);
        if head.has(frame::END_HEADERS) {
            return self.block(block.stream, block.end_stream, &block.bytes);
        }
        self.connection.parser.block = Some(block);
        Ok(())
    }

    /// Reads a whole block. It must be read even when nobody wants it: the next one builds on it.
    fn block(&mut self, id: u32, end: bool, bytes: &[u8]) -> Result<(), Fault> {
        let mut reader = Reader::default();
        let most = self.connection.limits.fields as usize;
        let decoded =
            self.connection.parser.decoder.decode(bytes, most, |name, value| reader.take(name, value));
        let decoded =
            decoded.map_err(|_| fault(Code::COMPRESSION_ERROR, "a header block that cannot be decoded"))?;
        let too_large = matches!(decoded, hpack::Decoded::TooLarge);
        match self.connection.role {
            Role::Server if self.is_idle(id) => self.request(id, end, reader, too_large),
            Role::Client if self.connection.streams.find(id).is_some_and(|stream| stream.unanswered) => {
                self.answer(id, end, reader, too_large)
            }
            Role::Server | Role::Client => self.trailers(id, end),
        }
    }

    fn request(&mut self, id: u32, end: bool, reader: Reader, too_large: bool) -> Result<(), Fault> {
        let connection = &mut *self.connection;
        connection.highest = id;
        if let Leaving::Final { .. } = connection.leaving {
            // The GOAWAY that is on its way says that this stream is not looked at.
            return self.pointless();
        }
        if connection.streams.open() >= connection.limits.streams {
            connection.overruns.streams += 1;
            connection.floods.gave_up(DEFAULT_WINDOW);
            frame::put_reset(&mut connection.control, id, Code::REFUSED_STREAM);
            return self.pointless();
        }
        let mut receiving = connection.share.begin();
        if !connection.settled {
            receiving.widen(connection.share.unsettled());
        }
        connection.streams.insert(id, Stream::new(connection.peer.window, receiving));
        let stream = StreamId(id);
        match reader.request() {
            _ if too_large => {
                self.connection.overruns.fields += 1;
                if end {
                    self.connection.streams.received_all(id);
                }
                self.connection.answer(stream, FIELDS_TOO_LARGE, &Fields::default(), true);
                self.pointless()
            }
            Err(Malformed(_)) => {
                frame::put_reset(&mut self.connection.control, id, Code::PROTOCOL_ERROR);
                self.connection.forget(id);
                self.pointless()
            }
            Ok(request) => {
                self.events.push(Event::Request { stream, request });
                if end {
                    self.received_all(id);
                }
                Ok(())
            }
        }
    }

    fn answer(&mut self, id: u32, end: bool, reader: Reader, too_large: bool) -> Result<(), Fault> {
        let answer = match reader.answer() {
            Ok(answer) if !too_large => answer,
            _ => {
                self.end_stream(id, Code::PROTOCOL_ERROR);
                return Ok(());
            }
        };
        // An interim answer (RFC 9110 §15.2).
        if answer.status < 200 {
            if end {
                self.end_stream(id, Code::PROTOCOL_ERROR);
            }
            return self.pointless();
        }
        if let Some(stream) = self.connection.streams.find_mut(id) {
            stream.unanswered = false;
        }
        self.events.push(Event::Answer { stream: StreamId(id), answer });
        if end {
            self.received_all(id);
        }
        Ok(())
    }

    fn trailers(&mut self, id: u32, end: bool) -> Result<(), Fault> {
        match self.connection.streams.find(id) {
            // A stream we have given up, which the peer did not know yet.
            None => self.connection.floods.late_frame(self.now),
            Some(stream) if stream.received_all => {
                self.end_stream(id, Code::STREAM_CLOSED);
                Ok(())
            }
            Some(_) if end => {
                self.received_all(id);
                Ok(())
            }
            Some(_) => {
                self.end_stream(id, Code::PROTOCOL_ERROR);
                Ok(())
            }
        }
    }
}

impl Cursor<'_> {
    /// A stream ended by the peer.
    pub(super) fn ended(&mut self, id: u32, code: Code) -> Result<(), Fault> {
        let Some(stream) = self.connection.streams.find(id) else {
            return self.connection.floods.late_frame(self.now);
        };
        let unanswered = stream.unanswered;
        self.connection.forget(id);
        let stream = StreamId(id);
        if unanswered && self.connection.role == Role::Server {
            self.connection.floods.taken_back(self.now)?;
        }
        let asked = unanswered && self.connection.role == Role::Client;
        self.events.push(match code {
            Code::REFUSED_STREAM if asked => Event::Refused { stream },
            _ => Event::Reset { stream, code, by: By::Peer },
        });
        Ok(())
    }
}

/// The header block in the payload of a HEADERS frame.
fn without_padding(head: Head, payload: &[u8]) -> Result<&[u8], Fault> {
    let wrong = || protocol("more padding than frame");
    let mut bytes = payload;
    if head.has(frame::PADDED) {
        let (length, rest) = payload.split_first().ok_or_else(wrong)?;
        let end = rest.len().checked_sub(usize::from(*length)).ok_or_else(wrong)?;
        bytes = &rest[..end];
    }
    if head.has(frame::PRIORITY) {
        bytes = bytes.get(5..).ok_or_else(wrong)?;
    }
    Ok(bytes)
}
