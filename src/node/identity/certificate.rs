//! One issued certificate with its key and its roots, and the TLS configurations made of them.
//!
//! In goes what the authority answered, checked by [`super::response`], and the key; out come configurations for both
//! ends of a tunnel. The key never leaves.

use std::fmt;
use std::sync::Arc;

use culvert_core::identity::SpiffeId;
use culvert_core::renewal::Validity;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use rustls_pki_types::PrivateKeyDer;

use super::response::Issued;
use super::verify::{Clients, Servers};
use super::x509::X509;
use crate::crypto;

/// Which versions of TLS tunnels speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Versions {
    Tls13,
    Tls12And13,
}

/// A certificate in use.
pub(crate) struct Certificate {
    id: SpiffeId,
    /// The leaf, then the intermediates.
    chain: Vec<X509>,
    roots: Vec<X509>,
    anchors: Arc<RootCertStore>,
    own: Arc<SingleCertAndKey>,
    versions: Versions,
    server: Arc<ServerConfig>,
}

impl Certificate {
    /// Puts an answer of the authority and the key it is for together.
    pub(super) fn new(
        issued: Issued,
        key: &PrivateKeyDer<'_>,
        versions: Versions,
    ) -> Result<Self, rustls::Error> {
        let Issued { id, chain, roots, anchors } = issued;
        let anchors = Arc::new(anchors);
        let key = aws_lc_rs::sign::any_ecdsa_type(key)?;
        let sent = chain.iter().map(|certificate| certificate.der.clone()).collect();
        let own = Arc::new(SingleCertAndKey::from(CertifiedKey::new(sent, key)));
        let clients = Clients::of_trust_domain(&id, Arc::clone(&anchors))?;
        let server = server_config(Arc::clone(&own), clients, versions)?;
        Ok(Self { id, chain, roots, anchors, own, versions, server: Arc::new(server) })
    }

    /// Whose certificate it is.
    pub(crate) fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// When the leaf is valid.
    pub(crate) fn validity(&self) -> Validity {
        self.leaf().validity
    }

    /// The serial number of the leaf, in decimal.
    pub(crate) fn serial(&self) -> &str {
        &self.leaf().serial
    }

    /// For accepting tunnels: a client certificate of the own trust domain is required.
    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    /// For opening tunnels to a peer that must be one of `expected`. The server name of the connection plays no part.
    pub(crate) fn client_config(&self, expected: &[SpiffeId]) -> Arc<ClientConfig> {
        let servers = Servers::expected(expected, Arc::clone(&self.anchors));
        let mut config = ClientConfig::builder_with_provider(Arc::clone(crypto::provider()))
            .with_protocol_versions(self.versions.list())
            .expect("the provider has suites for these versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(servers))
            .with_client_cert_resolver(Arc::clone(&self.own) as _);
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.enable_sni = false;
        config.resumption = Resumption::disabled();
        Arc::new(config)
    }

    pub(super) fn chain(&self) -> &[X509] {
        &self.chain
    }

    pub(super) fn roots(&self) -> &[X509] {
        &self.roots
    }

    fn leaf(&self) -> &X509 {
        self.chain.first().expect("an issued chain begins with the leaf")
    }
}

impl fmt::Debug for Certificate {
    /// Shows no key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("id", self.id())
            .field("serial", &self.serial())
            .field("validity", &self.validity())
            .finish_non_exhaustive()
    }
}

impl Versions {
    pub(super) fn with_tls12(allowed: bool) -> Self {
        if allowed { Self::Tls12And13 } else { Self::Tls13 }
    }

    fn list(self) -> &'static [&'static SupportedProtocolVersion] {
        static ALL: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
        match self {
            Self::Tls13 => &ALL[..1],
            Self::Tls12And13 => &ALL,
        }
    }
}

fn server_config(
    own: Arc<SingleCertAndKey>,
    clients: Clients,
    versions: Versions,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::clone(crypto::provider()))
        .with_protocol_versions(versions.list())?
        .with_client_cert_verifier(Arc::new(clients))
        .with_cert_resolver(own);
    config.alpn_protocols = vec![b"h2".to_vec()];
    // Nobody resumes: every handshake verifies the peer afresh.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}
