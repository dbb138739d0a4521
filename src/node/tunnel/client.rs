//! The client's end of a tunnel: brings it up, and opens streams on it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use h2::client::{Connection, SendRequest};
use http::{Method, Request, StatusCode, Uri, Version};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::stream::{Payload, Revoked};
use super::{ANSWER_DEADLINE, Connect, ESTABLISH_DEADLINE, Error, Key, REVOKED, Stream, connection};
use crate::config::TunnelConfig;
use crate::deliver::dial::Dialer;
use crate::identity::{Identities, Proof, Refused};

/// What it takes to bring tunnels up for one pod.
#[derive(Clone)]
pub(crate) struct Establish {
    pub(crate) identities: Identities,
    pub(crate) dialer: Dialer,
    pub(crate) config: TunnelConfig,
}

/// A tunnel that is up. Streams are opened on it until it is full, the peer says it will take no more, or a certificate
/// of either end has run out: what is open then may go on, but no tunnel is used for ever without a fresh proof.
#[derive(Debug)]
pub(super) struct Tunnel {
    send: SendRequest<Payload>,
    peer: SocketAddr,
    proof: Proof,
    revoked: Revoked,
    /// Streams open or being opened.
    streams: AtomicUsize,
    most_streams: usize,
    closed: AtomicBool,
    /// Told when a stream ends: the driver counts idle time from then.
    stream_ended: Notify,
}

type Driver = Connection<TlsStream<TcpStream>, Payload>;

impl Establish {
    /// TCP, TLS and HTTP/2 under one deadline. The second value must be run for the tunnel to work.
    pub(super) async fn tunnel(
        &self,
        key: &Key,
    ) -> Result<(Arc<Tunnel>, impl Future<Output = ()> + use<>), Error> {
        let all = async {
            let tcp = self.dialer.connect(key.peer).await.map_err(Error::Dial)?;
            let (tls, proof) = self.secure(key, tcp).await?;
            self.handshake(key.peer, tls, proof).await
        };
        let timed_out = |_| Error::EstablishTimedOut { peer: key.peer };
        let (tunnel, driver) = tokio::time::timeout(ESTABLISH_DEADLINE, all).await.map_err(timed_out)??;
        let drive = drive(Arc::clone(&tunnel), driver, self.config.idle);
        Ok((tunnel, drive))
    }

    async fn secure(&self, key: &Key, tcp: TcpStream) -> Result<(TlsStream<TcpStream>, Proof), Error> {
        let certificate = self.identities.certificate(&key.identity).await;
        let certificate =
            certificate.map_err(|source| Error::Identity { id: key.identity.clone(), source })?;
        // The name is never sent: the peer is known by its SPIFFE id, which the verifier of this config checks.
        let name = ServerName::IpAddress(key.peer.ip().into());
        let connector = TlsConnector::from(certificate.client_config(&key.expected));
        let tls = connector.connect(name, tcp).await;
        let refused = |source| Error::Peer { peer: key.peer, source };
        let failed = |error: io::Error| match Refused::of(&error) {
            Some(source) => refused(source),
            None => Error::Tls { peer: key.peer, reason: error.to_string() },
        };
        let tls = tls.map_err(failed)?;
        let proof = certificate.server(tls.get_ref().1.peer_certificates(), &key.expected);
        Ok((tls, proof.map_err(refused)?))
    }

    async fn handshake(
        &self,
        peer: SocketAddr,
        tls: TlsStream<TcpStream>,
        proof: Proof,
    ) -> Result<(Arc<Tunnel>, Driver), Error> {
        let (send, driver) = h2::client::Builder::new()
            .initial_window_size(self.config.stream_window)
            .initial_connection_window_size(self.config.connection_window)
            .max_frame_size(self.config.frame_size)
            .max_header_list_size(16 * 1024)
            // No compression state: nothing to hand over to a next process, nothing to leak between streams.
            .header_table_size(0)
            .initial_max_send_streams(self.config.streams)
            .max_send_buffer_size(SEND_BUFFER)
            .enable_push(false)
            .handshake::<_, Payload>(tls)
            .await
            .map_err(|error| Error::Http2 { peer, reason: error.to_string() })?;
        let tunnel = Tunnel {
            send,
            peer,
            proof,
            revoked: Revoked::default(),
            streams: AtomicUsize::new(0),
            most_streams: self.config.streams,
            closed: AtomicBool::new(false),
            stream_ended: Notify::new(),
        };
        Ok((Arc::new(tunnel), driver))
    }
}

/// Bytes of one stream that may wait for the wire.
const SEND_BUFFER: usize = 1024 * 1024;

/// A place on a tunnel, kept for as long as the stream that fills it lives.
#[derive(Debug)]
pub(crate) struct Place(Arc<Tunnel>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::AcqRel);
        self.0.stream_ended.notify_one();
    }
}

