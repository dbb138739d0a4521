//! The frames that steer: RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE (RFC 9113 §6.4 to §6.9).

use super::super::connection::{Leaving, WARNED};
use super::super::frame::{self, Head};
use super::super::{Code, Event, Role, StreamId};
use super::{Cursor, fault, protocol};
use crate::tunnel::Fault;

impl Cursor<'_> {
    pub(super) fn reset(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        if head.stream == 0 || self.is_idle(head.stream) {
            return Err(protocol("RST_STREAM for a stream that was never opened"));
        }
        self.ended(head.stream, Code(number(payload)))
    }

    pub(super) fn settings(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(protocol("SETTINGS for a stream"));
        }
        if head.has(frame::ACK) {
            return self.settings_ack(payload);
        }
        if self.connection.liveness.has_begun() {
            self.pointless()?;
        }
        self.connection.liveness.begun(self.now);
        let before = self.connection.peer.window;
        self.connection.peer.take(payload)?;
        frame::put_settings_ack(&mut self.connection.control);
        self.resize(i64::from(self.connection.peer.window) - i64::from(before))?;
        if self.connection.role == Role::Client {
            self.events.push(Event::Capacity);
        }
        Ok(())
    }

    /// The peer has seen that our decoder has no table, and what our windows are.
    fn settings_ack(&mut self, payload: &[u8]) -> Result<(), Fault> {
        if !payload.is_empty() {
            return Err(fault(Code::FRAME_SIZE_ERROR, "a SETTINGS acknowledgement with settings"));
        }
        self.connection.parser.decoder.limit(0);
        let was_settled = std::mem::replace(&mut self.connection.settled, true);
        if !was_settled && self.connection.role == Role::Server {
            let by = self.connection.share.unsettled();
            self.connection.streams.iter_mut().for_each(|(_, stream)| stream.receiving.narrow(by));
        }
        self.pointless()
    }

    /// The windows of all streams change with the initial one (RFC 9113 §6.9.2).
    fn resize(&mut self, by: i64) -> Result<(), Fault> {
        if by == 0 {
            return Ok(());
        }
        for (_, stream) in self.connection.streams.iter_mut() {
            stream.sending.change(by).map_err(|_| too_large())?;
        }
        for id in self.connection.streams.above(0) {
            self.feed(id);
        }
        Ok(())
    }

    /// A stream may have room again.
    fn feed(&mut self, id: u32) {
        let whole = self.connection.sending.room();
        let Some(stream) = self.connection.streams.find_mut(id) else { return };
        if !stream.starved || stream.sending.room() == 0 {
            return;
        }
        if whole > 0 {
            stream.starved = false;
            self.events.push(Event::Room { stream: StreamId(id) });
        } else if !std::mem::replace(&mut stream.queued, true) {
            self.connection.starved.push_back(id);
        }
    }

    pub(super) fn ping(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        let Ok(payload) = <[u8; 8]>::try_from(payload) else {
            return Err(fault(Code::FRAME_SIZE_ERROR, "a PING frame that is not 8 octets"));
        };
        if head.stream != 0 {
            return Err(protocol("PING for a stream"));
        }
        self.pointless()?;
        if !head.has(frame::ACK) {
            frame::put_ping(&mut self.connection.control, payload, true);
        } else if payload == WARNED && self.connection.leaving == Leaving::Warned {
            self.connection.leave_at_once(Code::NO_ERROR);
        }
        Ok(())
    }

    pub(super) fn go_away(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(protocol("GOAWAY for a stream"));
        }
        let Some((last, rest)) = payload.split_at_checked(4) else {
            return Err(fault(Code::FRAME_SIZE_ERROR, "a GOAWAY frame shorter than 8 octets"));
        };
        self.pointless()?;
        let (last, code) = (number(last) & 0x7fff_ffff, Code(number(rest)));
        self.connection.told = Some(code);
        self.events.push(Event::Capacity);
        if self.connection.role == Role::Client {
            for id in self.connection.streams.above(last) {
                self.unseen(id);
            }
        }
        // Streams up to the last one may go on, but after an error nothing more comes.
        if code != Code::NO_ERROR { Err(Fault::GoAway(code)) } else { Ok(()) }
    }

    /// The peer says it has not looked at a stream.
    fn unseen(&mut self, id: u32) {
        let Some(stream) = self.connection.streams.find(id) else { return };
        let unanswered = stream.unanswered;
        self.connection.forget(id);
        let stream = StreamId(id);
        let code = Code::REFUSED_STREAM;
        self.events.push(match unanswered {
            true => Event::Refused { stream },
            false => Event::Reset { stream, code, by: super::super::By::Peer },
        });
    }

    pub(super) fn window_update(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        self.connection.floods.window_update()?;
        let increment = number(payload) & 0x7fff_ffff;
        if head.stream != 0 {
            return self.stream_window(head.stream, increment);
        }
        if increment == 0 {
            return Err(protocol("WINDOW_UPDATE by nothing"));
        }
        self.connection.sending.change(i64::from(increment)).map_err(|_| too_large())?;
        self.feed_starved();
        Ok(())
    }

    fn stream_window(&mut self, id: u32, increment: u32) -> Result<(), Fault> {
        if self.is_idle(id) {
            return Err(protocol("WINDOW_UPDATE for a stream that was never opened"));
        }
        let Some(stream) = self.connection.streams.find_mut(id) else { return Ok(()) };
        if increment == 0 {
            self.end_stream(id, Code::PROTOCOL_ERROR);
        } else if stream.sending.change(i64::from(increment)).is_err() {
            self.end_stream(id, Code::FLOW_CONTROL_ERROR);
        } else {
            self.feed(id);
        }
        Ok(())
    }

    /// The connection has room again: for those that wait longest first.
    fn feed_starved(&mut self) {
        if self.connection.sending.room() == 0 {
            return;
        }
        for id in std::mem::take(&mut self.connection.starved) {
            if let Some(stream) = self.connection.streams.find_mut(id) {
                stream.queued = false;
            }
            self.feed(id);
        }
    }
}

fn too_large() -> Fault {
    fault(Code::FLOW_CONTROL_ERROR, "a window above 2^31-1")
}

fn number(payload: &[u8]) -> u32 {
    payload.first_chunk().copied().map_or(0, u32::from_be_bytes)
}
