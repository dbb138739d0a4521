//! The two directions of a TCP connection that is carried as it is.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

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

    /// Reads what there is: `None` when it is nothing yet, 0 at the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Broken> {
        match self.stream.try_read(&mut buffer[..self.want]) {
            Ok(read) => {
                self.adapt(read);
                Ok(Some(read))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(Broken::of(&error)),
        }
    }

    /// Looks after the source while the bytes before are still being passed on; resolves only when it breaks: a reset takes
    /// back what was sent before it. Cancel safe.
    pub(crate) async fn attend(&self) -> Broken {
        reset_of(&self.stream).await
    }
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

    fn adapt(&mut self, read: usize) {
        if read == self.want {
            self.want = (self.want * 2).min(LARGEST_READ);
        } else if read < self.want / 4 {
            self.want = (self.want / 2).max(SMALLEST_READ);
        }
    }
}

impl TcpSink {
    /// Passes bytes on; resolves when there is room for more. Not cancel safe.
    pub(crate) async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Broken> {
        while !bytes.is_empty() {
            match self.stream.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stream.writable().await.map_err(|error| Broken::of(&error))?;
                }
                Err(error) => return Err(Broken::of(&error)),
            }
        }
        Ok(())
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
        let mut buffer = Borrowed::new();
        loop {
            source.ready().await?;
            if let Some(read) = source.read(&mut buffer)? {
                return Ok(buffer[..read].to_vec());
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
        sink.write(b"answer").await.unwrap();
        sink.finish().unwrap();
        let mut answer = String::new();
        theirs.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
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
