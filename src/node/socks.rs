//! SOCKS for the applications of a pod: they ask to be connected, on port 15080 of the loopback addresses, and are told what came of
//! it (RFC 1928).
//!
//! In goes an accepted connection; out comes whom its client asks for, and in the end what the client is told. What is asked for
//! goes the way of every connection of the pod (see `flow`). Nobody proves who they are: only the pod itself can reach its
//! loopback addresses.
//!
//! It does not decide where anything goes, and understands no BIND and no UDP.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use culvert_core::socks::{Fault, LONGEST, Negotiation, Step, Target};
use culvert_sys::netns::Netns;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::capture::{self, Captured};
use crate::config::SocketConfig;
use crate::drain::Guard;
use crate::limits::{Exceeded, Limit, OfPod, Turnstile};

mod answer;
mod names;

pub(crate) use answer::{CONNECTED, leave, tells_more};
pub(crate) use names::addresses;

/// Where clients ask.
pub(crate) const PORT: u16 = 15080;

/// How long a client may take to say whom it wants.
pub(crate) const NEGOTIATION_DEADLINE: Duration = Duration::from_secs(10);

/// The open listeners of one pod.
#[derive(Debug)]
pub(crate) struct Listeners(Vec<capture::Listener>);

/// Why a client was not connected, before anybody was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error("the client left before it had said whom it wants")]
    Left(#[source] io::Error),
    #[error(
        "the client did not say whom it wants within {NEGOTIATION_DEADLINE:?} (SOCKS negotiation deadline)"
    )]
    TimedOut,
    #[error(transparent)]
    TooMany(#[from] Exceeded),
    #[error("there is no descriptor left to answer the client with; raise the limit on open files")]
    Descriptor(#[source] io::Error),
}

impl Listeners {
    /// Opens them in `netns` (`None`: the current one), or none.
    pub(crate) fn open(netns: Option<&Netns>, socket: &SocketConfig) -> Result<Self, capture::Error> {
        let open = || capture::listen_on_loopback(PORT, socket);
        let opened = match netns {
            Some(netns) => netns.run(open).map_err(capture::Error::Enter)??,
            None => open()?,
        };
        let failed = |source| capture::Error::listen(PORT, source);
        let listeners = opened.into_iter().map(capture::Listener::of_direct);
        listeners.collect::<io::Result<_>>().map(Self).map_err(failed)
    }

    /// Accepts until a drain begins, each connection in a task of its own; then waits for those tasks, or ends them when cut.
    pub(crate) async fn each<F>(
        self,
        guard: Guard,
        turnstile: &Arc<Turnstile>,
        serve: impl Fn(Captured, Guard) -> F + Clone + Send + Sync + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut serving = JoinSet::new();
        for listener in self.0 {
            let (guard, turnstile, serve) = (guard.clone(), Arc::clone(turnstile), serve.clone());
            serving.spawn(async move { listener.each(guard, &turnstile, serve).await });
        }
        while let Some(ended) = serving.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a SOCKS listener ended unexpectedly");
            }
        }
    }
}

/// Hears a client out. What it says behind its request is left in the connection.
pub(crate) async fn hear(stream: &mut TcpStream, limits: &Arc<OfPod>) -> Result<Target, Error> {
    let _place = limits.take(Limit::SocksNegotiations)?;
    let heard = timeout(NEGOTIATION_DEADLINE, negotiate(stream)).await;
    heard.unwrap_or_else(|_| {
        limits.refuse(Limit::SocksNegotiationDeadline);
        Err(Error::TimedOut)
    })
}

async fn negotiate(stream: &mut TcpStream) -> Result<Target, Error> {
    let mut negotiation = Negotiation::default();
    let mut buffer = [0; LONGEST];
    loop {
        let missing = &mut buffer[..negotiation.missing()];
        let length = stream.read(missing).await.map_err(Error::Left)?;
        if length == 0 {
            return Err(Error::Left(io::ErrorKind::UnexpectedEof.into()));
        }
        match negotiation.receive(&mut &missing[..length])? {
            Some(Step::Say(word)) => stream.write_all(&word).await.map_err(Error::Left)?,
            Some(Step::Asked(target)) => return Ok(target),
            None => {}
        }
    }
}

impl Error {
    /// The stable name of the reason, for the log and the metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Fault(_) => "socks_not_understood",
            Self::Left(_) => "client_broke",
            Self::TimedOut => "socks_negotiation_deadline",
            Self::TooMany(_) => "socks_too_many",
            Self::Descriptor(_) => "no_descriptor",
        }
    }
}

#[cfg(test)]
mod tests;
