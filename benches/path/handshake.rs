//! One bare mutual TLS 1.3 handshake between the two pods: what the first byte through a cold tunnel is compared with.
//!
//! Measured from connect(2) until the server, which has then verified the client, says one byte. The same library,
//! suites and key exchange as in the node; certificates of the same kind; never resumed.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, Stream, version,
};

use super::certificates::{Authority, CLIENT, Certificate, SERVER, SERVER_NAME};
use super::error::{Doing as _, Error};
use super::topology::Bed;

/// What takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);
const BYTE: u8 = b'!';

/// Two sides that can shake hands.
pub(super) struct Handshake {
    bed: Bed,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Handshake {
    /// Makes a cluster like those of the subjects, and certificates.
    pub(super) fn prepare() -> Result<Self, Error> {
        let authority = Authority::create()?;
        let provider = Arc::new(provider());
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate().der().clone())?;
        let roots = Arc::new(roots);
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        let (chain, key) = owned(&authority.issue(SERVER)?);
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)?;
        server.send_tls13_tickets = 0;
        let (chain, key) = owned(&authority.issue(CLIENT)?);
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        client.resumption = Resumption::disabled();
        Ok(Self { bed: Bed::make("handshake", None)?, client: Arc::new(client), server: Arc::new(server) })
    }

    /// Shakes hands a number of times, one after the other; gives back how long each took.
    pub(super) fn measure(&self, count: usize) -> Result<Vec<Duration>, Error> {
        let doing = || "shake hands".to_owned();
        let listener = self.bed.server.listen(0).doing(doing)?;
        let to: SocketAddr = (self.bed.server.ip4(), listener.local_addr().doing(doing)?.port()).into();
        thread::scope(|scope| {
            let server = scope.spawn(|| (0..count).try_for_each(|_| self.answer(&listener)));
            let times = (0..count).map(|_| self.ask(to)).collect::<io::Result<Vec<_>>>().doing(doing)?;
            server.join().unwrap_or_else(|_| Err(io::Error::other("the server panicked"))).doing(doing)?;
            Ok(times)
        })
    }

    fn answer(&self, listener: &TcpListener) -> io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut tls = ServerConnection::new(Arc::clone(&self.server)).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)?;
        }
        Stream::new(&mut tls, &mut stream).write_all(&[BYTE])
    }

    fn ask(&self, to: SocketAddr) -> io::Result<Duration> {
        let began = Instant::now();
        let mut stream = self.bed.client.connect(to, PATIENCE)?;
        let name = ServerName::try_from(SERVER_NAME).expect("the name is well-formed");
        let mut tls = ClientConnection::new(Arc::clone(&self.client), name).map_err(io::Error::other)?;
        let mut byte = [0];
        Stream::new(&mut tls, &mut stream).read_exact(&mut byte)?;
        let took = began.elapsed();
        if byte == [BYTE] { Ok(took) } else { Err(io::Error::other("the wrong byte came")) }
    }
}

/// What the node offers and prefers.
pub(super) fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS13_AES_256_GCM_SHA384, cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1],
        ..default_provider()
    }
}

fn owned(certificate: &Certificate) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let key = PrivatePkcs8KeyDer::from(certificate.key.serialize_der());
    (vec![certificate.signed.der().clone()], key.into())
}
