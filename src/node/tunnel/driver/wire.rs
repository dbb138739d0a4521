//! The tunnel's own socket.

use std::io::{self, IoSlice, IoSliceMut};
use std::ops::Range;
use std::task::{Context, Poll};
use std::time::Instant;

use culvert_core::tunnel::http2::{Event, StreamId};
use culvert_sys::stream;

use super::evidence::LastInfo;
use super::{Driver, Over, attempt};
use crate::buffers;
use crate::stream::Loss;
use crate::tunnel::socket::Socket;

#[derive(Debug)]
pub(super) struct Wire {
    pub(super) socket: Socket,
    readable: bool,
    /// A borrowed buffer, or none.
    input: Vec<u8>,
    /// How much of it is the beginning of a record.
    filled: usize,
    /// The beginning of a record while no buffer is borrowed.
    carried: Vec<u8>,
    pub(super) last: LastInfo,
}

impl Wire {
    pub(super) fn new(socket: Socket, rest: Vec<u8>) -> Self {
        // There may be whole records in the rest: they are looked at without waiting for more.
        let readable = !rest.is_empty();
        Self { socket, readable, input: Vec::new(), filled: 0, carried: rest, last: LastInfo::default() }
    }

    /// Lets go of the buffer.
    pub(super) fn rest(&mut self) {
        if self.input.is_empty() {
            return;
        }
        self.carried = self.input[..self.filled].to_vec();
        self.filled = 0;
        buffers::give_back(std::mem::take(&mut self.input));
    }

    fn borrow(&mut self) {
        if self.input.is_empty() {
            self.input = buffers::borrow();
            self.filled = self.carried.len();
            self.input[..self.filled].copy_from_slice(&self.carried);
            self.carried = Vec::new();
        }
    }

    /// Reads behind what is there; `None` when there is nothing, 0 at the end.
    fn read(&mut self) -> io::Result<Option<usize>> {
        let free = &mut self.input[self.filled..];
        let length = free.len();
        let read = attempt::read(
            &self.socket,
            || stream::read(&self.socket, &mut [IoSliceMut::new(free)]),
            |read| *read < length,
        );
        match read {
            Ok(read) => {
                self.readable = read == length;
                Ok(Some(read))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Driver {
    /// Reads what has come, and passes it on; says whether there may be more. When not, we are woken when there is.
    pub(super) fn read_wire(&mut self, cx: &mut Context<'_>) -> Result<bool, Over> {
        let read = loop {
            if !self.wire.readable {
                match self.wire.socket.poll_read_ready(cx) {
                    Poll::Pending => return Ok(false),
                    Poll::Ready(ready) => ready.map_err(lost)?,
                }
            }
            self.wire.borrow();
            match self.wire.read().map_err(lost)? {
                Some(read) => break read,
                // The rest of the handshake may be whole records.
                None if self.wire.filled > 0 => self.take_input()?,
                None => {}
            }
        };
        self.wire.filled += read;
        self.take_input()?;
        if read == 0 {
            return Err(self.end_of_wire());
        }
        Ok(true)
    }

    fn take_input(&mut self) -> Result<(), Over> {
        let mut input = std::mem::take(&mut self.wire.input);
        let mut events = std::mem::take(&mut self.events);
        let taken = self.engine.receive(Instant::now(), &mut input[..self.wire.filled], &mut events);
        self.take_events(&mut events, &input);
        self.events = events;
        self.gauge.owes_since(self.engine.http2().owes_since());
        let taken = taken.inspect_err(|_| self.wire.filled = 0);
        if let Ok(taken) = taken {
            input.copy_within(taken..self.wire.filled, 0);
            self.wire.filled -= taken;
        }
        self.wire.input = input;
        taken.map_err(Over::Fault)?;
        if self.engine.is_ended() {
            return Err(self.end_of_wire());
        }
        Ok(())
    }

    fn end_of_wire(&self) -> Over {
        if self.legs.is_empty() || self.engine.http2().is_over() {
            return Over::Done;
        }
        let in_order = self.engine.is_ended() || self.engine.http2().told().is_some();
        Over::Lost(if in_order { Loss::Closed } else { Loss::Vanished })
    }

    fn take_events(&mut self, events: &mut Vec<Event>, input: &[u8]) {
        let mut rest = events.as_mut_slice();
        while let Some((first, more)) = rest.split_first_mut() {
            let used = if let Event::Data { stream, place } = first {
                self.deliver_run(*stream, place.clone(), more, input)
            } else {
                self.take_event(first);
                0
            };
            rest = &mut more[used..];
        }
        events.clear();
        if events.capacity() > MOST_EVENTS_KEPT {
            *events = Vec::new();
        }
    }

    /// Delivers DATA of one stream that came in a row, with one write; says how many more events that were.
    fn deliver_run(&mut self, stream: StreamId, first: Range<usize>, more: &[Event], input: &[u8]) -> usize {
        let mut pieces = [IoSlice::new(&[]); MOST_PIECES];
        pieces[0] = IoSlice::new(&input[first]);
        let mut count = 1;
        for (event, piece) in more.iter().zip(&mut pieces[1..]) {
            let Event::Data { stream: same, place } = event else { break };
            if *same != stream {
                break;
            }
            *piece = IoSlice::new(&input[place.clone()]);
            count += 1;
        }
        self.deliver(stream, &pieces[..count]);
        count - 1
    }

    /// Writes what there is to be sent; says whether all of it went.
    pub(super) fn flush(&mut self, cx: &mut Context<'_>) -> Result<bool, Over> {
        let mut progress = false;
        while self.engine.has_output() {
            self.lend();
            let output = self.engine.output().map_err(Over::Fault)?;
            if output.is_empty() {
                break;
            }
            let socket = &self.wire.socket;
            let write = || stream::write(socket, &[IoSlice::new(output)]);
            let written = match attempt::write(socket, cx, output.len(), write) {
                Ok(written) => written,
                Err(error) => return Err(self.hear_out(cx, lost(error))),
            };
            self.engine.written(written.bytes);
            progress |= written.bytes > 0;
            if written.blocked {
                return Ok(progress);
            }
        }
        self.take_back_small();
        Ok(progress)
    }
}

/// Room kept for events: a buffer full of tiny frames, from a peer that may be hostile, makes many more.
const MOST_EVENTS_KEPT: usize = 256;

impl Driver {
    /// The peer hears nothing any more; what it has said is still in the socket.
    fn hear_out(&mut self, cx: &mut Context<'_>, over: Over) -> Over {
        loop {
            // tokio may not know yet: the kernel is asked.
            self.wire.readable = true;
            match self.read_wire(cx) {
                Ok(true) => {}
                Ok(false) => return over,
                Err(over) => return over,
            }
        }
    }
}

/// Pieces written at once: a buffer holds little more than so many records.
const MOST_PIECES: usize = 32;

fn lost(error: io::Error) -> Over {
    Over::Lost(Loss::Failed(error.to_string()))
}
