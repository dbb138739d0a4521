//! An application that waits to be told whether its connection was made.
//!
//! Who captured a connection has told its application "yes" before anybody knew; whoever asks for one is told the truth, ahead of
//! all that the other side says. The connection itself is with those who try to have it carried. What is here is a second handle on
//! it, and one word to say: whoever takes it says it, and nobody can say another one.
//!
//! It does not know what the word means.

use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::sync::{Mutex, PoisonError};

use tokio::net::TcpStream;

/// The word that is due to an application.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// What it is told when there is a connection.
    yes: &'static [u8],
    handle: Mutex<Option<std::net::TcpStream>>,
}

impl Waiting {
    /// The application at the other end of `stream` waits.
    pub(crate) fn new(stream: &TcpStream, yes: &'static [u8]) -> io::Result<Self> {
        let handle = stream.as_fd().try_clone_to_owned()?;
        Ok(Self { yes, handle: Mutex::new(Some(handle.into())) })
    }

    /// Tells it that there is a connection: what is written to it next is the other side's.
    pub(crate) fn connected(&self) -> io::Result<()> {
        // When it has been told otherwise, there must not be a connection.
        let mut handle = self.take().ok_or(io::ErrorKind::ConnectionAborted)?;
        // Next to nothing was said on it before: there is room.
        handle.write_all(self.yes)
    }

    /// Takes the word, to say something else on the connection; `None` when it was said.
    pub(crate) fn take(&self) -> Option<std::net::TcpStream> {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn one_word_is_said_and_no_other() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dialled = TcpStream::connect(listener.local_addr().unwrap()).await;
        let (mut application, near) = (dialled.unwrap(), listener.accept().await.unwrap().0);
        let waiting = Waiting::new(&near, b"yes").unwrap();
        waiting.connected().unwrap();
        assert!(waiting.take().is_none());
        assert_eq!(waiting.connected().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        drop(near);
        let mut heard = String::new();
        application.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "yes");
    }

    #[tokio::test]
    async fn what_was_told_otherwise_is_not_connected() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let application = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (near, _) = listener.accept().await.unwrap();
        let waiting = Waiting::new(&near, b"yes").unwrap();
        drop(near);
        let mut handle = waiting.take().unwrap();
        handle.write_all(b"no").unwrap();
        assert!(waiting.connected().is_err());
        drop(handle);
        let mut heard = String::new();
        { application }.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "no");
    }
}
