//! A TCP connection as a [`Source`] and a [`Sink`].

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::stream::{Broken, Sink, Source};

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

impl Source for TcpSource {
    async fn read(&mut self) -> Result<Option<Bytes>, Broken> {
        loop {
            self.stream.readable().await.map_err(broken)?;
            // Borrowed only while there is something to read: an idle connection holds no buffer.
            let mut buffer = BytesMut::with_capacity(self.want);
            match self.stream.try_read_buf(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(read) => {
                    self.adapt(read);
                    return Ok(Some(buffer.freeze()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(broken(error)),
            }
        }
    }

    async fn attend(&mut self) -> Broken {
        // A reset takes back what was sent before it.
        reset_of(&self.stream).await
    }
}

/// Resolves when the other side has reset the connection. Cancel safe.
async fn reset_of(stream: &TcpStream) -> Broken {
    loop {
        match stream.ready(Interest::ERROR).await {
            Err(error) => return broken(error),
            Ok(ready) if ready.is_error() => match stream.take_error() {
                Ok(Some(error)) => return broken(error),
                // Both directions were shut down in order; nothing is left that could break.
                Ok(None) => std::future::pending().await,
                Err(error) => return broken(error),
            },
            Ok(_) => {}
        }
    }
}

impl TcpSource {
    fn adapt(&mut self, read: usize) {
        if read == self.want {
            self.want = (self.want * 2).min(LARGEST_READ);
        } else if read < self.want / 4 {
            self.want = (self.want / 2).max(SMALLEST_READ);
        }
    }
}

impl Sink for TcpSink {
    async fn write(&mut self, mut bytes: Bytes) -> Result<(), Broken> {
        while !bytes.is_empty() {
            match self.stream.try_write(&bytes) {
                Ok(written) => drop(bytes.split_to(written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stream.writable().await.map_err(broken)?;
                }
                Err(error) => return Err(broken(error)),
            }
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Broken> {
        match culvert_sys::tcp::end_sending(&*self.stream) {
            // The other side is gone, and it is the reading direction that tells whether properly.
            Err(error) if error.kind() != io::ErrorKind::NotConnected => Err(broken(error)),
            _ => Ok(()),
        }
    }

    fn reset(&mut self) {
        // Fails only for what is not a socket.
        let _ = culvert_sys::tcp::reset_on_close(&*self.stream);
    }

    async fn broken(&mut self) -> Broken {
        reset_of(&self.stream).await
    }

    async fn flush(&mut self) {
        // The kernel tells nobody when its queue has drained.
        while culvert_sys::tcp::unsent(&*self.stream).is_ok_and(|bytes| bytes > 0) {
            tokio::time::sleep(QUEUE_LOOK).await;
        }
    }
}

fn broken(error: io::Error) -> Broken {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    if matches!(error.kind(), ConnectionReset | BrokenPipe | ConnectionAborted) {
        return Broken::Reset;
    }
    Broken::Lost(error.to_string())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

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
        assert_eq!(source.read().await.unwrap().unwrap(), "all");
        assert_eq!(source.read().await, Ok(None));
        sink.write("answer".into()).await.unwrap();
        sink.finish().await.unwrap();
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
        assert_eq!(sink.broken().await, Broken::Reset);
        assert!(matches!(source.read().await, Ok(None) | Err(Broken::Reset)));
    }

    #[tokio::test]
    async fn a_reset_after_the_end_is_still_seen() {
        let (ours, mut theirs) = pair().await;
        let (mut source, mut sink) = split(ours);
        theirs.shutdown().await.unwrap();
        assert_eq!(source.read().await, Ok(None));
        culvert_sys::tcp::reset_on_close(&theirs).unwrap();
        drop(theirs);
        assert_eq!(sink.broken().await, Broken::Reset);
    }

    #[tokio::test]
    async fn dropping_it_unfinished_is_a_reset() {
        let (ours, mut theirs) = pair().await;
        drop(split(ours));
        let error = theirs.read(&mut [0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
