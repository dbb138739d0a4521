//! An authority that somebody else has made: its certificate need not be a root.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{Issuer, KeyPair};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::certificate::Certificate;
use super::{Intermediate, Plugged, Root, Stage};

/// What is wrong with it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0} holds no certificate in PEM")]
    NoCertificates(&'static str),
    #[error("{0} holds a certificate that is not that of an authority (CA:true)")]
    NotAuthority(&'static str),
    #[error("the key is not a private key in PEM")]
    Key(#[source] rcgen::Error),
    #[error("the key does not belong to the first certificate")]
    Mismatch,
    #[error("a certificate between what signs and the roots has expired, or is not valid yet")]
    Expired,
    #[error(
        "the certificates do not lead to any of the roots; whoever trusts the roots alone would trust nobody"
    )]
    Apart,
    #[error("it cannot be used to sign")]
    Sign(#[source] rcgen::Error),
}

const CHAIN: &str = "the chain";
const ROOTS: &str = "the file of the roots";

impl Root {
    /// Reads an authority that was made by somebody else. What it signs is trusted by whoever trusts the roots, or it is refused.
    pub(crate) fn plugged(plugged: &Plugged<'_>, now: SystemTime) -> Result<Self, Error> {
        let (chain, roots) =
            (certificates(CHAIN, plugged.certificates)?, certificates(ROOTS, plugged.roots)?);
        let key = KeyPair::from_pem(plugged.key).map_err(Error::Key)?;
        let signing = authority(CHAIN, &chain[0])?;
        if !signing.is_of(&key) {
            return Err(Error::Mismatch);
        }
        let shown = leading_to(&chain, &roots, now)?;
        let issuer = Issuer::from_ca_cert_der(&signing.der, key).map_err(Error::Sign)?;
        let mut validity = signing.validity;
        for between in &chain[..shown] {
            validity.not_after = validity.not_after.min(authority(CHAIN, between)?.validity.not_after);
        }
        let between = chain[..shown].iter().map(Intermediate::of).collect();
        let signing = chain[0].clone();
        Ok(Self {
            issuer,
            bundle: plugged.roots.to_owned(),
            validity,
            stage: Stage::Steady,
            signing,
            between,
        })
    }
}

/// How many certificates of a chain have to be shown: those before a root, or before what a root has signed.
pub(super) fn leading_to(
    chain: &[CertificateDer<'static>],
    roots: &[CertificateDer<'static>],
    now: SystemTime,
) -> Result<usize, Error> {
    for (at, certificate) in chain.iter().enumerate() {
        if roots.contains(certificate) {
            return Ok(at);
        }
        if authority(CHAIN, certificate)?.validity.remaining(now).is_zero() {
            return Err(Error::Expired);
        }
        if roots.iter().any(|root| has_signed(root, certificate)) {
            return Ok(at + 1);
        }
        if !chain.get(at + 1).is_some_and(|next| has_signed(next, certificate)) {
            break;
        }
    }
    Err(Error::Apart)
}

fn has_signed(issuer: &CertificateDer<'_>, certificate: &CertificateDer<'_>) -> bool {
    let parse = |der| X509Certificate::from_der(der).ok().map(|(_, parsed)| parsed);
    let (Some(issuer), Some(certificate)) = (parse(issuer), parse(certificate)) else { return false };
    issuer.subject() == certificate.issuer()
        && issuer.is_ca()
        && certificate.verify_signature(Some(issuer.public_key())).is_ok()
}

impl Intermediate {
    fn of(der: &CertificateDer<'static>) -> Self {
        let (text, mut pem) = (STANDARD.encode(der), String::from("-----BEGIN CERTIFICATE-----\n"));
        // Lines of 64 characters (RFC 7468, section 2); base64 is ASCII.
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = after;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        Self { pem, der: der.clone() }
    }
}

fn certificates(name: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let all = all.ok().filter(|all| !all.is_empty()).ok_or(Error::NoCertificates(name))?;
    all.iter().try_for_each(|der| authority(name, der).map(drop))?;
    Ok(all)
}

fn authority(name: &'static str, der: &CertificateDer<'static>) -> Result<Certificate, Error> {
    Certificate::parse(der.clone()).ok_or(Error::NotAuthority(name))
}

#[cfg(test)]
mod tests;
