//! The certificate request: a fresh key and a PKCS#10 message that asks for one identity.
//!
//! The key is ECDSA P-256, new for every request; the subject is empty; the only attribute asks for one critical
//! extension, the identity as the only name. The encoded key is wiped when the request is dropped; nothing copies it.

use culvert_core::identity::SpiffeId;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData as _, SanType};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroize as _;

/// A request that can be sent, and its key.
pub(super) struct Request {
    key: KeyPair,
    pem: String,
}

impl Request {
    pub(super) fn new(id: &SpiffeId) -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(id.to_string().try_into()?)];
        let pem = params.serialize_request(&key)?.pem()?;
        Ok(Self { key, pem })
    }

    /// The message, as PEM.
    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// The public key, as DER of a subject public key info.
    pub(super) fn public_key(&self) -> Vec<u8> {
        self.key.subject_public_key_info()
    }

    /// The private key, without a copy.
    pub(super) fn private_key(&self) -> PrivateKeyDer<'_> {
        PrivatePkcs8KeyDer::from(self.key.serialized_der()).into()
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::CertificateSigningRequestDer;
    use rustls_pki_types::pem::PemObject as _;
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::extensions::{GeneralName, ParsedExtension};
    use x509_parser::oid_registry::{OID_PKCS9_EXTENSION_REQUEST, OID_SIG_ECDSA_WITH_SHA256};
    use x509_parser::prelude::FromDer as _;

    use super::*;

    const ID: &str = "spiffe://cluster.local/ns/default/sa/web";

    #[test]
    fn asks_for_one_critical_name_and_nothing_else() {
        let request = Request::new(&ID.parse().unwrap()).unwrap();
        assert!(request.pem().starts_with("-----BEGIN CERTIFICATE REQUEST-----\n"));
        let der = CertificateSigningRequestDer::from_pem_slice(request.pem().as_bytes()).unwrap();
        let (_, csr) = X509CertificationRequest::from_der(&der).unwrap();
        let info = &csr.certification_request_info;
        assert_eq!(info.subject.iter().count(), 0);
        assert_eq!(csr.signature_algorithm.algorithm, OID_SIG_ECDSA_WITH_SHA256);
        assert_eq!(info.subject_pki.raw, request.public_key());
        let [attribute] = info.attributes() else { panic!("{:?}", info.attributes()) };
        assert_eq!(attribute.oid, OID_PKCS9_EXTENSION_REQUEST);
        let extensions: Vec<_> = csr.requested_extensions().unwrap().collect();
        let [ParsedExtension::SubjectAlternativeName(names)] = extensions[..] else {
            panic!("{extensions:?}")
        };
        assert_eq!(names.general_names, [GeneralName::URI(ID)]);
        let critical_san = [0x06, 0x03, 0x55, 0x1d, 0x11, 0x01, 0x01, 0xff];
        assert!(attribute.value.windows(critical_san.len()).any(|window| window == critical_san));
    }

    #[test]
    fn is_signed_by_its_own_key() {
        let request = Request::new(&ID.parse().unwrap()).unwrap();
        let read = rcgen::CertificateSigningRequestParams::from_pem(request.pem()).unwrap();
        assert_eq!(read.public_key.algorithm(), &rcgen::PKCS_ECDSA_P256_SHA256);
    }

    #[test]
    fn every_request_has_its_own_key() {
        let id = ID.parse().unwrap();
        assert_ne!(Request::new(&id).unwrap().public_key(), Request::new(&id).unwrap().public_key());
    }

    #[test]
    fn an_identity_that_cannot_be_a_uri_is_an_error() {
        assert!(Request::new(&"spiffe://cluster.local/ns/ä/sa/web".parse().unwrap()).is_err());
    }
}
