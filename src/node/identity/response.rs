//! Reads and checks what an issuer answered.
//!
//! In goes what an authority says, a list of PEM texts ([`check`]: the leaf, those between, the trust bundle last), or certificates
//! that were read already ([`judge`]). Out comes a chain that is for the identity and the key that were asked for and valid at this
//! moment, with its roots; or what is wrong with it. [`Issued::verified`] builds the path from the leaf to a root, as every peer will.
//!
//! Authorities differ in how they cut the list. What is between leaf and bundle may be one certificate for each text or several in
//! one, in any order, and the root may be among them as well; it counts as part of the bundle when it comes last, and is not sent to
//! peers.

use std::collections::HashSet;
use std::time::SystemTime;

use culvert_core::identity::SpiffeId;
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::server::ParsedCertificate;
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::x509::{self, X509};
use crate::crypto;

/// A checked answer.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) id: SpiffeId,
    /// The leaf, then the intermediates.
    pub(super) chain: Vec<X509>,
    /// All certificates of the trust bundle. At least one can be used as a root.
    pub(super) roots: Vec<X509>,
}

/// What was asked for.
pub(super) struct Asked<'a> {
    pub(super) id: &'a SpiffeId,
    /// The subject public key info.
    pub(super) public_key: &'a [u8],
}

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum Error {
    #[error("it is empty")]
    Empty,
    #[error(
        "it holds a leaf but no root certificate: the last of at least two elements must be the trust bundle"
    )]
    LeafOnly,
    #[error("element {element} of {elements} is not made of PEM certificates")]
    NotACertificate { element: usize, elements: usize },
    #[error("the leaf is for {}, not for {asked}", seen.as_ref().map_or("no workload".to_owned(), ToString::to_string))]
    OtherIdentity { asked: SpiffeId, seen: Option<SpiffeId> },
    #[error("the leaf is for another key than the one in the request")]
    OtherKey,
    #[error(
        "the leaf is not valid at this time; compare the clocks of this node and of the certificate authority"
    )]
    NotValid,
    #[error("the leaf does not lead to a root of the trust bundle it came with, so no peer would accept it")]
    NoPath(#[source] rustls::Error),
    #[error("none of the {count} certificates in the trust bundle can be used as a root")]
    NoRoot { count: usize },
}

/// Checks an answer of an authority.
pub(super) fn check(answer: &[String], asked: &Asked<'_>, now: SystemTime) -> Result<Issued, Error> {
    let elements = answer.len();
    let not_one = |index: usize| Error::NotACertificate { element: index + 1, elements };
    let parsed = answer.iter().enumerate();
    let mut parsed = parsed
        .map(|(index, text)| all_certificates(text).ok_or_else(|| not_one(index)))
        .collect::<Result<Vec<_>, _>>()?;
    let mut roots = if elements > 1 { parsed.pop().unwrap_or_default() } else { Vec::new() };
    let mut chain: Vec<_> = parsed.into_iter().flatten().collect();
    while let [_, .., last] = &chain[..]
        && x509::is_self_signed(&last.der)
    {
        roots.extend(chain.pop());
    }
    if chain.is_empty() {
        return Err(Error::Empty);
    }
    if roots.is_empty() {
        return Err(Error::LeafOnly);
    }
    judge(chain, roots, asked, now)
}

/// Checks a chain that begins with the leaf, and a trust bundle.
pub(super) fn judge(
    chain: Vec<X509>,
    mut roots: Vec<X509>,
    asked: &Asked<'_>,
    now: SystemTime,
) -> Result<Issued, Error> {
    check_leaf(chain.first().ok_or(Error::Empty)?, asked, now)?;
    let mut seen = HashSet::new();
    roots.retain(|root| seen.insert(root.der.clone()));
    check_roots(&roots)?;
    Ok(Issued { id: asked.id.clone(), chain, roots })
}

impl Issued {
    /// Follows the chain to a root, as peers do.
    pub(super) fn verified(self, now: SystemTime) -> Result<Self, Error> {
        let now = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
        let [leaf, rest @ ..] = &self.chain[..] else { return Err(Error::Empty) };
        let rest: Vec<_> = rest.iter().map(|certificate| certificate.der.clone()).collect();
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(self.roots.iter().map(|root| root.der.clone()));
        let algorithms = crypto::provider().signature_verification_algorithms.all;
        ParsedCertificate::try_from(&leaf.der)
            .and_then(|leaf| verify_server_cert_signed_by_trust_anchor(&leaf, &store, &rest, now, algorithms))
            .map_err(Error::NoPath)?;
        Ok(self)
    }
}

fn check_leaf(leaf: &X509, asked: &Asked<'_>, now: SystemTime) -> Result<(), Error> {
    let seen = x509::identities(&leaf.der).into_iter().next();
    if seen.as_ref() != Some(asked.id) {
        return Err(Error::OtherIdentity { asked: asked.id.clone(), seen });
    }
    if x509::public_key(&leaf.der) != Some(asked.public_key) {
        return Err(Error::OtherKey);
    }
    if !leaf.validity.contains(now) {
        return Err(Error::NotValid);
    }
    Ok(())
}

fn check_roots(roots: &[X509]) -> Result<(), Error> {
    let mut store = RootCertStore::empty();
    let (used, unusable) = store.add_parsable_certificates(roots.iter().map(|root| root.der.clone()));
    if used == 0 {
        return Err(Error::NoRoot { count: unusable });
    }
    if unusable > 0 {
        tracing::warn!(used, unusable, "trust bundle has certificates that cannot be roots");
    }
    Ok(())
}

/// All blocks of a text; at least one, and all must be certificates.
fn all_certificates(text: &str) -> Option<Vec<X509>> {
    let all = certificates(text).collect::<Option<Vec<_>>>()?;
    (!all.is_empty()).then_some(all)
}

fn certificates(text: &str) -> impl Iterator<Item = Option<X509>> + '_ {
    <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()).map(|block| match block {
        Ok((SectionKind::Certificate, der)) => X509::read(CertificateDer::from(der)),
        Ok(_) | Err(_) => None,
    })
}

#[cfg(test)]
mod tests;
