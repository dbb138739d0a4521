//! The two directions of a TCP connection that is carried as it is.

use std::io::{self, IoSliceMut};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use culvert_sys::stream;
use culvert_sys::tcp::Info;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::stream::Broken;

/// The reading direction.
#[derive(Debug)]
pub(crate) struct TcpSource {
    stream: Arc<TcpStream>,
    /// How much to ask for next: grows while reads fill it, shrinks when they do not.
    want: usize,
}

/// The writing direction. Until it is finished, the end of the socket is a break: whatever cuts the work short, a
/// dropped task or a killed process, the other side cannot take what it has for complete.
#[derive(Debug)]
pub(crate) struct TcpSink {
    stream: Arc<TcpStream>,
}

/// Time between two looks at the kernel's send queue.
const QUEUE_LOOK: Duration = Duration::from_millis(2);
const SMALLEST_READ: usize = 4 * 1024;
const LARGEST_READ: usize = 256 * 1024;

/// Takes a connection apart into its directions; it closes when both are dropped.
pub(crate) fn split(stream: TcpStream) -> (TcpSource, TcpSink) {
    let stream = Arc::new(stream);
    let (source, mut sink) =
        (TcpSource { stream: Arc::clone(&stream), want: SMALLEST_READ }, TcpSink { stream });
    sink.reset();
    (source, sink)
}

impl TcpSource {
    /// Resolves when there may be something to read. Cancel safe.
    pub(crate) async fn ready(&self) -> Result<(), Broken> {
        self.stream.readable().await.map_err(|error| Broken::of(&error))
    }

    /// Shows `take` what there is, and drops as much of it as that has taken. What it has not stays with the kernel, whose window
    /// then tells the sender to wait.
    ///
    /// # Errors
    /// How the connection broke. Nothing is dropped twice, or shown again that was taken.
    pub(crate) fn offer(
        &mut self,
        buffer: &mut [u8],
        take: impl FnOnce(&[u8]) -> usize,
    ) -> Result<Offered, Broken> {
        let (stream, seen) = (&*self.stream, &mut buffer[..self.want]);
        match stream.try_io(Interest::READABLE, || offer(stream, seen, take)) {
            Ok(offered) => {
                self.adapt(offered);
                Ok(offered)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Offered::Nothing),
            Err(error) => Err(Broken::of(&error)),
        }
    }

    /// Looks after the source while what it has sent before waits; resolves only when it breaks. Cancel safe.
    pub(crate) async fn attend(&self) -> Broken {
        reset_of(&self.stream).await
    }
}

/// What came of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offered {
    /// There is nothing yet.
    Nothing,
    /// There will be nothing more.
    End,
    /// All that was shown has been taken: so many bytes.
    Taken(usize),
    /// So many bytes were taken, and some were not.
    Left(usize),
}

fn offer(stream: &TcpStream, seen: &mut [u8], take: impl FnOnce(&[u8]) -> usize) -> io::Result<Offered> {
    let length = stream::peek(stream, seen)?;
    if length == 0 {
        // The end itself is to be read, too, with an urgent byte that may be before it: a socket that is closed with anything unread is
        // reset, and what it has not sent yet is lost.
        stream::read(stream, &mut [IoSliceMut::new(&mut [0])])?;
        return Ok(Offered::End);
    }
    let taken = take(&seen[..length]);
    // Whatever this fails with, what was taken must not be shown again.
    stream::skip(stream, &mut seen[..taken]).map_err(io::Error::other)?;
    Ok(if taken < length { Offered::Left(taken) } else { Offered::Taken(taken) })
}

fn probe_every(stream: &TcpStream, pause: Duration) {
    // Fails only for what is not a TCP socket.
    let _ = culvert_sys::tcp::probe_every(stream, pause);
}

/// Resolves when the other side has reset the connection. Cancel safe.
async fn reset_of(stream: &TcpStream) -> Broken {
    loop {
        match stream.ready(Interest::ERROR).await {
            Err(error) => return Broken::of(&error),
            Ok(ready) if ready.is_error() => match stream.take_error() {
                Ok(Some(error)) => return Broken::of(&error),
                // Both directions were shut down in order; nothing is left that could break.
                Ok(None) => std::future::pending().await,
                Err(error) => return Broken::of(&error),
            },
            Ok(_) => {}
        }
    }
}

impl TcpSource {
    /// Has the other side asked this often whether it is there.
    pub(crate) fn probe_every(&self, pause: Duration) {
        probe_every(&self.stream, pause);
    }

    fn adapt(&mut self, offered: Offered) {
        match offered {
            Offered::Taken(taken) if taken == self.want => self.want = (self.want * 2).min(LARGEST_READ),
            Offered::Taken(taken) if taken < self.want / 4 => self.want = (self.want / 2).max(SMALLEST_READ),
            // What is shown and not taken is copied for nothing.
            Offered::Left(taken) => self.want = taken.max(SMALLEST_READ),
            Offered::Taken(_) | Offered::Nothing | Offered::End => {}
        }
    }
}

