//! Serves HTTP/1 to a bounded number of connections, none of which can stay for ever.
//!
//! In go a listener and a router. Who may connect is the listener's affair, what is answered the router's; [`guests`] knows who has
//! to go when there are too many.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures::future::BoxFuture;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use guests::{Guests, Pulse};

mod guests;

/// How long a client may take to say what it wants, also the second time.
const HEADERS: Duration = Duration::from_secs(2);

/// How long a connection may live. Longer than any answer takes.
const LIFE: Duration = Duration::from_secs(60);

/// Time after a failed accept: descriptors run out for seconds, not for moments.
const ACCEPT_BACKOFF: Duration = Duration::from_secs(1);

/// Where connections come from.
pub(crate) trait Accept: Send {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next one, and says from which address it is, if it has one. Cancel safe.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Self::Stream, Option<IpAddr>)>>;
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    fn accept(&mut self) -> BoxFuture<'_, io::Result<(TcpStream, Option<IpAddr>)>> {
        Box::pin(async {
            let (stream, peer) = Self::accept(self).await?;
            Ok((stream, Some(peer.ip())))
        })
    }
}

/// How many connections there may be, and what happens to one more.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limits {
    /// It waits: all who can connect are trusted, and have to be answered in the end.
    Wait { most: usize },
    /// It takes the place of another one, first of all of its own source's: anybody can connect, and answers take no time.
    Replace { most: usize, per_source: usize },
}

/// Serves until it is dropped.
pub(crate) async fn serve(mut listener: impl Accept, router: Router, limits: Limits) {
    let mut guests = Guests::new(limits);
    loop {
        tokio::select! {
            accepted = listener.accept(), if guests.has_room() => match accepted {
                Ok((stream, from)) => {
                    let router = router.clone();
                    guests.admit(from, |pulse| connection(stream, router, pulse));
                }
                Err(error) => {
                    warn!(%error, "cannot accept a connection, trying again");
                    sleep(ACCEPT_BACKOFF).await;
                }
            },
            () = guests.gone() => {}
        }
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    pulse: Arc<Pulse>,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(|request| {
        pulse.asks();
        let answer = router.call(request);
        let pulse = Arc::clone(&pulse);
        async move {
            let answer = answer.await;
            pulse.rests();
            answer
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(LIFE, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "connection closed"),
        Err(_) => debug!(after = ?LIFE, "connection closed, it has lived long enough"),
    }
}

#[cfg(test)]
mod tests;
