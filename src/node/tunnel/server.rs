//! The server's end of a tunnel: accepts it, names the peer, and hands out what the peer asks for.

use std::time::Duration;

use culvert_core::identity::SpiffeId;
use h2::server::{Connection, SendResponse};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::stream::{Payload, Revoked};
use super::{REVOKED, Stream, connection};
use crate::config::TunnelConfig;
use crate::drain::Guard;
use crate::identity::{Certificate, Proof, Refused};
use crate::tasks::Tasks;

/// How long a peer may take to prove who it is and to speak HTTP/2.
pub(crate) const ACCEPT_DEADLINE: Duration = Duration::from_secs(10);

/// Why a peer was not let in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("TLS handshake failed: {0}")]
    Tls(String),
    #[error("TLS handshake failed")]
    Peer(#[source] Refused),
    #[error("HTTP/2 handshake failed: {0}")]
    Http2(String),
    #[error("the handshake was not over within {ACCEPT_DEADLINE:?} (accept deadline)")]
    TimedOut,
}

/// An accepted tunnel.
#[derive(Debug)]
pub(crate) struct Accepted {
    connection: Connection<TlsStream<TcpStream>, Payload>,
    proof: Proof,
    revoked: Revoked,
    /// Who the peer has proven to be.
    pub(crate) peer: SpiffeId,
}

/// One CONNECT of the peer, not answered yet. Dropping it resets the stream.
#[derive(Debug)]
pub(crate) struct Offer {
    request: Request<h2::RecvStream>,
    respond: SendResponse<Payload>,
    revoked: Revoked,
}

/// Brings a tunnel up on a TCP connection under one deadline.
pub(crate) async fn accept(
    tcp: TcpStream,
    certificate: &Certificate,
    config: &TunnelConfig,
) -> Result<Accepted, Error> {
    let all = async {
        let tls = TlsAcceptor::from(certificate.server_config()).accept(tcp).await;
        let failed = |error| match Refused::of(&error) {
            Some(refused) => Error::Peer(refused),
            None => Error::Tls(error.to_string()),
        };
        let tls = tls.map_err(failed)?;
        let proof = certificate.client(tls.get_ref().1.peer_certificates()).map_err(Error::Peer)?;
        let connection = handshake(tls, config).await.map_err(|error| Error::Http2(error.to_string()))?;
        Ok(Accepted { connection, peer: proof.id().clone(), proof, revoked: Revoked::default() })
    };
    tokio::time::timeout(ACCEPT_DEADLINE, all).await.map_err(|_| Error::TimedOut)?
}

async fn handshake(
    tls: TlsStream<TcpStream>,
    config: &TunnelConfig,
) -> Result<Connection<TlsStream<TcpStream>, Payload>, h2::Error> {
    h2::server::Builder::new()
        .initial_window_size(config.stream_window)
        .initial_connection_window_size(config.connection_window)
        .max_frame_size(config.frame_size)
        .max_header_list_size(64 * 1024)
        .header_table_size(0)
        .max_concurrent_streams(MOST_STREAMS)
        .max_send_buffer_size(SEND_BUFFER)
        .handshake::<_, Payload>(tls)
        .await
}

const MOST_STREAMS: u32 = 200;
/// Bytes of one stream that may wait for the wire.
const SEND_BUFFER: usize = 1024 * 1024;

impl Accepted {
    /// Serves the peer's offers, each in a task of its own, until the tunnel ends. On a drain, and when a certificate has
    /// run out, it says so to the peer and lets the streams finish; when cut, and when the peer's certificate is
    /// revoked, it ends them.
    pub(crate) async fn serve<F>(self, guard: Guard, each: impl Fn(Offer) -> F) -> Result<(), String>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Self { mut connection, proof, revoked, .. } = self;
        let streams = Tasks::default();
        let dead = connection::dead(connection.ping_pong());
        let (ending, taken_back) = (ending(&guard, &proof), proof.revoked());
        tokio::pin!(dead, ending, taken_back);
        let mut closing = false;
        let result = loop {
            tokio::select! {
                offer = connection.accept() => match offer {
                    Some(Ok((request, respond))) => {
                        streams.spawn(each(Offer { request, respond, revoked: revoked.clone() }));
                    }
                    Some(Err(error)) => break Err(error.to_string()),
                    None => break Ok(()),
                },
                () = &mut ending, if !closing => {
                    closing = true;
                    connection.graceful_shutdown();
                }
                () = guard.cut() => {
                    drop(streams);
                    connection.abrupt_shutdown(h2::Reason::NO_ERROR);
                    return Ok(());
                }
                () = &mut taken_back => {
                    revoked.set();
                    break Err(REVOKED.to_owned());
                }
                why = &mut dead => break Err(why.to_owned()),
            }
        };
        // What has arrived whole is still delivered; streams that miss something find out by themselves.
        drop(connection);
        tokio::select! {
            () = streams.finished() => {}
            () = guard.cut() => {}
        }
        result
    }
}

/// Resolves when the peer should take its next streams elsewhere.
async fn ending(guard: &Guard, proof: &Proof) {
    tokio::select! {
        () = guard.draining() => {}
        () = proof.expired() => {}
    }
}

impl Offer {
    /// Whether it is a CONNECT (RFC 9113 §8.5): the only request there is.
    pub(crate) fn is_connect(&self) -> bool {
        self.request.method() == Method::CONNECT
    }

    /// Where the peer wants to go, as written.
    pub(crate) fn authority(&self) -> &str {
        self.request.uri().authority().map_or("", http::uri::Authority::as_str)
    }

    /// The values of a header that are visible ASCII; `None` when one is not.
    pub(crate) fn header(&self, name: &str) -> Option<Vec<&str>> {
        headers(self.request.headers(), name)
    }

    /// Says no.
    pub(crate) fn refuse(mut self, status: u16) {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let mut response = Response::new(());
        *response.status_mut() = status;
        // The peer may be gone already, and then there is nobody to tell.
        let _ = self.respond.send_response(response, true);
    }

    /// Says yes, describing the destination; `None` when the peer has gone meanwhile.
    pub(crate) fn accept(mut self, baggage: Option<&str>) -> Option<Stream> {
        let mut response = Response::new(());
        if let Some(value) = baggage.and_then(|text| text.parse().ok()) {
            response.headers_mut().insert("baggage", value);
        }
        let send = self.respond.send_response(response, false).ok()?;
        Some(Stream::new(send, self.request.into_body(), self.revoked))
    }
}

fn headers<'m>(map: &'m HeaderMap, name: &str) -> Option<Vec<&'m str>> {
    map.get_all(name).iter().map(|value| value.to_str().ok()).collect()
}
