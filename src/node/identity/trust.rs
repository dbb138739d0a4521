//! Whom this node trusts: roots, trust domains and revocation lists, for all its certificates together.
//!
//! In go the trust bundles that come with certificates; out comes [`Accepted`], what counts at this moment. The roots are
//! the union of the bundles of all certificates held for one trust domain: a root is accepted as soon as one identity
//! has learnt of it, and no longer once no certificate brings it. [`Accepted`] never changes; what replaces it has
//! another address, by which TLS configurations made of it are known to be outdated. Live tunnels are not touched.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use culvert_core::identity::SpiffeId;
use rustls::server::ParsedCertificate;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, RootCertStore};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::sync::watch;

use super::revocation::{End, Lists, Presented, Revocation};
use super::x509::X509;
use crate::crypto;

/// What all certificates of this node trust. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Trust(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    aliases: Vec<String>,
    lists: watch::Receiver<Arc<Lists>>,
    domains: Mutex<HashMap<String, Domain>>,
}

/// One trust domain that we have certificates of.
#[derive(Debug)]
struct Domain {
    /// How many certificates bring which root.
    roots: HashMap<CertificateDer<'static>, usize>,
    accepted: Arc<Accepted>,
}

/// What one certificate brings, until this is dropped.
pub(super) struct Held {
    trust: Trust,
    domain: String,
    roots: HashSet<CertificateDer<'static>>,
}

/// What is accepted of peers.
#[derive(Debug)]
pub(super) struct Accepted {
    roots: Arc<RootCertStore>,
    /// Judges the chains of clients.
    clients: Arc<dyn ClientCertVerifier>,
    /// Our own trust domain, then its aliases.
    domains: Vec<String>,
    lists: Arc<Lists>,
}

impl Default for Trust {
    /// No aliases, and nothing is revoked.
    fn default() -> Self {
        Self::new(Vec::new(), &Revocation::off())
    }
}

impl Trust {
    /// Starts with no root. `aliases` are trust domains that count as our own.
    pub(crate) fn new(aliases: Vec<String>, revocation: &Revocation) -> Self {
        Self(Arc::new(Inner { aliases, lists: revocation.lists(), domains: Mutex::default() }))
    }

    /// Adds the trust bundle of a certificate for `id`. There must be a usable root in it.
    pub(super) fn hold(&self, id: &SpiffeId, bundle: &[X509]) -> Held {
        let roots = bundle.iter().map(|root| root.der.clone()).collect();
        let held = Held { trust: self.clone(), domain: id.trust_domain().to_owned(), roots };
        held.count_in();
        held
    }

    /// The revocation lists of this moment, and of all later ones.
    pub(super) fn lists(&self) -> watch::Receiver<Arc<Lists>> {
        self.0.lists.clone()
    }

    fn accepted(&self, domain: &str, roots: &HashMap<CertificateDer<'static>, usize>) -> Arc<Accepted> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.keys().cloned());
        let roots = Arc::new(store);
        let provider = Arc::clone(crypto::provider());
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider)
            // The client has one certificate; hints would only make the handshake longer.
            .clear_root_hint_subjects()
            .build()
            .expect("a bundle has a usable root");
        let domains = std::iter::once(domain.to_owned()).chain(self.0.aliases.iter().cloned()).collect();
        Arc::new(Accepted { roots, clients, domains, lists: Arc::clone(&self.0.lists.borrow()) })
    }

    fn domains(&self) -> MutexGuard<'_, HashMap<String, Domain>> {
        self.0.domains.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// What counts at this moment.
    pub(super) fn accepted(&self) -> Arc<Accepted> {
        let mut domains = self.trust.domains();
        let domain =
            domains.get_mut(&self.domain).expect("a domain is known while a certificate of it is held");
        if !Arc::ptr_eq(&domain.accepted.lists, &self.trust.0.lists.borrow()) {
            domain.accepted = self.trust.accepted(&self.domain, &domain.roots);
        }
        Arc::clone(&domain.accepted)
    }

    pub(super) fn trust(&self) -> &Trust {
        &self.trust
    }

    fn count_in(&self) {
        let mut domains = self.trust.domains();
        let Some(domain) = domains.get_mut(&self.domain) else {
            let roots = self.roots.iter().map(|root| (root.clone(), 1)).collect();
            let accepted = self.trust.accepted(&self.domain, &roots);
            domains.insert(self.domain.clone(), Domain { roots, accepted });
            return;
        };
        let known = domain.roots.len();
        for root in &self.roots {
            *domain.roots.entry(root.clone()).or_default() += 1;
        }
        if domain.roots.len() != known {
            domain.accepted = self.trust.accepted(&self.domain, &domain.roots);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut domains = self.trust.domains();
        let Some(domain) = domains.get_mut(&self.domain) else { return };
        let known = domain.roots.len();
        for root in &self.roots {
            if let Some(holders) = domain.roots.get_mut(root) {
                *holders -= 1;
            }
        }
        domain.roots.retain(|_, holders| *holders > 0);
        if domain.roots.is_empty() {
            domains.remove(&self.domain);
        } else if domain.roots.len() != known {
            domain.accepted = self.trust.accepted(&self.domain, &domain.roots);
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("domain", &self.domain).finish_non_exhaustive()
    }
}

impl Accepted {
    /// Judges a chain: signatures up to a root, validity, key usage, revocation.
    pub(super) fn judge(
        &self,
        end: End,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        at: UnixTime,
    ) -> Result<(), rustls::Error> {
        match end {
            End::Client => {
                self.clients.verify_client_cert(leaf, rest, at)?;
            }
            End::Server => rustls::client::verify_server_cert_signed_by_trust_anchor(
                &ParsedCertificate::try_from(leaf)?,
                &self.roots,
                rest,
                at,
                crypto::provider().signature_verification_algorithms.all,
            )?,
        }
        if self.is_revoked(end, leaf, rest, at) {
            end.count_revoked();
            return Err(CertificateError::Revoked.into());
        }
        Ok(())
    }

    /// Whether a chain is revoked; it must lead to a root.
    pub(super) fn is_revoked(
        &self,
        end: End,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        at: UnixTime,
    ) -> bool {
        self.lists.revoke(Presented { end, leaf, rest, roots: &self.roots, at })
    }

    /// Whether an identity is of our trust domain, by whatever name.
    pub(super) fn is_ours(&self, id: &SpiffeId) -> bool {
        self.domains.iter().any(|domain| domain == id.trust_domain())
    }

    /// Whether who is seen is who is expected: equal, or equal but for the name of our trust domain.
    pub(super) fn is_one(&self, seen: &SpiffeId, expected: &SpiffeId) -> bool {
        seen == expected
            || (seen.namespace() == expected.namespace()
                && seen.service_account() == expected.service_account()
                && self.is_ours(seen)
                && self.is_ours(expected))
    }

    /// Judges the chains of clients; knows nothing of identities.
    pub(super) fn clients(&self) -> &Arc<dyn ClientCertVerifier> {
        &self.clients
    }

    pub(super) fn roots(&self) -> &Arc<RootCertStore> {
        &self.roots
    }

    /// The names of our trust domain.
    pub(super) fn domains(&self) -> &[String] {
        &self.domains
    }
}

#[cfg(test)]
mod tests;
