//! Serves: TCP, TLS and gRPC, with a bound and a deadline on everything a stranger can start.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use culvert_process::signal::Stop;
use culvert_proto::ca::istio_certificate_service_server::IstioCertificateServiceServer;
use culvert_proto::xds::aggregated_discovery_service_server::AggregatedDiscoveryServiceServer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::discovery::Discovery;
use crate::service::Service;
use crate::tls::Tls;

/// Connections at once; one more waits until another closes.
const CONNECTIONS: usize = 4096;
/// Calls at once on one connection.
const CALLS_PER_CONNECTION: usize = 32;
/// The longest request for a certificate that is read.
const LONGEST_CERTIFICATE_REQUEST: usize = 64 * 1024;
/// The longest request for mesh state that is read: a client that comes back names all it has.
const LONGEST_DISCOVERY_REQUEST: usize = 16 * 1024 * 1024;
/// The longest headers of a call.
const LONGEST_HEADERS: u32 = 16 * 1024;
/// From the TCP connection to the end of the TLS handshake.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
/// From the headers of a call to its answer.
const CALL_DEADLINE: Duration = Duration::from_secs(10);
/// How long a connection is used before the client is asked to make a new one.
const CONNECTION_AGE: Duration = Duration::from_secs(3600);
/// How often an idle connection is probed, and how long the answer may take.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_DEADLINE: Duration = Duration::from_secs(10);
/// How long calls may take to end once the program was asked to stop.
const STOP_DEADLINE: Duration = Duration::from_secs(5);
/// How long to wait after the system refused to accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the server does not serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot listen on {address}")]
    Bind { address: SocketAddr, source: io::Error },
    #[error("the server failed")]
    Serve(#[from] tonic::transport::Error),
}

/// What is served.
pub(crate) struct Services {
    pub(crate) certificates: Service,
    pub(crate) discovery: Discovery,
}

/// How the end begins.
pub(crate) struct Stopping {
    /// The signals that ask for it.
    pub(crate) asked: Stop,
    /// Tells the streams, which would never end by themselves.
    pub(crate) tell: watch::Sender<bool>,
}

/// Serves until asked to stop.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Tls,
    services: Services,
    mut stopping: Stopping,
) -> Result<(), Error> {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "ready");
    }
    let (connections, incoming) = mpsc::channel(16);
    let mut accepting = JoinSet::new();
    accepting.spawn(accept(listener, tls, connections));

    let mut stopped = stopping.tell.subscribe();
    let certificates = IstioCertificateServiceServer::new(services.certificates)
        .max_decoding_message_size(LONGEST_CERTIFICATE_REQUEST);
    let discovery = AggregatedDiscoveryServiceServer::new(services.discovery)
        .max_decoding_message_size(LONGEST_DISCOVERY_REQUEST);
    let serving = Server::builder()
        .timeout(CALL_DEADLINE)
        .concurrency_limit_per_connection(CALLS_PER_CONNECTION)
        .max_concurrent_streams(u32::try_from(CALLS_PER_CONNECTION).ok())
        .http2_max_header_list_size(LONGEST_HEADERS)
        .http2_keepalive_interval(Some(PING_INTERVAL))
        .http2_keepalive_timeout(Some(PING_DEADLINE))
        .max_connection_age(CONNECTION_AGE)
        .add_service(certificates)
        .add_service(discovery)
        .serve_with_incoming_shutdown(ReceiverStream::new(incoming), async {
            // Ends as well when the sender is dropped.
            let _ = stopped.wait_for(|stopping| *stopping).await;
        });
    let mut serving = std::pin::pin!(serving);
    let signal = tokio::select! {
        result = &mut serving => return Ok(result?),
        signal = stopping.asked.asked() => signal,
    };
    tracing::info!(signal, "stopping");
    stopping.tell.send_replace(true);
    accepting.abort_all();
    match tokio::time::timeout(STOP_DEADLINE, serving).await {
        Ok(result) => result?,
        Err(_) => tracing::warn!(deadline = ?STOP_DEADLINE, "calls did not end in time (stop deadline)"),
    }
    Ok(())
}

/// Accepts connections and hands those on that completed the TLS handshake.
async fn accept(listener: TcpListener, tls: Tls, connections: mpsc::Sender<io::Result<Connection>>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut handshakes = JoinSet::new();
    loop {
        while handshakes.try_join_next().is_some() {}
        let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
        let (tcp, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let acceptor = TlsAcceptor::from(Arc::clone(&tls.borrow()));
        let connections = connections.clone();
        handshakes.spawn(async move {
            match tokio::time::timeout(HANDSHAKE_DEADLINE, acceptor.accept(tcp)).await {
                Ok(Ok(stream)) => {
                    // Fails only when the server has stopped.
                    let _ = connections.send(Ok(Connection { stream, _place: place })).await;
                }
                Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
                Err(_) => tracing::debug!(%peer, "TLS handshake took too long (handshake deadline)"),
            }
        });
    }
}

/// A connection and its place among [`CONNECTIONS`].
struct Connection {
    stream: TlsStream<TcpStream>,
    _place: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.get_ref().0.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
