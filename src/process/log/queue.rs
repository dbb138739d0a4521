//! Lines that wait to be written: pushed by whoever logs, taken by the [`writer`](super::writer) in large pieces.
//!
//! **Invariant:** the lock is held for the length of a copy, never while anything is written, so no thread that logs
//! waits for whoever reads. **Invariant:** what waits is bounded in lines and in bytes.
//!
//! After a loss nothing is taken until the queue is half empty: one gap, and one line about it, in place of many.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

const MAX_LINES: usize = 10_000;
const MAX_BYTES: usize = 8 << 20;
/// About what a pipe takes at once.
const PIECE: usize = 64 << 10;
/// How long the writer waits for more lines, so that a busy program wakes it 200 times a second and not for each line.
const LINGER: Duration = Duration::from_millis(5);

/// What is written at once: whole lines.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    lines: usize,
    /// How many lost lines this tells of. Such a line is a piece of its own.
    tells: u64,
}

/// The lines that wait.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    emptied: Condvar,
    lost: AtomicU64,
    errors: AtomicU64,
    /// Makes the line that tells how many were lost.
    tell: fn(u64) -> String,
}

#[derive(Debug)]
struct State {
    pieces: VecDeque<Piece>,
    /// With what is being written.
    lines: usize,
    bytes: usize,
    /// Lines lost of which nothing was said yet.
    untold: u64,
    /// The last write has failed: nothing is tried before there is something new.
    broken: bool,
    /// At how many pieces the writer wants to be woken.
    wake_at: usize,
    /// Somebody waits until all is written.
    hurry: bool,
}

impl Queue {
    pub(super) fn new(tell: fn(u64) -> String) -> Self {
        let state = State {
            pieces: VecDeque::new(),
            lines: 0,
            bytes: 0,
            untold: 0,
            broken: false,
            wake_at: usize::MAX,
            hurry: false,
        };
        Self {
            state: Mutex::new(state),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            lost: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            tell,
        }
    }

    /// Adds one whole line, or counts it as lost.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if !state.has_room(line.len()) {
            state.untold += 1;
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.tell_of_loss(&mut state);
        state.append(line);
        if state.pieces.len() >= state.wake_at {
            state.wake_at = usize::MAX;
            self.filled.notify_one();
        }
    }

    /// Waits for lines and takes some.
    pub(super) fn take(&self) -> Piece {
        let mut state = self.lock();
        loop {
            if state.pieces.is_empty() && !state.broken {
                self.tell_of_loss(&mut state);
            }
            if !state.pieces.is_empty() {
                break;
            }
            state.wake_at = 1;
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if !state.hurry && state.pieces.len() == 1 {
            state.wake_at = 2;
            state = self.filled.wait_timeout(state, LINGER).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.wake_at = usize::MAX;
        state.pieces.pop_front().unwrap_or_default()
    }

    /// A piece has been written.
    pub(super) fn written(&self, piece: &Piece) {
        self.settle(piece, |state| state.broken = false);
    }

    /// A piece could not be written; so many lines at its end are lost.
    pub(super) fn failed(&self, piece: &Piece, lines: u64) {
        let lines = if piece.tells > 0 { 0 } else { lines };
        self.errors.fetch_add(1, Ordering::Relaxed);
        self.lost.fetch_add(lines, Ordering::Relaxed);
        self.settle(piece, |state| {
            state.broken = true;
            state.untold += lines + piece.tells;
        });
    }

    fn settle(&self, piece: &Piece, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        state.lines -= piece.lines;
        state.bytes -= piece.bytes.len();
        change(&mut state);
        if state.is_settled() {
            self.emptied.notify_all();
        }
    }

    /// Has everything written at once, and waits for that as long as it is told.
    pub(super) fn flush(&self, patience: Duration) {
        let mut state = self.lock();
        state.hurry = true;
        self.filled.notify_all();
        // Whether it was in time or not: there is nothing more to be done.
        drop(self.emptied.wait_timeout_while(state, patience, |state| !state.is_settled()));
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    pub(super) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    fn tell_of_loss(&self, state: &mut State) {
        if state.untold == 0 {
            return;
        }
        let tells = std::mem::take(&mut state.untold);
        let bytes = (self.tell)(tells).into_bytes();
        state.bytes += bytes.len();
        state.pieces.push_back(Piece { bytes, lines: 0, tells });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_room(&self, len: usize) -> bool {
        let part = if self.untold > 0 { 2 } else { 1 };
        self.lines < MAX_LINES / part && self.bytes + len <= MAX_BYTES / part
    }

    fn append(&mut self, line: &[u8]) {
        self.lines += 1;
        self.bytes += line.len();
        match self.pieces.back_mut() {
            Some(piece) if piece.tells == 0 && piece.bytes.len() + line.len() <= PIECE => {
                piece.bytes.extend_from_slice(line);
                piece.lines += 1;
            }
            _ => self.pieces.push_back(Piece { bytes: line.to_vec(), lines: 1, tells: 0 }),
        }
    }

    /// All is written, or will never be.
    fn is_settled(&self) -> bool {
        self.bytes == 0 && (self.untold == 0 || self.broken)
    }
}

/// Hands formatted lines to the queue.
#[derive(Debug)]
pub(super) struct Lines(pub(super) Arc<Queue>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Queue;

    fn make_writer(&'a self) -> Self::Writer {
        &self.0
    }
}

impl io::Write for &Queue {
    /// The formatter writes each line with one call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