impl TcpSink {
    /// Passes on as much as the kernel takes at once; says how much that is.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        let mut taken = 0;
        while taken < bytes.len() {
            match self.stream.try_write(&bytes[taken..]) {
                Ok(written) => taken += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // The next attempt fails in the same way.
                Err(_) if taken > 0 => break,
                Err(error) => return Err(Broken::of(&error)),
            }
        }
        Ok(taken)
    }

    /// Resolves when the kernel takes more. Cancel safe.
    pub(crate) async fn room(&self) -> Result<(), Broken> {
        self.stream.writable().await.map_err(|error| Broken::of(&error))
    }

    /// Says that all bytes were written: FIN.
    pub(crate) fn finish(&mut self) -> Result<(), Broken> {
        match culvert_sys::tcp::end_sending(&*self.stream) {
            // The other side is gone, and it is the reading direction that tells whether properly.
            Err(error) if error.kind() != io::ErrorKind::NotConnected => Err(Broken::of(&error)),
            _ => Ok(()),
        }
    }

    /// Has the other side asked this often whether it is there.
    pub(crate) fn probe_every(&self, pause: Duration) {
        probe_every(&self.stream, pause);
    }

    /// Breaks the stream, both directions, so that the other side cannot take what it has for complete.
    pub(crate) fn reset(&mut self) {
        // Fails only for what is not a socket.
        let _ = culvert_sys::tcp::reset_on_close(&*self.stream);
    }

    /// Resolves when the other side has broken the stream. Cancel safe.
    pub(crate) async fn broken(&mut self) -> Broken {
        reset_of(&self.stream).await
    }

    /// What the kernel knows of the connection.
    pub(crate) fn info(&self) -> Option<Info> {
        culvert_sys::tcp::info(&*self.stream).ok()
    }

    /// Resolves when what was written has left, or never will. Cancel safe.
    pub(crate) async fn flush(&mut self) {
        taken(&self.stream).await;
    }
}

/// Resolves when the other side's kernel has all that was written, or never will. Cancel safe.
pub(crate) async fn taken(socket: &(impl AsFd + Sync)) {
    // The kernel tells nobody when its queue has drained.
    while culvert_sys::tcp::unsent(socket).is_ok_and(|bytes| bytes > 0) {
        tokio::time::sleep(QUEUE_LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::buffers::Borrowed;
    use crate::stream::Reset;

    /// What comes next; nothing at the end.
    async fn read(source: &mut TcpSource) -> Result<Vec<u8>, Broken> {
        let (mut buffer, mut read) = (Borrowed::new(), Vec::new());
        loop {
            source.ready().await?;
            let offered = source.offer(&mut buffer, |bytes| {
                read.extend_from_slice(bytes);
                bytes.len()
            })?;
            if offered != Offered::Nothing {
                return Ok(read);
            }
        }
    }

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (dialled, accepted) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (dialled.unwrap(), accepted.unwrap().0)
    }

    #[tokio::test]
    async fn an_end_is_an_end_and_the_other_direction_goes_on() {
        let (ours, mut theirs) = pair().await;
        let (mut source, mut sink) = split(ours);
        theirs.write_all(b"all").await.unwrap();
        theirs.shutdown().await.unwrap();
        assert_eq!(read(&mut source).await.unwrap(), b"all");
        assert_eq!(read(&mut source).await, Ok(Vec::new()));
        assert_eq!(sink.take(b"answer"), Ok(6));
        sink.finish().unwrap();
        let mut answer = String::new();
        theirs.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
    }

    #[tokio::test]
    async fn what_is_not_taken_is_offered_again() {
        let (ours, mut theirs) = pair().await;
        let (mut source, _sink) = split(ours);
        theirs.write_all(b"one two").await.unwrap();
        source.ready().await.unwrap();
        let mut buffer = Borrowed::new();
        assert_eq!(source.offer(&mut buffer, |_| 0), Ok(Offered::Left(0)));
        assert_eq!(source.offer(&mut buffer, |bytes| bytes.len() - 3), Ok(Offered::Left(4)));
        assert_eq!(read(&mut source).await.unwrap(), b"two");
        assert_eq!(source.offer(&mut buffer, <[u8]>::len), Ok(Offered::Nothing));
        drop(theirs);
        assert_eq!(read(&mut source).await, Ok(Vec::new()));
    }

    #[tokio::test]
    async fn what_came_before_a_reset_is_offered_after_it() {
        let (ours, mut theirs) = pair().await;
        let (mut source, _sink) = split(ours);
        theirs.write_all(b"last words").await.unwrap();
        source.ready().await.unwrap();
        let mut buffer = Borrowed::new();
        assert_eq!(source.offer(&mut buffer, |_| 0), Ok(Offered::Left(0)));
        culvert_sys::tcp::reset_on_close(&theirs).unwrap();
        drop(theirs);
        assert_eq!(source.attend().await, Broken::Reset(Reset::Socket));
        assert_eq!(source.offer(&mut buffer, <[u8]>::len), Ok(Offered::Taken(10)));
    }

    #[tokio::test]
    async fn a_reset_is_a_break_in_both_directions() {
        let (ours, theirs) = pair().await;
        let (mut source, mut sink) = split(ours);
        culvert_sys::tcp::reset_on_close(&theirs).unwrap();
        drop(theirs);
        assert_eq!(sink.broken().await, Broken::Reset(Reset::Socket));
        assert!(matches!(read(&mut source).await.as_deref(), Ok([]) | Err(Broken::Reset(Reset::Socket))));
    }

    #[tokio::test]
    async fn a_reset_after_the_end_is_still_seen() {
        let (ours, mut theirs) = pair().await;
        let (mut source, mut sink) = split(ours);
        theirs.shutdown().await.unwrap();
        assert_eq!(read(&mut source).await, Ok(Vec::new()));
        culvert_sys::tcp::reset_on_close(&theirs).unwrap();
        drop(theirs);
        assert_eq!(sink.broken().await, Broken::Reset(Reset::Socket));
    }

    #[tokio::test]
    async fn dropping_it_unfinished_is_a_reset() {
        let (ours, mut theirs) = pair().await;
        drop(split(ours));
        let error = theirs.read(&mut [0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
