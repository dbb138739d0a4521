//! How many other servers one pod may have asked at the same time: each query that differs has a socket.
//!
//! In goes for whom one is asked; out comes a place. Clients of the pod and hosts of its connections have places of their own, so
//! that neither keeps the other waiting.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::dns::ask::Error;

/// Places for clients.
const FOR_CLIENTS: usize = 256;
/// Places for hosts: each takes two for a moment, and is then known.
const FOR_HOSTS: usize = 32;
/// How long a host waits for a place. Its connection can wait, where a client would rather ask again.
const PATIENCE: Duration = Duration::from_secs(1);

/// For whom others are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum For {
    Client,
    Host,
}

/// The places of one pod. All handles share them.
#[derive(Debug, Clone)]
pub(super) struct Sockets {
    clients: Arc<Semaphore>,
    hosts: Arc<Semaphore>,
}

impl Default for Sockets {
    fn default() -> Self {
        let [clients, hosts] = [FOR_CLIENTS, FOR_HOSTS].map(|places| Arc::new(Semaphore::new(places)));
        Self { clients, hosts }
    }
}

impl Sockets {
    /// A place for one socket.
    pub(super) async fn place(&self, whom: For) -> Result<OwnedSemaphorePermit, Error> {
        let place = match whom {
            For::Client => Arc::clone(&self.clients).try_acquire_owned().ok(),
            For::Host => {
                let place = timeout(PATIENCE, Arc::clone(&self.hosts).acquire_owned()).await;
                place.ok().and_then(Result::ok)
            }
        };
        place.ok_or(Error::TooMany)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(sockets: &Sockets, whom: For, count: usize) -> Vec<OwnedSemaphorePermit> {
        let mut places = Vec::new();
        for _ in 0..count {
            places.push(sockets.place(whom).await.unwrap());
        }
        places
    }

    #[tokio::test(start_paused = true)]
    async fn clients_and_hosts_leave_each_other_their_places() {
        let sockets = Sockets::default();
        let _clients = all(&sockets, For::Client, FOR_CLIENTS).await;
        let _hosts = all(&sockets, For::Host, FOR_HOSTS).await;
        for whom in [For::Client, For::Host] {
            assert!(matches!(sockets.place(whom).await, Err(Error::TooMany)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_waits_for_a_place_for_a_while() {
        let sockets = Sockets::default();
        let mut hosts = all(&sockets, For::Host, FOR_HOSTS).await;
        let free = async {
            tokio::time::sleep(PATIENCE / 2).await;
            drop(hosts.pop());
        };
        let (place, ()) = tokio::join!(sockets.place(For::Host), free);
        drop(place.unwrap());
    }
}
