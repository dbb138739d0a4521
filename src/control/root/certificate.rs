//! The certificate of an authority.

use std::time::{Duration, SystemTime};

use culvert_core::renewal::Validity;
use rcgen::{KeyPair, PublicKeyData as _};
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::leaves::Fingerprint;

/// The certificate of an authority.
pub(super) struct Certificate {
    pub(super) der: CertificateDer<'static>,
    pub(super) validity: Validity,
    public_key: Vec<u8>,
}

impl Certificate {
    /// Reads the certificate of an authority.
    pub(super) fn parse(der: CertificateDer<'static>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(&der).ok()?;
        if !parsed.is_ca() {
            return None;
        }
        let (public_key, validity) = (parsed.public_key().raw.to_vec(), validity(&parsed));
        Some(Self { der, validity, public_key })
    }

    /// What names the authority among others.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.public_key)
    }

    /// Tells whether a key is that of the certificate.
    pub(super) fn is_of(&self, key: &KeyPair) -> bool {
        self.public_key == key.subject_public_key_info()
    }
}

fn validity(certificate: &X509Certificate<'_>) -> Validity {
    let at =
        |seconds: i64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or_default());
    let read = certificate.validity();
    Validity { not_before: at(read.not_before.timestamp()), not_after: at(read.not_after.timestamp()) }
}
