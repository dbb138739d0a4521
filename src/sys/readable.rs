//! Waiting until something of the kernel's has something to read, without saying how it is read.
//!
//! In goes a value that owns a descriptor; what is read from it, and when there is nothing more, its user says.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A value that owns a descriptor, registered with the runtime for as long as this lives.
#[derive(Debug)]
pub struct Readable<T: AsFd>(AsyncFd<Owner<T>>);

/// Whose descriptor is the one it lends.
struct Owner<T>(T);

impl<T: AsFd> AsRawFd for Owner<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl<T> fmt::Debug for Owner<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Owner")
    }
}

/// What a look has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// There was something.
    Something,
    /// There was nothing: whoever waits again is woken by what comes next.
    Nothing,
}

impl<T: AsFd> Readable<T> {
    /// Registers it with the runtime of the calling task.
    ///
    /// # Errors
    /// When the descriptor cannot be waited for.
    #[expect(unsafe_code, reason = "registering a descriptor is an unsafe call")]
    pub fn new(owner: T) -> io::Result<Self> {
        // SAFETY: the value lends the descriptor it owns (`AsFd`), lives as long as the registration, and is never lent mutably, so that
        // the descriptor stays open and the same.
        let registered = unsafe { AsyncFd::register_with_interest(Owner(owner), Interest::READABLE) };
        Ok(Self(registered?))
    }

    /// Waits until a look finds something. Cancel safe: what was found is not lost when the look itself does not lose it.
    ///
    /// # Errors
    /// Those of the look, and when the runtime ends.
    pub async fn until(&self, mut look: impl FnMut(&T) -> io::Result<Found>) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            match look(&ready.get_inner().0)? {
                Found::Something => return Ok(()),
                Found::Nothing => ready.clear_ready(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_comes_is_found_and_nothing_is_waited_for() {
        let (mut writer, reader) = UnixStream::pair().unwrap();
        reader.set_nonblocking(true).unwrap();
        let readable = Readable::new(reader).unwrap();
        let look = |mut stream: &UnixStream| match stream.read(&mut [0]) {
            Ok(_) => Ok(Found::Something),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Found::Nothing),
            Err(error) => Err(error),
        };
        for _ in 0..3 {
            writer.write_all(b"ab").unwrap();
            for _ in 0..2 {
                let soon = tokio::time::timeout(Duration::from_secs(10), readable.until(look));
                soon.await.expect("what was written is found").unwrap();
            }
            let nothing = tokio::time::timeout(Duration::from_millis(20), readable.until(look)).await;
            assert!(nothing.is_err());
        }
    }
}
