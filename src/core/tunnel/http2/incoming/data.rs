//! DATA frames (RFC 9113 §6.1): counted against the windows as they begin, handed on as they come.

use serde::{Deserialize, Serialize};

use super::super::frame::{self, Head};
use super::super::window::Exceeded;
use super::super::{Code, Event, Role, StreamId};
use super::{Cursor, Input, State, fault, protocol};
use crate::tunnel::Fault;

/// A DATA frame whose payload is still coming.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Data {
    stream: u32,
    /// Payload to come.
    left: u32,
    /// Padding to come; `None`: its length is still to come.
    padding: Option<u32>,
    end: bool,
    /// Whether anybody wants it: the stream may be over.
    wanted: bool,
}

impl Cursor<'_> {
    pub(super) fn begin_data(&mut self, head: Head) -> Result<(), Fault> {
        if head.stream == 0 || self.is_idle(head.stream) {
            return Err(protocol("DATA for a stream that was never opened"));
        }
        let end = head.has(frame::END_STREAM);
        if head.length == 0 && !end {
            self.pointless()?;
        }
        if self.connection.receiving.receive(head.length) == Err(Exceeded) {
            self.connection.overruns.of_tunnel += 1;
            return Err(fault(Code::FLOW_CONTROL_ERROR, "more data than the window allows"));
        }
        let wanted = self.count(head)?;
        if !wanted {
            self.connection.floods.late_data(self.now, head.length)?;
            self.connection.give_back(head.length);
        }
        let padding = if head.has(frame::PADDED) { None } else { Some(0) };
        if head.length == 0 && padding.is_none() {
            return Err(fault(
                Code::FRAME_SIZE_ERROR,
                "a padded DATA frame without the length of its padding",
            ));
        }
        self.go_on(Data { stream: head.stream, left: head.length, padding, end, wanted });
        Ok(())
    }

    /// Counts a frame against the window of its stream; says whether the stream takes it.
    fn count(&mut self, head: Head) -> Result<bool, Fault> {
        let Some(stream) = self.connection.streams.find_mut(head.stream) else { return Ok(false) };
        if stream.received_all {
            self.end_stream(head.stream, Code::STREAM_CLOSED);
            return Ok(false);
        }
        if stream.unanswered && self.connection.role == Role::Client {
            // An answer begins with HEADERS (RFC 9113 §8.1).
            self.end_stream(head.stream, Code::PROTOCOL_ERROR);
            return Ok(false);
        }
        if stream.receiving.receive(head.length).is_err() {
            self.connection.overruns.of_stream += 1;
            // The stream is given up; what it has taken of the connection's window goes back.
            self.end_stream(head.stream, Code::FLOW_CONTROL_ERROR);
            return Ok(false);
        }
        Ok(true)
    }

    pub(super) fn data(&mut self, mut data: Data, input: &mut Input<'_>) -> Result<(), Fault> {
        // The stream may have been given up in the middle of the frame.
        data.wanted &= self.connection.streams.find(data.stream).is_some();
        let padding = match data.padding {
            Some(padding) => padding,
            None => {
                let &[padding] = input.take(1) else { return Ok(()) };
                let padding = u32::from(padding);
                data.left -= 1;
                if padding > data.left {
                    return Err(protocol("more padding than frame"));
                }
                data.left -= padding;
                // Padding is nobody's: its part of the window goes back at once.
                self.consume(&data, padding + 1);
                padding
            }
        };
        data.padding = Some(padding);
        self.payload(&mut data, input);
        if data.left == 0 {
            let skipped = input.take(padding as usize).len();
            data.padding = Some(padding - u32::try_from(skipped).unwrap_or(padding));
        }
        self.go_on(data);
        Ok(())
    }

    fn payload(&mut self, data: &mut Data, input: &mut Input<'_>) {
        let at = input.at;
        let came = input.take(data.left as usize).len();
        if came == 0 {
            return;
        }
        data.left -= u32::try_from(came).unwrap_or(data.left);
        if data.wanted {
            let (stream, place) = (StreamId(data.stream), at..at + came);
            self.events.push(Event::Data { stream, place });
        }
    }

    fn consume(&mut self, data: &Data, bytes: u32) {
        if data.wanted {
            self.connection.consumed(StreamId(data.stream), bytes as usize);
        }
    }

    /// Ends the frame when all has come.
    fn go_on(&mut self, data: Data) {
        if data.left > 0 || data.padding != Some(0) {
            return self.stay(State::Data(data));
        }
        if data.end && data.wanted {
            self.received_all(data.stream);
        }
    }

    /// The peer has sent all of a stream.
    pub(super) fn received_all(&mut self, id: u32) {
        if self.connection.streams.find(id).is_some() {
            self.connection.streams.received_all(id);
            self.events.push(Event::End { stream: StreamId(id) });
            self.connection.forget_when_over(id);
        }
    }
}
