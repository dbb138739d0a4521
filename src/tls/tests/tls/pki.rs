//! An authority, and configurations of two ends that trust it.

use std::sync::Arc;

use culvert_core::tunnel::record::Layer;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedCipherSuite};

pub(crate) const ALPN: &[u8] = b"h2";

pub(crate) static SUITES: [SupportedCipherSuite; 4] = [
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
];

pub(crate) fn layer(suite: SupportedCipherSuite) -> Layer {
    if suite.tls13().is_some() { Layer::Tls13 } else { Layer::Tls12 }
}

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) certificate: CertificateDer<'static>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    fn issue(&self, name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        (certificate, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        Arc::new(roots)
    }
}

/// Two ends that know nothing but one suite.
pub(crate) struct Configs {
    pub(crate) client: ClientConfig,
    pub(crate) server: ServerConfig,
}

/// Who certifies whom, and whom the ends trust.
pub(crate) struct Trust<'a> {
    pub(crate) trusted: &'a Authority,
    pub(crate) client: &'a Authority,
    pub(crate) server: &'a Authority,
    /// Certificates that the server sends along for nothing.
    pub(crate) ballast: usize,
}

impl Configs {
    /// Two ends that trust each other.
    pub(crate) fn new(suite: SupportedCipherSuite) -> Self {
        let authority = Authority::new("authority");
        let trust = Trust { trusted: &authority, client: &authority, server: &authority, ballast: 0 };
        Self::with(suite, &trust)
    }

    pub(crate) fn with(suite: SupportedCipherSuite, trust: &Trust<'_>) -> Self {
        let roots = trust.trusted.roots();
        let (certificate, key) = trust.client.issue("client.test");
        let mut client = ClientConfig::builder_with_provider(provider(suite))
            .with_protocol_versions(&[suite.version()])
            .unwrap()
            .with_root_certificates(Arc::clone(&roots))
            .with_client_auth_cert(vec![certificate], key)
            .unwrap();
        client.alpn_protocols = vec![ALPN.to_vec()];
        client.enable_secret_extraction = true;

        let (certificate, key) = trust.server.issue("server.test");
        let mut chain = vec![certificate];
        chain.resize(1 + trust.ballast, trust.server.certificate.clone());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider(suite)).build().unwrap();
        let mut server = ServerConfig::builder_with_provider(provider(suite))
            .with_protocol_versions(&[suite.version()])
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .unwrap();
        server.alpn_protocols = vec![ALPN.to_vec()];
        server.enable_secret_extraction = true;
        server.send_tls13_tickets = 1;
        Self { client, server }
    }
}

fn provider(suite: SupportedCipherSuite) -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider { cipher_suites: vec![suite], ..default_provider() })
}

pub(crate) fn algorithms() -> WebPkiSupportedAlgorithms {
    default_provider().signature_verification_algorithms
}

pub(crate) fn server_name() -> ServerName<'static> {
    ServerName::try_from("server.test").unwrap()
}
