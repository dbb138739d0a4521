//! Whether a client still waits for its answer.
//!
//! The server does not look while an answer is made: a client may end its half of the connection and read on. For most answers that is
//! right. Who makes one that takes minutes asks here.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::time::{MissedTickBehavior, interval};

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(100);

/// Who has sent a request: an extension of each.
#[derive(Debug, Clone)]
pub struct Client(Option<Arc<OwnedFd>>);

impl Client {
    /// The one at the other end of a connection that the descriptor, too, is of. Without one it is not known when the client goes.
    pub(super) fn of(connection: Option<OwnedFd>) -> Self {
        Self(connection.map(Arc::new))
    }

    /// Waits until the client has gone, or will say nothing more. Cancel safe.
    pub async fn gone(&self) {
        let Some(connection) = &self.0 else { return std::future::pending().await };
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            match SockRef::from(connection).peek(&mut [MaybeUninit::uninit()]) {
                // It has asked for more already.
                Ok(1..) => {}
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Ok(0) | Err(_) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::Shutdown;
    use std::os::unix::net::UnixStream;

    use tokio::time::timeout;

    use super::*;

    fn connected() -> (UnixStream, Client) {
        let (other, own) = UnixStream::pair().unwrap();
        own.set_nonblocking(true).unwrap();
        (other, Client::of(Some(own.into())))
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_waits_is_there_and_one_that_ends_is_not() {
        let long = Duration::from_secs(60);
        let (mut other, client) = connected();
        assert!(timeout(long, client.gone()).await.is_err());
        other.write_all(b"and another thing").unwrap();
        assert!(timeout(long, client.gone()).await.is_err());
        drop(other);
        // What it has sent before is there still, and nobody knows what is behind.
        assert!(timeout(long, client.gone()).await.is_err());
        let (other, client) = connected();
        drop(other);
        timeout(long, client.gone()).await.unwrap();
        let (other, client) = connected();
        other.shutdown(Shutdown::Write).unwrap();
        timeout(long, client.gone()).await.unwrap();
        assert!(timeout(long, Client::of(None).gone()).await.is_err());
    }
}
