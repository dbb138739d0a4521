//! What other servers say to one pod: asked in its place, and remembered.
//!
//! In go a query and whom to ask; out comes what one of them answered, as it came or as it was kept. Whether others are to be
//! asked at all is decided elsewhere, and so is what a client is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::ask::{Error, Messenger, ONCE_TIMEOUT, Upstream};
use super::cache::{Cache, Key};
use super::flights::Flights;
use super::message::{Query, Transport};
use super::resolv_conf::{Content, ResolvConf};
use super::wire;
use crate::limits::{Limit, OfPod};

mod choice;
mod sockets;

use choice::Choice;
use sockets::{For, Sockets};

/// Whom a client wanted to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Just that one.
    Server(SocketAddr),
    /// Nobody else than us: its query was not redirected here.
    Anybody,
    /// That is not known. To ask somebody else could be to ask the client itself, who asked for others.
    NotKnown,
}

/// Whom to ask when there is no client.
#[derive(Debug)]
pub(super) struct Usual {
    pub(super) upstream: Upstream,
    /// For how long at most that is so.
    pub(super) holds: Duration,
}

/// What other servers say to one pod.
#[derive(Debug)]
pub(super) struct Others {
    messenger: Messenger,
    resolv_conf: Arc<ResolvConf>,
    cache: Arc<Cache>,
    asking: Flights<Flight, Result<Arc<[u8]>, Error>>,
    pub(super) limits: Arc<OfPod>,
    sockets: Sockets,
    /// Where this pod is listened for: asking there would be asking ourselves.
    own_addresses: Vec<SocketAddr>,
    choice: Choice,
}

/// Queries with the same of these are answered alike, to the letter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Flight {
    key: Key,
    /// The question as it was written.
    question: Box<[u8]>,
    transport: Transport,
    /// Whether there is a place to ask from is another matter for each.
    whom: For,
}

impl Others {
    pub(super) fn new(
        messenger: Messenger,
        resolv_conf: Arc<ResolvConf>,
        own_addresses: Vec<SocketAddr>,
        limits: Arc<OfPod>,
    ) -> Self {
        Self {
            messenger,
            resolv_conf,
            cache: Arc::default(),
            asking: Flights::default(),
            sockets: Sockets::new(Arc::clone(&limits)),
            limits,
            own_addresses,
            choice: Choice::default(),
        }
    }

    /// The server a client wanted to ask, if there is one that can be asked.
    pub(super) fn chosen(&self, wanted: Wanted) -> Option<SocketAddr> {
        match wanted {
            Wanted::Server(server) => Some(server).filter(|server| !self.own_addresses.contains(server)),
            Wanted::Anybody | Wanted::NotKnown => None,
        }
    }

    /// Whom to ask for a client: just the one it wanted to ask, or else whom the node would ask.
    pub(super) async fn upstream(&self, wanted: Wanted) -> Result<Upstream, Error> {
        match self.chosen(wanted) {
            Some(server) => Ok(Upstream::chosen(server)),
            None if wanted == Wanted::NotKnown => Err(Error::NotKnown),
            None => Ok(self.of_node(self.resolv_conf().await?)),
        }
    }

    /// Whom to ask when there is no client: whom the pod has chosen, or else whom the node would ask.
    pub(super) async fn usual(&self) -> Usual {
        match self.choice.server() {
            Some((server, holds)) => Usual { upstream: Upstream::chosen(server), holds },
            None => Usual { upstream: self.of_node(self.resolv_conf.read().await), holds: Duration::MAX },
        }
    }

    fn of_node(&self, Content { mut upstream, .. }: Content) -> Upstream {
        if upstream.servers.iter().any(|server| self.own_addresses.contains(server)) {
            let others = upstream.servers.iter().filter(|server| !self.own_addresses.contains(server));
            upstream.servers = others.copied().collect();
        }
        upstream
    }

    /// What the file says, for a client. Reading it is waiting too.
    async fn resolv_conf(&self) -> Result<Content, Error> {
        if let Some(content) = self.resolv_conf.fresh() {
            return Ok(content);
        }
        let _waiting = self.limits.take(Limit::DnsQueries).map_err(|_| Error::TooMany)?;
        Ok(self.resolv_conf.read().await)
    }

    /// The names that may be meant by one that is not complete, in the order in which they are tried.
    pub(super) async fn completed(&self, name: &str) -> Vec<String> {
        self.resolv_conf.read().await.search.completed(name)
    }

    /// Says that the server a client wanted to ask was of help.
    pub(super) fn was_of_help(&self, wanted: Wanted) {
        if let Some(server) = self.chosen(wanted) {
            self.choice.was_of_help(server);
        }
    }

    /// Says that a client wanted to ask a server what that had answered before.
    pub(super) fn is_still_wanted(&self, wanted: Wanted) {
        if let Some(server) = self.chosen(wanted) {
            self.choice.is_still_wanted(server);
        }
    }

    /// What they said to this query before, if that still holds.
    pub(super) fn kept(&self, query: &Query, upstream: &Upstream) -> Option<Vec<u8>> {
        self.cache.find(&Key::new(query, &upstream.servers)?, &query.wire)
    }

    /// Asks for a client, together with all who ask the same, and keeps what is said.
    pub(super) async fn ask(
        &self,
        query: &Query,
        upstream: Upstream,
        transport: Transport,
    ) -> Result<Vec<u8>, Error> {
        let _waiting = self.limits.take(Limit::DnsQueries).map_err(|_| Error::TooMany)?;
        self.ask_for(For::Client, query, upstream, transport).await
    }

    /// Asks for a host, likewise.
    pub(super) async fn ask_for_host(&self, query: &Query, upstream: Upstream) -> Result<Vec<u8>, Error> {
        self.ask_for(For::Host, query, upstream, Transport::Udp).await
    }

    async fn ask_for(
        &self,
        whom: For,
        query: &Query,
        upstream: Upstream,
        transport: Transport,
    ) -> Result<Vec<u8>, Error> {
        let key = Key::new(query, &upstream.servers);
        let Some((key, question)) = key.zip(wire::question(&query.wire)) else {
            let _place = self.sockets.place(whom).await?;
            return self.messenger.ask(&upstream, &query.wire, transport).await;
        };
        let flight = Flight { key: key.clone(), question: question.as_written(), transport, whom };
        let (messenger, cache) = (self.messenger.clone(), Arc::clone(&self.cache));
        let (sockets, message) = (self.sockets.clone(), query.wire.clone());
        let said = self.asking.join(flight, async move {
            let _place = sockets.place(whom).await?;
            let answer = messenger.ask(&upstream, &message, transport).await?;
            cache.keep(key, &answer);
            Ok(answer.into())
        });
        let said = said.await.unwrap_or(Err(Error::GivenUp));
        if let Err(error) = &said
            && let Some(server) = error.server()
        {
            self.choice.has_failed(server);
        }
        said.map(|answer| answer.to_vec())
    }

    /// Sends a message that is no query to whom it is for, once: it may change something there.
    pub(super) async fn pass_on(
        &self,
        operation: &[u8],
        server: SocketAddr,
        transport: Transport,
    ) -> Result<Vec<u8>, Error> {
        let _waiting = self.limits.take(Limit::DnsQueries).map_err(|_| Error::TooMany)?;
        let _place = self.sockets.place(For::Client).await?;
        self.messenger.send(server, ONCE_TIMEOUT, operation, transport).await
    }
}
