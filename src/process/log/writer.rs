//! The thread that writes lines: pieces of the [`queue`](super::queue) go in, and out to stdout.
//!
//! It may be stuck for as long as nobody reads; nobody waits for it. It never ends by itself.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::queue::Queue;

/// Stdout may have been given to us as one that does not wait.
const NOT_READY: Duration = Duration::from_millis(10);

pub(super) fn spawn(queue: Arc<Queue>, out: impl Write + Send + 'static) -> io::Result<()> {
    let mut writer = Writer { out, torn: false };
    let run = move || {
        loop {
            let piece = queue.take();
            match writer.write(&piece.bytes) {
                Ok(()) => queue.written(&piece),
                Err(lines) => queue.failed(&piece, lines),
            }
        }
    };
    thread::Builder::new().name("log".to_owned()).spawn(run).map(drop)
}

struct Writer<W> {
    out: W,
    /// A line was cut by an error; what comes next must not be taken for its rest.
    torn: bool,
}

impl<W: Write> Writer<W> {
    /// Writes lines, or says how many were not written whole.
    fn write(&mut self, lines: &[u8]) -> Result<(), u64> {
        if self.torn {
            self.all(b"\n").map_err(|_| count(lines))?;
            self.torn = false;
        }
        self.all(lines).map_err(|done| {
            self.torn = done > 0 && lines[done - 1] != b'\n';
            count(&lines[done..])
        })
    }

    /// Writes everything, or says how much was written before an error.
    fn all(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut done = 0;
        while done < bytes.len() {
            match self.out.write(&bytes[done..]) {
                Ok(0) => return Err(done),
                Ok(more) => done += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(NOT_READY),
                Err(_) => return Err(done),
            }
        }
        Ok(())
    }
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().fold(0, |count, byte| count + u64::from(*byte == b'\n'))
}

#[cfg(test)]
mod tests;
