//! A connection that is waited for in short steps: until a deadline, or until somebody says that it is over.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use culvert_sys::tcp;

/// How late it is noticed that it is over.
const TICK: Duration = Duration::from_millis(100);

/// Why nothing more is read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    /// Broken off, by either end or anybody between.
    Broken(io::ErrorKind),
    /// The deadline has passed.
    Late,
    /// Somebody said so.
    Over,
}

/// One end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'l> {
    pub(crate) stream: &'l TcpStream,
    pub(crate) deadline: Instant,
    pub(crate) over: &'l AtomicBool,
}

impl Line<'_> {
    /// Has reads and writes return often enough.
    pub(crate) fn tick(stream: &TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(TICK))?;
        stream.set_write_timeout(Some(TICK))
    }

    /// Reads what there is; nothing at the end.
    pub(crate) fn read(self, buffer: &mut [u8]) -> Result<usize, End> {
        self.until(|mut stream| stream.read(buffer))
    }

    /// Fills a buffer, or as much of it as comes before the end.
    pub(crate) fn read_all(self, buffer: &mut [u8]) -> Result<usize, End> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read(&mut buffer[filled..])? {
                0 => break,
                more => filled += more,
            }
        }
        Ok(filled)
    }

    pub(crate) fn write(self, mut bytes: &[u8]) -> Result<(), End> {
        while !bytes.is_empty() {
            let written = self.until(|mut stream| stream.write(bytes))?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Says nothing more; what breaks it off meanwhile is for the reader to see.
    pub(crate) fn end_sending(self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Has it reset when it is closed.
    pub(crate) fn reset_on_close(self) {
        let _ = tcp::reset_on_close(self.stream);
    }

    /// What makes a slow one slow.
    pub(crate) fn pause(self, length: Duration) -> Result<(), End> {
        let end = Instant::now() + length;
        while Instant::now() < end {
            self.still()?;
            thread::sleep(TICK.min(end.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }

    fn until(self, mut act: impl FnMut(&TcpStream) -> io::Result<usize>) -> Result<usize, End> {
        loop {
            self.still()?;
            match act(self.stream) {
                Err(error) if is_nothing_yet(&error) => {}
                result => return result.map_err(|error| End::Broken(error.kind())),
            }
        }
    }

    fn still(self) -> Result<(), End> {
        if self.over.load(Ordering::Relaxed) {
            return Err(End::Over);
        }
        if Instant::now() > self.deadline { Err(End::Late) } else { Ok(()) }
    }
}

/// A tick has passed. A connection that the kernel has given up says `TimedOut`, which is something else.
fn is_nothing_yet(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
