//! One issued certificate with its key and its roots, and the TLS configurations made of them.
//!
//! In goes what the issuer answered, checked by [`super::response`], and the key; out come configurations for both
//! ends of a tunnel, made once for what is accepted of peers at a time ([`Accepted`]) and shared by all handshakes.
//!
//! The key never leaves. It is held by AWS-LC, which wipes it when the certificate is dropped; its encoded form lives where it
//! was made or came in ([`super::request`]), and is wiped there. Not wiped are the secrets of TLS sessions that
//! may be resumed: they cannot sign, and go with the configuration. Memory is not locked: a node that swaps may write
//! keys to disk.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use culvert_core::identity::SpiffeId;
use culvert_core::renewal::Validity;
use rustls::client::{Resumption, Tls12Resumption};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion, version};
use rustls_pki_types::UnixTime;

use super::response::Issued;
use super::revocation::End;
use super::sessions::{Sessions, Tickets};
use super::trust::{Accepted, Held, Trust};
use super::verify::{Clients, Servers};
use super::x509::X509;
use crate::crypto;

/// Client configurations kept of one certificate.
const MOST_CONFIGS: usize = 1024;

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
    own: Arc<SingleCertAndKey>,
    versions: Versions,
    held: Held,
    configs: Mutex<Configs>,
}

/// Configurations for what is accepted of peers at one time.
struct Configs {
    accepted: Arc<Accepted>,
    server: Option<Arc<ServerConfig>>,
    /// By whom they expect.
    clients: HashMap<Vec<SpiffeId>, Arc<ClientConfig>>,
}

impl Certificate {
    /// Puts an answer of the issuer and the key it is for together. It trusts the roots it came with.
    pub(super) fn new(issued: Issued, key: Arc<dyn SigningKey>, versions: Versions) -> Self {
        let Issued { id, chain, roots } = issued;
        let sent = chain.iter().map(|certificate| certificate.der.clone()).collect();
        let own = Arc::new(SingleCertAndKey::from(CertifiedKey::new(sent, key)));
        let held = Trust::default().hold(&id, &roots);
        let configs = Mutex::new(Configs::of(held.accepted()));
        Self { id, chain, roots, own, versions, held, configs }
    }

    /// Has it trust what all certificates of the node trust, and them trust its roots.
    pub(crate) fn trusting(mut self, trust: &Trust) -> Self {
        self.held = trust.hold(&self.id, &self.roots);
        self
    }

    /// Whether another one is this one: as long as that, with the same roots.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let same = |ours: &[X509], theirs: &[X509]| {
            ours.iter().map(|it| &it.der).eq(theirs.iter().map(|it| &it.der))
        };
        same(&self.chain, &other.chain) && same(&self.roots, &other.roots)
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
        let mut configs = self.configs();
        let Configs { accepted, server, .. } = &mut *configs;
        Arc::clone(server.get_or_insert_with(|| Arc::new(self.make_server_config(accepted))))
    }

    /// For opening tunnels to a peer that must be one of `expected`. The server name of the connection plays no part,
    /// save for finding the sessions that can be resumed.
    pub(crate) fn client_config(&self, expected: &[SpiffeId]) -> Arc<ClientConfig> {
        let mut configs = self.configs();
        if let Some(config) = configs.clients.get(expected) {
            return Arc::clone(config);
        }
        if configs.clients.len() == MOST_CONFIGS {
            configs.clients.clear();
        }
        let config = Arc::new(self.make_client_config(expected, &configs.accepted));
        configs.clients.insert(expected.to_vec(), Arc::clone(&config));
        config
    }

    fn make_server_config(&self, accepted: &Arc<Accepted>) -> ServerConfig {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(crypto::provider()))
            .with_protocol_versions(self.versions.list())
            .expect("the provider has suites for these versions")
            .with_client_cert_verifier(Arc::new(Clients::accepted(Arc::clone(accepted))))
            .with_cert_resolver(Arc::clone(&self.own) as _);
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.session_storage = Arc::new(Sessions::default());
        config.send_tls13_tickets = 1;
        config.enable_secret_extraction = true;
        config
    }

    fn make_client_config(&self, expected: &[SpiffeId], accepted: &Arc<Accepted>) -> ClientConfig {
        let servers = Servers::expected(expected, Arc::clone(accepted));
        let mut config = ClientConfig::builder_with_provider(Arc::clone(crypto::provider()))
            .with_protocol_versions(self.versions.list())
            .expect("the provider has suites for these versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(servers))
            .with_client_cert_resolver(Arc::clone(&self.own) as _);
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.enable_sni = false;
        config.enable_secret_extraction = true;
        let tickets = Resumption::store(Arc::new(Tickets::default()));
        config.resumption = tickets.tls12_resumption(Tls12Resumption::Disabled);
        config
    }

    /// The configurations of this moment.
    fn configs(&self) -> MutexGuard<'_, Configs> {
        let accepted = self.held.accepted();
        let mut configs = self.configs.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&configs.accepted, &accepted) {
            *configs = Configs::of(accepted);
        }
        configs
    }

    /// What is accepted of peers at this moment.
    pub(super) fn accepted(&self) -> Arc<Accepted> {
        self.held.accepted()
    }

    /// Whether our own issuer has taken it back: peers that know of it turn us away.
    pub(super) fn is_revoked(&self) -> bool {
        let rest: Vec<_> = self.chain.iter().skip(1).map(|certificate| certificate.der.clone()).collect();
        self.accepted().is_revoked(End::Client, &self.leaf().der, &rest, UnixTime::now())
    }

    pub(super) fn trust(&self) -> &Trust {
        self.held.trust()
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

impl Configs {
    fn of(accepted: Arc<Accepted>) -> Self {
        Self { accepted, server: None, clients: HashMap::new() }
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
