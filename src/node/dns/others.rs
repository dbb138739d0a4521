//! What other servers say to one pod: asked in its place, and remembered.
//!
//! In go a query and whom to ask; out comes what one of them answered, as it came or as it was kept. Whether others are to be
//! asked at all is decided elsewhere, and so is what a client is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_proto::op::Message;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::ask::{Error, Messenger, Upstream};
use super::cache::{Cache, Key};
use super::message::{Query, Transport};
use super::resolv_conf::ResolvConf;

/// Queries of one pod that may wait for other servers at the same time; each has a socket.
pub(super) const WAITING: usize = 256;
/// How long the server a pod has chosen last is taken for the one it would choose. Pods do not change their mind often, and a
/// server that somebody tried by hand must not stay for ever.
const CHOICE: Duration = Duration::from_secs(600);

/// What other servers say to one pod.
#[derive(Debug)]
pub(super) struct Others {
    messenger: Messenger,
    resolv_conf: Arc<ResolvConf>,
    cache: Cache,
    pub(super) waiting: Semaphore,
    /// Where this pod is listened for: asking there would be asking ourselves.
    pub(super) own_addresses: Vec<SocketAddr>,
    /// The server the pod has chosen last that was of help, and when.
    chosen: Mutex<Option<(SocketAddr, Instant)>>,
}

impl Others {
    pub(super) fn new(
        messenger: Messenger,
        resolv_conf: Arc<ResolvConf>,
        own_addresses: Vec<SocketAddr>,
    ) -> Self {
        let waiting = Semaphore::new(WAITING);
        Self {
            messenger,
            resolv_conf,
            cache: Cache::default(),
            waiting,
            own_addresses,
            chosen: Mutex::default(),
        }
    }

    /// Whom to ask for a client that wanted to ask `chosen`, as far as that is known: just that one, or else whom the node
    /// would ask.
    pub(super) async fn upstream(&self, chosen: Option<SocketAddr>) -> Upstream {
        match chosen.filter(|server| !self.own_addresses.contains(server)) {
            Some(server) => Upstream::chosen(server),
            None => self.of_node().await,
        }
    }

    /// Whom to ask when there is no client: whom the pod has asked lately, or else whom the node would ask.
    pub(super) async fn usual(&self) -> Upstream {
        let chosen = *self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        match chosen.filter(|(_, at)| at.elapsed() < CHOICE) {
            Some((server, _)) => Upstream::chosen(server),
            None => self.of_node().await,
        }
    }

    async fn of_node(&self) -> Upstream {
        let mut upstream = self.resolv_conf.read().await.upstream;
        if upstream.servers.iter().any(|server| self.own_addresses.contains(server)) {
            let others = upstream.servers.iter().filter(|server| !self.own_addresses.contains(server));
            upstream.servers = others.copied().collect();
        }
        upstream
    }

    /// The names that may be meant by one that is not complete, in the order in which they are tried.
    pub(super) async fn completed(&self, name: &str) -> Vec<String> {
        self.resolv_conf.read().await.search.completed(name)
    }

    /// Says that a server the pod has chosen was of help.
    pub(super) fn was_of_help(&self, chosen: SocketAddr) {
        *self.chosen.lock().unwrap_or_else(PoisonError::into_inner) = Some((chosen, Instant::now()));
    }

    /// What they said to this query before, if that still holds.
    pub(super) fn kept(&self, query: &Query, upstream: &Upstream) -> Option<Message> {
        self.cache.find(&Key::new(query, &upstream.servers)?)
    }

    /// Asks, and keeps what is said.
    pub(super) async fn ask(
        &self,
        query: &Query,
        upstream: &Upstream,
        transport: Transport,
    ) -> Result<Vec<u8>, Error> {
        let answer = self.pass_on(&query.wire, upstream, transport).await?;
        if let Some(key) = Key::new(query, &upstream.servers) {
            self.cache.keep(key, &answer);
        }
        Ok(answer)
    }

    /// Asks without looking at the message.
    pub(super) async fn pass_on(
        &self,
        message: &[u8],
        upstream: &Upstream,
        transport: Transport,
    ) -> Result<Vec<u8>, Error> {
        let Ok(_waiting) = self.waiting.try_acquire() else { return Err(Error::TooMany) };
        self.messenger.ask(upstream, message, transport).await
    }
}
