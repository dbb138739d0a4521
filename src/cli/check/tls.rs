//! Meets a server as the node would, and looks at what it shows: name, connection, handshake, certificate, time.
//!
//! Any certificate is taken while the connection is made, so that it can be looked at; whether it is to be trusted is judged
//! afterwards ([`Trust`]), and nothing is ever said that is not public.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::clock;

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How far one gets.
#[derive(Debug)]
pub(super) enum Reach {
    NoName(String),
    NoConnection(Vec<SocketAddr>, String),
    NoTls(SocketAddr, String),
    Tls(Met),
}

/// A server that was met.
#[derive(Debug)]
pub(super) struct Met {
    pub(super) peer: SocketAddr,
    pub(super) version: String,
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// When it says it answered, in seconds since 1970.
    pub(super) date: Option<i64>,
}

/// What is to be known of a certificate to judge it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Presented {
    pub(super) names: Vec<String>,
    /// Who has signed the last certificate of the chain: the root that is needed.
    pub(super) root: String,
    /// Seconds since 1970.
    pub(super) valid: [i64; 2],
}

/// Whether a node would trust a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trust {
    Good,
    /// Nobody has said which roots are trusted.
    NoRoots,
    UnknownIssuer,
    Expired,
    NotYet,
    OtherName,
    Other(String),
}

/// Meets the server at `host:port`.
pub(super) async fn meet(host: &str, port: u16) -> Reach {
    let addresses = match in_time(lookup_host((host, port))).await {
        Ok(addresses) => addresses.collect::<Vec<_>>(),
        Err(error) => return Reach::NoName(error),
    };
    let tcp = match in_time(TcpStream::connect(&*addresses)).await {
        Ok(tcp) => tcp,
        Err(error) => return Reach::NoConnection(addresses, error),
    };
    let peer = match tcp.peer_addr() {
        Ok(peer) => peer,
        Err(error) => return Reach::NoConnection(addresses, error.to_string()),
    };
    let handshake = async { connector()?.connect(name(host)?, tcp).await };
    match in_time(handshake).await {
        Ok(stream) => Reach::Tls(Met::look(stream, peer, host).await),
        Err(error) => Reach::NoTls(peer, error),
    }
}

async fn in_time<T>(step: impl Future<Output = std::io::Result<T>>) -> Result<T, String> {
    match timeout(PATIENCE, step).await {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(_) => Err(format!("nothing came within {} s", PATIENCE.as_secs())),
    }
}

fn name(host: &str) -> std::io::Result<ServerName<'static>> {
    ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)
}

fn connector() -> std::io::Result<TlsConnector> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(std::io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(algorithms)));
    let mut config = config.with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

impl Met {
    async fn look(stream: TlsStream<TcpStream>, peer: SocketAddr, host: &str) -> Self {
        let connection = stream.get_ref().1;
        let version =
            connection.protocol_version().map_or_else(String::new, |version| format!("{version:?}"));
        let chain = connection
            .peer_certificates()
            .unwrap_or_default()
            .iter()
            .map(|it| it.clone().into_owned())
            .collect();
        let date = timeout(PATIENCE, date(stream, host)).await.ok().flatten();
        Self { peer, version, chain, date }
    }

    /// What the certificate says of itself.
    pub(super) fn presented(&self) -> Option<Presented> {
        let (_, leaf) = X509Certificate::from_der(self.chain.first()?).ok()?;
        let (_, last) = X509Certificate::from_der(self.chain.last()?).ok()?;
        let alternatives = leaf.subject_alternative_name().ok().flatten();
        let names =
            alternatives.iter().flat_map(|it| &it.value.general_names).filter_map(known_name).collect();
        let validity = leaf.validity();
        let valid = [validity.not_before.timestamp(), validity.not_after.timestamp()];
        Some(Presented { names, root: last.issuer().to_string(), valid })
    }

    /// Whether one who trusts these roots trusts it as one of these names, at this moment.
    pub(super) fn trust(&self, roots: Option<&RootCertStore>, hosts: &[&str], now: SystemTime) -> Trust {
        let Some(roots) = roots else { return Trust::NoRoots };
        match self.verify(roots, hosts, now) {
            Ok(()) => Trust::Good,
            Err(rustls::Error::InvalidCertificate(error)) => Trust::of(&error),
            Err(error) => Trust::Other(error.to_string()),
        }
    }

    fn verify(&self, roots: &RootCertStore, hosts: &[&str], now: SystemTime) -> Result<(), rustls::Error> {
        let (leaf, between) = self.chain.split_first().ok_or(rustls::Error::NoCertificatesPresented)?;
        let leaf = ParsedCertificate::try_from(leaf)?;
        let now = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        verify_server_cert_signed_by_trust_anchor(&leaf, roots, between, now, algorithms.all)?;
        let mut outcome = Err(rustls::Error::InvalidCertificate(CertificateError::NotValidForName));
        for host in hosts {
            let name =
                ServerName::try_from(*host).map_err(|error| rustls::Error::General(error.to_string()))?;
            outcome = outcome.or_else(|_| verify_server_name(&leaf, &name));
        }
        outcome
    }
}

impl Trust {
    fn of(error: &CertificateError) -> Self {
        use CertificateError as E;
        if matches!(error, E::Expired | E::ExpiredContext { .. }) {
            Self::Expired
        } else if matches!(error, E::NotValidYet | E::NotValidYetContext { .. }) {
            Self::NotYet
        } else if matches!(error, E::UnknownIssuer | E::BadSignature) {
            Self::UnknownIssuer
        } else if matches!(error, E::NotValidForName | E::NotValidForNameContext { .. }) {
            Self::OtherName
        } else {
            Self::Other(error.to_string())
        }
    }
}

fn known_name(name: &GeneralName<'_>) -> Option<String> {
    if let GeneralName::DNSName(name) | GeneralName::URI(name) = name {
        return Some((*name).to_owned());
    }
    let GeneralName::IPAddress(bytes) = name else { return None };
    let v4 = <[u8; 4]>::try_from(*bytes).map(std::net::IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(*bytes).map(std::net::IpAddr::from);
    v4.or_else(|_| v6()).ok().map(|address| address.to_string())
}

/// Asks for nothing in particular, because every answer has a date.
async fn date(stream: TlsStream<TcpStream>, host: &str) -> Option<i64> {
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return None;
    }
    let authority = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let request = http::Request::get(format!("https://{authority}/")).body(()).ok()?;
    let (mut sender, connection) = h2::client::handshake(stream).await.ok()?;
    let asking = async {
        let (answer, _) = sender.send_request(request, true).ok()?;
        let answer = answer.await.ok()?;
        clock::http_date(answer.headers().get(http::header::DATE)?.to_str().ok()?)
    };
    tokio::select! {
        date = asking => date,
        _ = connection => None,
    }
}

/// Takes every certificate; whoever shows it must have its key.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
