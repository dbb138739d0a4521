//! One X.509 certificate, read as far as this crate cares: serial, validity, SPIFFE identities, public key.
//!
//! In goes DER; out come its parts. It does not verify anything.

use std::time::{Duration, SystemTime};

use culvert_core::identity::SpiffeId;
use culvert_core::renewal::Validity;
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

use crate::crypto;

/// A certificate and what is shown of it.
#[derive(Debug, Clone)]
pub(crate) struct X509 {
    pub(crate) der: CertificateDer<'static>,
    /// The serial number in decimal.
    pub(crate) serial: String,
    pub(crate) validity: Validity,
}

impl X509 {
    /// Reads a certificate; `None` when it is not one.
    pub(super) fn read(der: CertificateDer<'static>) -> Option<Self> {
        let parsed = parse(&der)?;
        let serial = parsed.serial.to_string();
        let validity = Validity {
            not_before: time(parsed.validity().not_before),
            not_after: time(parsed.validity().not_after),
        };
        Some(Self { der, serial, validity })
    }
}

/// Reads certificates that follow each other; `None` when anything among them is not one.
pub(super) fn series(der: &[u8]) -> Option<Vec<X509>> {
    let (mut rest, mut read) = (der, Vec::new());
    while !rest.is_empty() {
        let (after, _) = X509Certificate::from_der(rest).ok()?;
        let (one, after) = rest.split_at(rest.len() - after.len());
        read.push(X509::read(CertificateDer::from(one.to_vec()))?);
        rest = after;
    }
    Some(read)
}

/// The SPIFFE identities among the URI names of a certificate, in order. Other names do not count.
pub(super) fn identities(der: &[u8]) -> Vec<SpiffeId> {
    uris(der).iter().filter_map(|uri| uri.parse().ok()).collect()
}

/// The URI names of a certificate, in order.
pub(super) fn uris(der: &[u8]) -> Vec<String> {
    let Some(parsed) = parse(der) else { return Vec::new() };
    let Ok(Some(names)) = parsed.subject_alternative_name() else { return Vec::new() };
    let uri = |name: &GeneralName<'_>| {
        let GeneralName::URI(uri) = name else { return None };
        Some((*uri).to_owned())
    };
    names.value.general_names.iter().filter_map(uri).collect()
}

/// Whether a certificate is signed by its own key, as those of roots are. The names do not tell: a new root that is vouched for by
/// the old one may well have its name.
pub(super) fn is_self_signed(der: &CertificateDer<'_>) -> bool {
    let Some(parsed) = parse(der) else { return false };
    if parsed.issuer() != parsed.subject() {
        return false;
    }
    let Ok(own) = webpki::EndEntityCert::try_from(der) else { return false };
    let (said, signature) = (parsed.tbs_certificate.as_ref(), &parsed.signature_value.data);
    let algorithms = crypto::provider().signature_verification_algorithms.all;
    algorithms.iter().any(|algorithm| own.verify_signature(*algorithm, said, signature).is_ok())
}

/// The subject public key info of a certificate, as DER.
pub(super) fn public_key(der: &[u8]) -> Option<&[u8]> {
    parse(der).map(|parsed| parsed.tbs_certificate.subject_pki.raw)
}

fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    match X509Certificate::from_der(der) {
        Ok(([], parsed)) => Some(parsed),
        Ok(_) | Err(_) => None,
    }
}

fn time(time: ASN1Time) -> SystemTime {
    let seconds = time.timestamp();
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { SystemTime::UNIX_EPOCH - distance } else { SystemTime::UNIX_EPOCH + distance }
}
