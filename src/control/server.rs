//! Serves: TCP, TLS and gRPC, with a bound and a deadline on everything a stranger can start.
//!
//! ```text
//! TCP ─▶ a place among strangers ─▶ TLS ─▶ HTTP/2 ─▶ call ─▶ door: whose token? ─▶ a place among the caller's own ─▶ service
//!              │                     └── until the first caller is known: a deadline ──┘
//!        too many: who has said nothing for longest goes, first of all of the same source
//! ```
//!
//! **Invariant:** the loop that accepts waits for nobody. **Invariant:** of a request without a good token no more is read than its
//! headers and what HTTP/2 reads ahead.

mod connection;
mod door;
mod visit;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use culvert_proto::ca::istio_certificate_service_server::IstioCertificateServiceServer;
use culvert_proto::xds::aggregated_discovery_service_server::AggregatedDiscoveryServiceServer;
use culvert_serving::Limits;
use culvert_serving::guests::{Full, Guests, Pulse};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tonic::service::Routes;

use crate::callers::Callers;
use crate::discovery::Discovery;
use crate::metered;
use crate::service::Service;
use crate::tls::Tls;

use connection::{Calls, Shared};
use door::Door;
use visit::Visit;

pub(crate) use door::Admitted;

/// Connections of which nobody has proved who he is: all, and those of one source. Who has, takes no place of these; how many
/// connections callers may have is [known with them](crate::callers::allowance).
const STRANGERS: Limits = Limits::Replace { most: 1024, per_source: 128 };
/// The longest request for a certificate that is read.
const LONGEST_CERTIFICATE_REQUEST: usize = 64 * 1024;
/// The longest request for mesh state that is read: a client that comes back names all it has.
const LONGEST_DISCOVERY_REQUEST: usize = 16 * 1024 * 1024;
/// The same, of the proxy of one workload, which may name little.
const LONGEST_NEAR: usize = 2 * 1024 * 1024;
/// From the TCP connection to the end of the TLS handshake.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
/// How long calls may take to end once nobody new is served.
const STOP_DEADLINE: Duration = Duration::from_secs(5);
/// How long to wait after the system refused to accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the server does not serve.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub(crate) struct Error {
    pub(crate) address: SocketAddr,
    pub(crate) source: io::Error,
}

/// What is served, and to whom.
pub(crate) struct Services {
    pub(crate) callers: Arc<dyn Callers>,
    pub(crate) certificates: Service,
    pub(crate) discovery: Discovery,
}

/// How the end begins.
pub(crate) struct Stopping<A> {
    /// Ends when it is asked for, and says by what.
    pub(crate) asked: A,
    /// What comes before it.
    pub(crate) farewell: Farewell,
    /// Tells the streams, which would never end by themselves.
    pub(crate) tell: watch::Sender<bool>,
}

/// The time between being asked to stop and serving nobody new: whoever looks for a server shall have learned to look elsewhere.
#[derive(Debug)]
pub(crate) struct Farewell {
    /// Tells that it has begun.
    pub(crate) begun: watch::Sender<bool>,
    pub(crate) lasts: Duration,
}

impl Farewell {
    /// None: nobody looks.
    pub(crate) fn none() -> Self {
        Self { begun: watch::Sender::new(false), lasts: Duration::ZERO }
    }
}

/// Serves until asked to stop.
pub(crate) async fn serve<A>(listener: TcpListener, tls: Tls, services: Services, stopping: Stopping<A>)
where
    A: Future<Output = &'static str>,
{
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "ready");
    }
    let Stopping { asked, farewell, tell } = stopping;
    let Services { callers, certificates, discovery } = services;
    let certificates = IstioCertificateServiceServer::new(certificates)
        .max_decoding_message_size(LONGEST_CERTIFICATE_REQUEST);
    let discovery =
        AggregatedDiscoveryServiceServer::new(discovery).max_decoding_message_size(LONGEST_DISCOVERY_REQUEST);
    let routes = Calls {
        near: Routes::new(certificates.clone())
            .add_service(discovery.clone().max_decoding_message_size(LONGEST_NEAR)),
        everything: Routes::new(certificates).add_service(discovery),
    };
    let shared = Shared { door: Arc::new(Door::new(callers)), routes, stopping: tell.subscribe() };
    let mut guests = Guests::new(STRANGERS);
    let asked = async {
        let signal = asked.await;
        tracing::info!(signal, "stopping");
        farewell.begun.send_replace(true);
        sleep(farewell.lasts).await;
    };
    tokio::select! {
        () = welcome(&listener, &tls, &shared, &mut guests) => {}
        () = asked => {}
    }
    drop(listener);
    tell.send_replace(true);
    if timeout(STOP_DEADLINE, guests.all_gone()).await.is_err() {
        tracing::warn!(deadline = ?STOP_DEADLINE, "calls did not end in time (stop deadline)");
    }
}

/// Waits until calls shall end. Cancel safe.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // When there is nobody left to tell, it has come.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// Accepts connections for ever.
async fn welcome(listener: &TcpListener, tls: &Tls, shared: &Shared, guests: &mut Guests) {
    loop {
        tokio::select! {
            accepted = listener.accept(), if guests.has_room() => match accepted {
                Ok((tcp, peer)) => {
                    let acceptor = TlsAcceptor::from(Arc::clone(&tls.borrow()));
                    let shared = shared.clone();
                    let full = guests.admit(Some(peer.ip()), |pulse| receive(tcp, peer, pulse, (acceptor, shared)));
                    match full {
                        Some(Full::Source) => metered::limited("strangers_of_a_source"),
                        Some(Full::All) => metered::limited("strangers"),
                        None => {}
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            () = guests.gone() => {}
        }
    }
}

/// Serves one connection.
async fn receive(
    tcp: TcpStream,
    peer: SocketAddr,
    pulse: Arc<Pulse>,
    (acceptor, shared): (TlsAcceptor, Shared),
) {
    // What is small and waited for, such as leave to send on, waits for nothing else. A socket that cannot do it is slow, no worse.
    let _ = tcp.set_nodelay(true);
    let mut stopping = shared.stopping.clone();
    let handshake = tokio::select! {
        handshake = timeout(HANDSHAKE_DEADLINE, acceptor.accept(tcp)) => handshake,
        () = stopped(&mut stopping) => return,
    };
    match handshake {
        Ok(Ok(stream)) => connection::serve(stream, Arc::new(Visit::new(peer, pulse)), shared).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
        Err(_) => {
            metered::limited("handshake");
            tracing::debug!(%peer, "TLS handshake took too long (handshake deadline)");
        }
    }
}
