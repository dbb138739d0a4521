//! Octets in and out of the pipe, in pieces of any size.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use culvert_core::tunnel::Fault;
use culvert_core::tunnel::http2::Code;
use rand::RngExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Ours;
use crate::plan::End;

impl Ours {
    pub(super) fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, String> {
        if self.ended.reading {
            return Ok(false);
        }
        if self.read_rest > 0 {
            self.read_rest -= 1;
            return Ok(true);
        }
        if self.random.random_ratio(1, 20) {
            self.read_rest = self.random.random_range(1..30);
        }
        let most = 1 << self.random.random_range(3..16);
        let mut input = vec![0; self.random.random_range(1..=most)];
        let mut buffer = ReadBuf::new(&mut input);
        let Poll::Ready(read) = Pin::new(&mut self.io).poll_read(cx, &mut buffer) else { return Ok(false) };
        read.map_err(|error| format!("cannot read: {error}"))?;
        let length = buffer.filled().len();
        if length == 0 {
            self.ended.reading = true;
            return Ok(true);
        }
        if !self.plan.is_cut() || !self.ended.writing {
            self.take(&input[..length])?;
        }
        Ok(true)
    }

    /// Hands on what was read, in pieces.
    fn take(&mut self, input: &[u8]) -> Result<(), String> {
        self.clock.asked = false;
        let mut events = Vec::new();
        let mut at = 0;
        while at < input.len() {
            let most = input.len() - at;
            let piece = if self.random.random() { most } else { self.random.random_range(1..=most) };
            let received = self.http2.receive(self.clock.now, &input[at..at + piece], at, &mut events);
            if let Err(fault) = received {
                return self.cut(fault);
            }
            at += piece;
            if self.random.random() {
                self.take_events(&mut events, input)?;
            }
        }
        self.take_events(&mut events, input)
    }

    fn cut(&mut self, fault: Fault) -> Result<(), String> {
        let told = self.plan.leave.filter(|leave| leave.by == End::Theirs).and_then(|leave| leave.code);
        if told.is_none_or(|code| fault != Fault::GoAway(Code(code))) {
            return Err(fault.to_string());
        }
        self.ended.writing = true;
        Ok(())
    }

    /// Frames go before the payload that follows them.
    pub(super) fn collect(&mut self) {
        self.out.append(self.http2.control());
    }

    pub(super) fn write(&mut self, cx: &mut Context<'_>) -> Result<bool, String> {
        if self.is_done() && !self.ended.writing {
            // A client has nothing left to ask for.
            self.http2.leave();
            self.ended.writing = true;
        }
        self.collect();
        if self.write_rest > 0 {
            self.write_rest -= 1;
            return Ok(true);
        }
        if self.random.random_ratio(1, 20) {
            self.write_rest = self.random.random_range(1..30);
        }
        match self.poll_write(cx) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(progress)) => Ok(progress),
            // Nobody is there; what was sent to us before can still be read.
            Poll::Ready(Err(_)) => {
                self.ended.shut = true;
                self.out.clear();
                Ok(true)
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<bool>> {
        if self.ended.shut {
            self.out.clear();
            return Poll::Ready(Ok(false));
        }
        if self.out.is_empty() {
            if self.ended.writing {
                ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
                self.ended.shut = true;
            }
            return Poll::Ready(Ok(false));
        }
        let most = self.out.len();
        let length = if self.random.random() { most } else { self.random.random_range(1..=most) };
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.out[..length]))?;
        self.out.drain(..written);
        Poll::Ready(Ok(true))
    }
}
