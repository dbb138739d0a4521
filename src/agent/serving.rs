//! Serves HTTP/1 to a bounded number of connections, none of which can stay for ever.
//!
//! In go a listener and a router. Who may connect is the listener's affair, what is answered the router's.

use std::io;
use std::time::Duration;

use axum::Router;
use futures::future::BoxFuture;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

/// How long a client may take to say what it wants, also the second time.
const HEADERS: Duration = Duration::from_secs(10);

/// How long a connection may live. Longer than any answer takes.
const LIFE: Duration = Duration::from_secs(60);

/// Time after a failed accept: descriptors run out for seconds, not for moments.
const ACCEPT_BACKOFF: Duration = Duration::from_secs(1);

/// Where connections come from.
pub(crate) trait Accept: Send {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next one. Cancel safe.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Self::Stream>>;
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    fn accept(&mut self) -> BoxFuture<'_, io::Result<TcpStream>> {
        Box::pin(async { Ok(Self::accept(self).await?.0) })
    }
}

/// Serves until it is dropped; `most` connections at once, others wait.
pub(crate) async fn serve(mut listener: impl Accept, router: Router, most: usize) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < most => match accepted {
                Ok(stream) => { connections.spawn(connection(stream, router.clone())); }
                Err(error) => {
                    warn!(%error, "cannot accept a connection, trying again");
                    sleep(ACCEPT_BACKOFF).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match timeout(LIFE, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "connection closed"),
        Err(_) => debug!(after = ?LIFE, "connection closed, it has lived long enough"),
    }
}

#[cfg(test)]
mod tests;
