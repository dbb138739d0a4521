//! Where a scripted service is: a TLS port on the control plane's host that serves, keeps silent, goes away and comes back
//! as a test says, and remembers who came.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use culvert_lab::{Lab, socket};
use culvert_sys::netns::Netns;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::{CipherSuite, NamedGroup, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::Server;

use super::pki::Issuer;

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// They are served.
    Serve,
    /// They are accepted, and nothing is ever said on them.
    SilentTcp,
    /// The TLS handshake is the last that is said on them.
    SilentTls,
}

/// Key exchanges a peer of the tests can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Groups {
    /// Post-quantum hybrid first, then a classic one.
    All,
    /// With a suite that those who are not classic would not choose.
    Classic,
    PostQuantum,
}

/// Somebody came.
#[derive(Debug, Clone)]
pub(crate) struct Visit {
    pub(crate) at: Instant,
    /// The key exchange agreed on, or why there was none; `None` before the handshake has ended.
    pub(crate) handshake: Option<Result<NamedGroup, String>>,
}

/// The port. Everything at it ends when it is dropped.
pub(crate) struct Endpoint {
    shared: Arc<Shared>,
    address: SocketAddr,
    running: Mutex<Option<Runtime>>,
}

struct Shared {
    netns: Arc<Netns>,
    tls: Arc<ServerConfig>,
    routes: Routes,
    manner: Mutex<Manner>,
    visits: Mutex<Vec<Visit>>,
}

impl Groups {
    pub(crate) fn provider(self) -> Arc<CryptoProvider> {
        const HYBRID: &dyn SupportedKxGroup = kx_group::X25519MLKEM768;
        const CLASSIC: &dyn SupportedKxGroup = kx_group::X25519;
        let kx_groups = match self {
            Self::All => vec![HYBRID, CLASSIC],
            Self::Classic => vec![CLASSIC],
            Self::PostQuantum => vec![HYBRID],
        };
        let mut provider = CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() };
        if self == Self::Classic {
            provider.cipher_suites.retain(|it| it.suite() != CipherSuite::TLS13_AES_256_GCM_SHA384);
        }
        Arc::new(provider)
    }
}

impl Endpoint {
    /// Serves on the control plane's host, with a certificate of `issuer` for its address.
    pub(crate) fn start(lab: &Lab, issuer: &Issuer, groups: Groups, routes: Routes) -> Self {
        let ip = lab.control_address().ip();
        let certificate = issuer.server(ip);
        let mut tls = ServerConfig::builder_with_provider(groups.provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(certificate.chain, certificate.key)
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let netns = Arc::clone(lab.control_netns());
        let (manner, visits) = (Mutex::new(Manner::Serve), Mutex::default());
        let shared = Arc::new(Shared { netns, tls: Arc::new(tls), routes, manner, visits });
        let (port, runtime) = listen(&shared, 0);
        Self { shared, address: (ip, port).into(), running: Mutex::new(Some(runtime)) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// What becomes of connections made from now on.
    pub(crate) fn behave(&self, manner: Manner) {
        *lock(&self.shared.manner) = manner;
    }

    /// Goes away, as a program that is killed: all connections break and new ones are refused.
    pub(crate) fn stop(&self) {
        if let Some(runtime) = lock(&self.running).take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }

    /// Comes back on the same port.
    pub(crate) fn resume(&self) {
        let (_, runtime) = listen(&self.shared, self.address.port());
        *lock(&self.running) = Some(runtime);
    }

    /// Everybody who came so far.
    pub(crate) fn visits(&self) -> Vec<Visit> {
        lock(&self.shared.visits).clone()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if let Some(runtime) = lock(&self.running).take() {
            runtime.shutdown_background();
        }
    }
}

fn listen(shared: &Arc<Shared>, port: u16) -> (u16, Runtime) {
    let listener = socket::listen(&shared.netns, port).unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.spawn(serve(Arc::clone(shared), listener));
    (port, runtime)
}

async fn serve(shared: Arc<Shared>, listener: std::net::TcpListener) {
    let listener = TcpListener::from_std(listener).unwrap();
    let (connections, incoming) = mpsc::channel(16);
    let routes = shared.routes.clone();
    tokio::spawn(Server::builder().add_routes(routes).serve_with_incoming(ReceiverStream::new(incoming)));
    while let Ok((tcp, _)) = listener.accept().await {
        tokio::spawn(receive(Arc::clone(&shared), tcp, connections.clone()));
    }
}

type Connections = mpsc::Sender<std::io::Result<TlsStream<TcpStream>>>;

async fn receive(shared: Arc<Shared>, tcp: TcpStream, connections: Connections) {
    let manner = *lock(&shared.manner);
    let number = {
        let mut visits = lock(&shared.visits);
        visits.push(Visit { at: Instant::now(), handshake: None });
        visits.len() - 1
    };
    if manner == Manner::SilentTcp {
        return hold(tcp).await;
    }
    let accepted = TlsAcceptor::from(Arc::clone(&shared.tls)).accept(tcp).await;
    let handshake = match &accepted {
        Ok(stream) => Ok(stream.get_ref().1.negotiated_key_exchange_group().unwrap().name()),
        Err(error) => Err(error.to_string()),
    };
    lock(&shared.visits)[number].handshake = Some(handshake);
    match accepted {
        Ok(stream) if manner == Manner::SilentTls => hold(stream).await,
        // Fails only when the server has stopped.
        Ok(stream) => drop(connections.send(Ok(stream)).await),
        Err(_) => {}
    }
}

/// Keeps a connection open until the endpoint stops.
async fn hold(_connection: impl Send) {
    std::future::pending().await
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
