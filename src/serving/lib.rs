//! Serves HTTP/1 to a bounded number of connections, none of which can stay for ever.
//!
//! In go a listener and a router. Who may connect is the listener's affair ([`root_socket`]), what is answered the router's; who has
//! to go when there are too many is known here alone, also to servers of other protocols ([`guests`]).

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures::future::BoxFuture;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use guests::{Guests, Pulse};

pub use client::Client;
pub use source::Source;

mod client;
pub mod guests;
pub mod liveness;
pub mod monitoring;
pub mod port;
pub mod root_socket;
pub mod socket_file;
mod source;

/// How long a client may take to say what it wants, also the second time.
const HEADERS: Duration = Duration::from_secs(2);

/// How long a connection may live, unless answers take longer than that.
pub const LIFE: Duration = Duration::from_secs(60);

/// The longest head of a request, unless requests have bodies: what is read ahead of who takes it.
pub const READ_AHEAD: usize = 8192;

/// How long requests under way may take once nobody new is served.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Time after a failed accept: descriptors run out for seconds, not for moments.
const ACCEPT_BACKOFF: Duration = Duration::from_secs(1);

/// Where connections come from.
pub trait Accept: Send {
    /// What a connection is.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next one, and says from which address it is, if it has one. Cancel safe.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Self::Stream, Option<IpAddr>)>>;

    /// Another descriptor of a connection, by which to see whether its client has gone.
    fn descriptor(_connection: &Self::Stream) -> Option<OwnedFd> {
        None
    }
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    fn accept(&mut self) -> BoxFuture<'_, io::Result<(TcpStream, Option<IpAddr>)>> {
        Box::pin(async {
            let (stream, peer) = Self::accept(self).await?;
            Ok((stream, Some(peer.ip())))
        })
    }

    fn descriptor(connection: &TcpStream) -> Option<OwnedFd> {
        connection.as_fd().try_clone_to_owned().ok()
    }
}

/// How many connections there may be, and what happens to one more.
#[derive(Debug, Clone, Copy)]
pub enum Limits {
    /// It waits: all who can connect are trusted, and have to be answered in the end.
    Wait {
        /// How many there may be.
        most: usize,
    },
    /// It takes the place of another one, of its own source if that has all it may, else of the one that has most: anybody can connect, and answers take no time.
    Replace {
        /// How many there may be.
        most: usize,
        /// How many of one address.
        per_source: usize,
    },
}

/// On what terms connections are served.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// How many there may be.
    pub limits: Limits,
    /// How long each may live.
    pub life: Duration,
    /// How much is read of a request before somebody takes it. A client whose body is longer than that, and is refused, may be reset
    /// before it has read why.
    pub read_ahead: usize,
}

impl From<Limits> for Terms {
    fn from(limits: Limits) -> Self {
        Self { limits, life: LIFE, read_ahead: READ_AHEAD }
    }
}

/// Serves until it is dropped.
pub async fn serve(listener: impl Accept, router: Router, terms: impl Into<Terms>) {
    serve_until(listener, router, terms, std::future::pending()).await;
}

/// Serves until `end`; then nobody new is served, and requests under way have [`LAST_ANSWERS`].
pub async fn serve_until(
    listener: impl Accept,
    router: Router,
    terms: impl Into<Terms>,
    end: impl Future<Output = ()> + Send,
) {
    let terms = terms.into();
    let mut guests = Guests::new(terms.limits);
    tokio::select! {
        () = welcome(listener, router, terms, &mut guests) => {}
        () = end => {}
    }
    // Who has not heard all by then is cut off.
    let _ = timeout(LAST_ANSWERS, guests.rest()).await;
}

async fn welcome<A: Accept>(mut listener: A, router: Router, terms: Terms, guests: &mut Guests) {
    loop {
        tokio::select! {
            accepted = listener.accept(), if guests.has_room() => match accepted {
                Ok((stream, from)) => {
                    let router = router.clone();
                    let client = Client::of(A::descriptor(&stream));
                    guests.admit(from, |pulse| connection(stream, client, router, terms, pulse));
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
    client: Client,
    router: Router,
    terms: Terms,
    pulse: Arc<Pulse>,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(|mut request: Request<Incoming>| {
        pulse.asks();
        request.extensions_mut().insert(client.clone());
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
        .max_buf_size(terms.read_ahead)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(terms.life, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "connection closed"),
        Err(_) => debug!(after = ?terms.life, "connection closed, it has lived long enough"),
    }
}

#[cfg(test)]
mod tests;