impl Tunnel {
    /// Takes a place for one stream, or `None` when the tunnel is full or closed.
    pub(super) fn place(self: &Arc<Self>) -> Option<Place> {
        self.notice_refusal();
        let most = self.most_streams.min(self.send.current_max_send_streams());
        let taken = self.streams.fetch_update(Ordering::AcqRel, Ordering::Acquire, |streams| {
            (streams < most && self.is_open()).then_some(streams + 1)
        });
        taken.is_ok().then(|| Place(Arc::clone(self)))
    }

    /// A peer that sent GOAWAY takes no new streams, though old ones may keep the tunnel up for long; nor do we open any
    /// that an expired certificate would vouch for.
    fn notice_refusal(&self) {
        let mut context = Context::from_waker(Waker::noop());
        let refused = matches!(self.send.clone().poll_ready(&mut context), Poll::Ready(Err(_)));
        if refused || self.proof.is_expired() {
            self.close();
        }
    }

    pub(super) fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Acquire)
    }

    /// No new streams; those there go on.
    fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}

impl Place {
    /// Opens the stream. [`Error::Gone`] means that the peer has not seen the request: another tunnel may be tried.
    pub(super) async fn open(&self, connect: &Connect) -> Result<Stream, Error> {
        let tunnel = &self.0;
        let timed_out = |_| Error::AnswerTimedOut { peer: tunnel.peer };
        let opened =
            tokio::time::timeout(ANSWER_DEADLINE, self.exchange(connect)).await.map_err(timed_out)?;
        match opened {
            Err(_) if tunnel.revoked.is_set() => Err(Error::Revoked { peer: tunnel.peer }),
            opened => opened,
        }
    }

    async fn exchange(&self, connect: &Connect) -> Result<Stream, Error> {
        let tunnel = &self.0;
        let gone = |error: h2::Error| tunnel.gone(&error);
        let mut send = tunnel.send.clone().ready().await.map_err(gone)?;
        let (response, send) = send.send_request(request(tunnel.peer, connect)?, false).map_err(gone)?;
        let response = response.await.map_err(|error| tunnel.unanswered(&error))?;
        if response.status() != StatusCode::OK {
            let status = response.status().as_u16();
            return Err(Error::Status { peer: tunnel.peer, status, hint: hint(status) });
        }
        Ok(Stream::new(send, response.into_body(), tunnel.revoked.clone()))
    }
}

impl Tunnel {
    fn gone(&self, _: &h2::Error) -> Error {
        self.close();
        Error::Gone { peer: self.peer }
    }

    /// Before any answer, REFUSED_STREAM (RFC 9113 §8.7) and a GOAWAY that does not cover the stream (§6.8) say that
    /// the request was not looked at.
    fn unanswered(&self, error: &h2::Error) -> Error {
        let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
        let graceful = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
        if refused || graceful {
            return self.gone(error);
        }
        Error::Http2 { peer: self.peer, reason: error.to_string() }
    }
}

fn request(peer: SocketAddr, connect: &Connect) -> Result<Request<()>, Error> {
    let uri = Uri::builder().authority(connect.authority.as_str()).build();
    let build = uri.and_then(|uri| {
        Request::builder()
            .method(Method::CONNECT)
            .version(Version::HTTP_2)
            .uri(uri)
            .header("baggage", &connect.baggage)
            .header("forwarded", &connect.forwarded)
            .header("traceparent", &connect.traceparent)
            .body(())
    });
    build.map_err(|error| Error::Http2 { peer, reason: format!("the CONNECT cannot be written: {error}") })
}

fn hint(status: u16) -> &'static str {
    match status {
        401 | 403 => " (its policy does not allow this identity)",
        400 => " (it does not serve this address)",
        503 => " (it could not reach its workload)",
        _ => "",
    }
}

/// Moves the tunnel's frames until it is done: broken, dead, or without streams for `idle`.
async fn drive(tunnel: Arc<Tunnel>, mut driver: Driver, idle: Duration) {
    let pings = driver.ping_pong();
    let why = tokio::select! {
        result = &mut driver => result.err().map_or("closed by the peer".to_owned(), |error| error.to_string()),
        why = connection::dead(pings) => why.to_owned(),
        () = tunnel.proof.revoked() => {
            tunnel.revoked.set();
            REVOKED.to_owned()
        }
        () = unused(&tunnel, idle) => "unused".to_owned(),
    };
    tunnel.close();
    tracing::debug!(peer = %tunnel.peer, identity = %tunnel.proof.id(), why, "tunnel closed");
}

/// Resolves when the tunnel had no stream for `idle`; it takes no new ones from then.
async fn unused(tunnel: &Tunnel, idle: Duration) {
    loop {
        let quiet = tokio::time::timeout(idle, tunnel.stream_ended.notified()).await.is_err();
        if quiet && tunnel.streams.load(Ordering::Acquire) == 0 {
            tunnel.close();
            // A stream may have taken its place between the look and the close; then wait for it.
            if tunnel.streams.load(Ordering::Acquire) == 0 {
                return;
            }
        }
    }
}
