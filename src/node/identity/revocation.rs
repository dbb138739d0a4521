//! Which certificates their issuers have taken back: certificate revocation lists (`CRL_PATH`).
//!
//! In goes a file ([`file`]) and a chain somebody presents; out comes whether it is revoked. The whole chain is looked
//! at. A certificate no list speaks of is not revoked; a list that is past its next update still counts; a list whose
//! signature is not of the issuer's key says nothing about what that issuer has issued, even if both have one name.
//!
//! Handshakes and live tunnels ask the same question in the same way: is one of the certificates on a list by issuer
//! and serial number, which costs a look-up, and only then, is there a path to a root without a revoked certificate.

mod file;

use std::sync::{Arc, Mutex, PoisonError};

use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::sync::watch;
use webpki::{
    CertRevocationList, EndEntityCert, KeyUsage, RevocationOptionsBuilder, UnknownStatusPolicy, VerifiedPath,
};

use crate::crypto;

/// A peer's end of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Client,
    Server,
}

/// The lists in force, and where they come from. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Revocation {
    lists: watch::Receiver<Arc<Lists>>,
    status: Arc<Mutex<Status>>,
}

/// What is known of the file with the lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Status {
    /// There is no such setting.
    Off,
    /// All lists of the file are in force.
    Valid { lists: usize, certificates: usize },
    /// There is no file; what was in force before still is.
    Missing,
    /// The file cannot be understood; what was in force before still is.
    Invalid { why: String },
}

/// Revocation lists: all of one file.
#[derive(Debug, Default)]
pub(super) struct Lists {
    lists: Vec<CertRevocationList<'static>>,
    /// How many certificates are on them.
    certificates: usize,
}

/// A chain that was presented, and what it was accepted by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Presented<'a> {
    pub(super) end: End,
    pub(super) leaf: &'a CertificateDer<'a>,
    /// Whatever came with the leaf.
    pub(super) rest: &'a [CertificateDer<'a>],
    pub(super) roots: &'a RootCertStore,
    pub(super) at: UnixTime,
}

impl Revocation {
    /// Nothing is revoked.
    pub(crate) fn off() -> Self {
        Self::of(watch::channel(Arc::default()).1, Status::Off)
    }

    /// What comes out of the channel is in force.
    pub(super) fn of(lists: watch::Receiver<Arc<Lists>>, status: Status) -> Self {
        Self { lists, status: Arc::new(Mutex::new(status)) }
    }

    /// Whether the lists can be trusted to be what the file says.
    pub(crate) fn status(&self) -> Status {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The lists of this moment, and of all later ones.
    pub(super) fn lists(&self) -> watch::Receiver<Arc<Lists>> {
        self.lists.clone()
    }

    fn set(&self, status: Status) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }
}

impl Lists {
    /// Whether every path from the leaf to a root has a certificate that is revoked. The chain must have a path.
    pub(super) fn revoke(&self, presented: Presented<'_>) -> bool {
        let naming = self.naming(presented);
        if naming.is_empty() {
            return false;
        }
        let Presented { end, leaf, rest, roots, at } = presented;
        let Ok(leaf) = EndEntityCert::try_from(leaf) else { return true };
        let clean = |path: &VerifiedPath<'_>| match naming.iter().any(|list| cuts(list, path, presented)) {
            true => Err(webpki::Error::CertRevoked),
            false => Ok(()),
        };
        let found =
            leaf.verify_for_usage(algorithms(), &roots.roots, rest, at, end.usage(), None, Some(&clean));
        found.is_err()
    }

    /// The lists that have one of the certificates, by the names of their issuers.
    fn naming(&self, presented: Presented<'_>) -> Vec<&CertRevocationList<'static>> {
        if self.lists.is_empty() {
            return Vec::new();
        }
        let chain = std::iter::once(presented.leaf).chain(presented.rest);
        // What cannot be read is in no path either.
        let chain: Vec<_> = chain.filter_map(|der| EndEntityCert::try_from(der).ok()).collect();
        let names = |list: &&CertRevocationList<'static>| {
            chain.iter().any(|certificate| {
                list.issuer() == certificate.issuer()
                    && !matches!(list.find_serial(certificate.serial()), Ok(None))
            })
        };
        self.lists.iter().filter(names).collect()
    }
}

/// Whether a list revokes a certificate of a path. Errors count as revoked, save for the one that says that the list is
/// by another issuer of the same name.
fn cuts(list: &CertRevocationList<'_>, path: &VerifiedPath<'_>, presented: Presented<'_>) -> bool {
    let between: Vec<_> = path.intermediate_certificates().map(|certificate| certificate.der()).collect();
    let anchor = [path.anchor().clone()];
    let lists = [list];
    let options = RevocationOptionsBuilder::new(&lists)
        .expect("there is one list")
        .with_status_policy(UnknownStatusPolicy::Allow)
        .build();
    let Presented { end, at, .. } = presented;
    let leaf = path.end_entity();
    match leaf.verify_for_usage(algorithms(), &anchor, &between, at, end.usage(), Some(options), None) {
        Ok(_) => false,
        Err(error) => !matches!(
            error,
            webpki::Error::InvalidCrlSignatureForPublicKey
                | webpki::Error::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_)
        ),
    }
}

fn algorithms() -> &'static [&'static dyn rustls_pki_types::SignatureVerificationAlgorithm] {
    crypto::provider().signature_verification_algorithms.all
}

impl End {
    fn usage(self) -> KeyUsage {
        match self {
            Self::Client => KeyUsage::client_auth(),
            Self::Server => KeyUsage::server_auth(),
        }
    }

    /// Counts a peer that is turned away, or a tunnel that is torn down, because of a list.
    pub(super) fn count_revoked(self) {
        let reporter = match self {
            Self::Client => "destination",
            Self::Server => "source",
        };
        metrics::counter!("istio_crl_policy_rejections_total", "reporter" => reporter).increment(1);
    }
}

#[cfg(test)]
mod tests;
