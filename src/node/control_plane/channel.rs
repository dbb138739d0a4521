//! The channel of a link: HTTP/2 over TLS, made when needed, kept, and made anew when it failed or when the roots changed.
//!
//! The server is known by the name in its address, or by a second name that is accepted as well; no client certificate is
//! presented.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use culvert_process::exit::Chain;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint, Uri};
use tower::service_fn;

use super::connect::connect;
use super::{Config, Error, Invalid, Root};
use crate::crypto;

const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_DEADLINE: Duration = Duration::from_secs(10);

/// How to connect, and the connection.
pub(super) struct Channels {
    endpoint: Endpoint,
    host: String,
    root: Root,
    alternative: Option<ServerName<'static>>,
    tls12: bool,
    mark: Option<u32>,
    made: Mutex<Option<Made>>,
}

/// A channel and the text of the roots it trusts.
struct Made {
    roots: String,
    channel: Channel,
}

impl Channels {
    pub(super) fn new(config: &Config) -> Result<Self, Invalid> {
        let service = config.service;
        let (endpoint, host) = endpoint(&config.address)
            .ok_or_else(|| Invalid::Address { service, address: config.address.clone() })?;
        let name = |name: &String| {
            ServerName::try_from(name.clone())
                .map_err(|_| Invalid::AlternativeName { service, name: name.clone() })
        };
        Ok(Self {
            endpoint,
            host,
            root: config.root.clone(),
            alternative: config.alternative_name.as_ref().map(name).transpose()?,
            tls12: config.tls12,
            mark: config.mark,
            made: Mutex::default(),
        })
    }

    /// The channel that is open, unless the roots changed; else a new one, which connects at the first request.
    pub(super) async fn current(&self) -> Result<Channel, Error> {
        let made = match self.roots().await {
            Ok(roots) => match self.with_roots(&roots) {
                Some(channel) => return Ok(channel),
                None => self.make(&roots).map(|channel| Made { roots, channel }),
            },
            Err(error) => Err(error),
        };
        let mut kept = self.made();
        match (made, kept.as_ref()) {
            (Ok(made), _) => Ok(kept.insert(made).channel.clone()),
            (Err(error), None) => Err(error),
            (Err(error), Some(kept)) => {
                tracing::warn!(error = %Chain(&error), "roots of the control plane not usable, keeping the last ones");
                Ok(kept.channel.clone())
            }
        }
    }

    /// Has the next request make a new channel.
    pub(super) fn forget(&self) {
        *self.made() = None;
    }

    fn with_roots(&self, roots: &str) -> Option<Channel> {
        self.made().as_ref().filter(|made| made.roots == roots).map(|made| made.channel.clone())
    }

    async fn roots(&self) -> Result<String, Error> {
        match &self.root {
            Root::System => Ok(String::new()),
            Root::Pem(text) => Ok(text.clone()),
            Root::File(path) => tokio::fs::read_to_string(path)
                .await
                .map_err(|source| Error::RootUnreadable { path: path.clone(), source: Arc::new(source) }),
        }
    }

    fn make(&self, roots: &str) -> Result<Channel, Error> {
        let verifier = Servers {
            roots: self.trusted(roots)?,
            alternative: self.alternative.clone(),
            tls12: self.tls12,
            algorithms: crypto::provider().signature_verification_algorithms,
        };
        let tls = ClientTlsConfig::new().domain_name(self.host.clone()).timeout(HANDSHAKE_DEADLINE);
        let endpoint = self.endpoint.clone().tls_config_with_verifier(tls, Arc::new(verifier));
        let endpoint = endpoint.map_err(|error| Error::Tls(Arc::new(error)))?;
        let mark = self.mark;
        Ok(endpoint.connect_with_connector_lazy(service_fn(move |url| connect(url, mark))))
    }

    fn trusted(&self, roots: &str) -> Result<RootCertStore, Error> {
        let ((certificates, unreadable), origin) = match &self.root {
            Root::System => {
                let loaded = rustls_native_certs::load_native_certs();
                ((loaded.certs, loaded.errors.len()), "the system's trust store".to_owned())
            }
            Root::Pem(_) => (pem_certificates(roots), "the given text".to_owned()),
            Root::File(path) => (pem_certificates(roots), path.display().to_string()),
        };
        let mut store = RootCertStore::empty();
        let (_, unusable) = store.add_parsable_certificates(certificates);
        if store.is_empty() {
            return Err(Error::NoRoot { origin });
        }
        if unreadable + unusable > 0 {
            tracing::warn!(origin, unreadable, unusable, "trust bundle has parts that cannot be roots");
        }
        Ok(store)
    }

    fn made(&self) -> MutexGuard<'_, Option<Made>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The endpoint of an address, and the host to verify.
fn endpoint(address: &str) -> Option<(Endpoint, String)> {
    let url = if address.contains("://") { address.to_owned() } else { format!("https://{address}") };
    let uri: Uri = url.parse().ok().filter(|uri: &Uri| uri.scheme_str() == Some("https"))?;
    // A port that is not a number is taken for no port.
    if uri.port().is_none() && uri.authority()?.as_str() != uri.host()? {
        return None;
    }
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    ServerName::try_from(host.as_str()).ok()?;
    let endpoint =
        Endpoint::from(uri).http2_keep_alive_interval(PING_INTERVAL).keep_alive_timeout(PING_DEADLINE);
    Some((endpoint, host))
}

/// The certificates in a text, and how many of its parts cannot be read.
fn pem_certificates(text: &str) -> (Vec<CertificateDer<'static>>, usize) {
    let mut unreadable = 0;
    let parts = CertificateDer::pem_slice_iter(text.as_bytes());
    let certificates = parts.filter_map(|part| part.map_err(|_| unreadable += 1).ok()).collect();
    (certificates, unreadable)
}

/// Judges the server's certificate: chain, time and usage first, then the name or the second name.
#[derive(Debug)]
struct Servers {
    roots: RootCertStore,
    alternative: Option<ServerName<'static>>,
    tls12: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let leaf = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &leaf,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        let by_address = verify_server_name(&leaf, server_name);
        match &self.alternative {
            Some(alternative) if by_address.is_err() => verify_server_name(&leaf, alternative)?,
            _ => by_address?,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // Only called once TLS 1.2 was negotiated.
        if !self.tls12 {
            return Err(rustls::Error::General(
                "the server chose TLS 1.2, which is off (TLS12_ENABLED)".into(),
            ));
        }
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
