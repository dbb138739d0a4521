//! How many other servers one pod may have asked at the same time: each query that differs has a socket.
//!
//! In goes for whom one is asked; out comes a place. Clients of the pod and hosts of its connections have places of their own, so
//! that neither keeps the other waiting.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::dns::ask::Error;
use crate::limits::{Held, Limit, OfPod};

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
    limits: Arc<OfPod>,
    hosts: Arc<Semaphore>,
}

/// A place for one socket, for as long as it is held.
#[derive(Debug, Default)]
pub(super) struct Place {
    _of_client: Option<Held>,
    _of_host: Option<OwnedSemaphorePermit>,
}

impl Sockets {
    pub(super) fn new(limits: Arc<OfPod>) -> Self {
        Self { limits, hosts: Arc::new(Semaphore::new(FOR_HOSTS)) }
    }

    /// A place for one socket.
    pub(super) async fn place(&self, whom: For) -> Result<Place, Error> {
        match whom {
            For::Client => {
                let held = self.limits.take(Limit::DnsSockets).map_err(|_| Error::TooMany)?;
                Ok(Place { _of_client: Some(held), ..Place::default() })
            }
            For::Host => {
                let permit = timeout(PATIENCE, Arc::clone(&self.hosts).acquire_owned()).await;
                let permit = permit.ok().and_then(Result::ok).ok_or(Error::TooMany)?;
                Ok(Place { _of_host: Some(permit), ..Place::default() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::tests::alone;

    async fn all(sockets: &Sockets, whom: For, count: usize) -> Vec<Place> {
        let mut places = Vec::new();
        for _ in 0..count {
            places.push(sockets.place(whom).await.unwrap());
        }
        places
    }

    #[tokio::test(start_paused = true)]
    async fn clients_and_hosts_leave_each_other_their_places() {
        let sockets = Sockets::new(alone());
        let for_clients = Limit::DnsSockets.facts().most.unwrap();
        let _clients = all(&sockets, For::Client, usize::try_from(for_clients).unwrap()).await;
        let _hosts = all(&sockets, For::Host, FOR_HOSTS).await;
        for whom in [For::Client, For::Host] {
            assert!(matches!(sockets.place(whom).await, Err(Error::TooMany)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_waits_for_a_place_for_a_while() {
        let sockets = Sockets::new(alone());
        let mut hosts = all(&sockets, For::Host, FOR_HOSTS).await;
        let free = async {
            tokio::time::sleep(PATIENCE / 2).await;
            drop(hosts.pop());
        };
        let (place, ()) = tokio::join!(sockets.place(For::Host), free);
        drop(place.unwrap());
    }
}
