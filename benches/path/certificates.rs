//! A root of trust, and a certificate for each side, as a mesh would issue them: P-256, a SPIFFE identity.

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};

use super::error::Error;

/// The identity the server must show.
pub(super) const SERVER: &str = "spiffe://cluster.local/ns/default/sa/server";
/// The client's identity.
pub(super) const CLIENT: &str = "spiffe://cluster.local/ns/default/sa/client";
/// A name beside the identity, for a library that verifies nothing else.
pub(super) const SERVER_NAME: &str = "server.bench";

/// Somebody who signs.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub(super) struct Certificate {
    pub(super) signed: rcgen::Certificate,
    pub(super) key: KeyPair,
}

impl Authority {
    pub(super) fn create() -> Result<Self, Error> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// Its own certificate.
    pub(super) fn certificate(&self) -> &rcgen::Certificate {
        self.0.as_ref()
    }

    pub(super) fn issue(&self, identity: &str) -> Result<Certificate, Error> {
        sign(identity, &self.0)
    }
}

/// Issues as somebody whose certificate and key these are, as PEM.
pub(super) fn issue_as(certificate: &str, key: &str, identity: &str) -> Result<Certificate, Error> {
    sign(identity, &Issuer::from_ca_cert_pem(certificate, KeyPair::from_pem(key)?)?)
}

fn sign(identity: &str, issuer: &Issuer<'_, KeyPair>) -> Result<Certificate, Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![
        SanType::URI(Ia5String::try_from(identity)?),
        SanType::DnsName(Ia5String::try_from(SERVER_NAME)?),
    ];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate()?;
    Ok(Certificate { signed: params.signed_by(&key, issuer)?, key })
}
