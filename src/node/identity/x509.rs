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

/// The SPIFFE identities among the URI names of a certificate, in order. Other names do not count.
pub(super) fn identities(der: &[u8]) -> Vec<SpiffeId> {
    let Some(parsed) = parse(der) else { return Vec::new() };
    let Ok(Some(names)) = parsed.subject_alternative_name() else { return Vec::new() };
    let identity = |name: &GeneralName<'_>| {
        let GeneralName::URI(uri) = name else { return None };
        uri.parse().ok()
    };
    names.value.general_names.iter().filter_map(identity).collect()
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
