//! Reads and checks what the certificate authority answered.
//!
//! In goes the list of PEM texts: the leaf, one intermediate per element, the trust bundle last. Out comes a chain that
//! is for the identity and the key that were asked for and valid at this moment, with its roots; or what is wrong with
//! it. It does not build the path from the leaf to a root: every peer does, in every handshake.

use std::time::SystemTime;

use culvert_core::identity::SpiffeId;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{PemObject as _, SectionKind};

use super::x509::{self, X509};

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
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    #[error("none of the {count} certificates in the trust bundle can be used as a root")]
    NoRoot { count: usize },
}

/// Checks an answer.
pub(super) fn check(answer: &[String], asked: &Asked<'_>, now: SystemTime) -> Result<Issued, Error> {
    let elements = answer.len();
    let (bundle, chain) = answer.split_last().ok_or(Error::Empty)?;
    if chain.is_empty() {
        return Err(Error::LeafOnly);
    }
    let not_one = |index: usize| Error::NotACertificate { element: index + 1, elements };
    let chain = chain
        .iter()
        .enumerate()
        .map(|(index, text)| first_certificate(text).ok_or_else(|| not_one(index)))
        .collect::<Result<Vec<_>, _>>()?;
    check_leaf(&chain[0], asked, now)?;
    let roots = all_certificates(bundle).ok_or_else(|| not_one(elements - 1))?;
    check_roots(&roots)?;
    Ok(Issued { id: asked.id.clone(), chain, roots })
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

/// The first block of a text; it must be a certificate.
fn first_certificate(text: &str) -> Option<X509> {
    certificates(text).next().flatten()
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
