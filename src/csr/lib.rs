//! Reads a certificate request.
//!
//! In goes PEM from a caller; out comes the public key, once the request has proved that the caller holds the private
//! one. Everything else a request says is ignored: who gets which name is decided elsewhere.

use rcgen::SubjectPublicKeyInfo;
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

/// The longest request that is read, in bytes of PEM.
const LONGEST: usize = 16 * 1024;

/// What is wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More text than any request has.
    #[error("the certificate request is longer than {LONGEST} bytes")]
    TooLong,
    /// Something else, or a part of one.
    #[error("the certificate request is not PKCS#10 in PEM")]
    Malformed,
    /// The caller does not hold the private key.
    #[error("the certificate request is not signed by the key in it")]
    Signature,
    /// A key nobody here can use.
    #[error("the kind of key in the certificate request is not supported; use ECDSA P-256")]
    Key,
}

/// Gives the public key of a request.
///
/// # Errors
/// When the text is no such request, or nothing in it proves that the caller holds the private key.
pub fn public_key(pem: &str) -> Result<SubjectPublicKeyInfo, Error> {
    if pem.len() > LONGEST {
        return Err(Error::TooLong);
    }
    let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).map_err(|_| Error::Malformed)?;
    let (rest, request) = X509CertificationRequest::from_der(&der).map_err(|_| Error::Malformed)?;
    if !rest.is_empty() {
        return Err(Error::Malformed);
    }
    request.verify_signature().map_err(|_| Error::Signature)?;
    SubjectPublicKeyInfo::from_der(request.certification_request_info.subject_pki.raw).map_err(|_| Error::Key)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};

    use super::*;

    fn der(key: &KeyPair) -> Vec<u8> {
        CertificateParams::default().serialize_request(key).unwrap().der().to_vec()
    }

    /// Base64 by hand keeps an encoder out of the dependencies: rcgen writes PEM only for what it made.
    fn pem(der: &[u8]) -> String {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::from("-----BEGIN CERTIFICATE REQUEST-----\n");
        for chunk in der.chunks(3) {
            let mut bytes = [0; 4];
            bytes[1..=chunk.len()].copy_from_slice(chunk);
            let bits = u32::from_be_bytes(bytes);
            for position in 0..4 {
                let index = (bits >> (18 - 6 * position)) & 63;
                let filler = position > chunk.len();
                text.push(if filler { '=' } else { char::from(alphabet[usize::try_from(index).unwrap()]) });
            }
        }
        text + "\n-----END CERTIFICATE REQUEST-----\n"
    }

    #[test]
    fn the_key_comes_out() {
        for algorithm in
            [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519]
        {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let read = public_key(&pem(&der(&key))).unwrap();
            assert_eq!(read.subject_public_key_info(), key.subject_public_key_info());
        }
    }

    #[test]
    fn a_request_signed_by_another_key_is_refused() {
        let key = KeyPair::generate().unwrap();
        let mut forged = der(&key);
        let other = KeyPair::generate().unwrap();
        let place = forged.windows(65).position(|window| window == key.public_key_raw()).unwrap();
        forged[place..place + 65].copy_from_slice(other.public_key_raw());
        assert_eq!(public_key(&pem(&forged)).unwrap_err(), Error::Signature);
    }

    #[test]
    fn what_is_not_a_request_is_refused() {
        let key = KeyPair::generate().unwrap();
        let mut trailing = der(&key);
        trailing.push(0);
        let truncated = &der(&key)[..80];
        let certificate = CertificateParams::default().self_signed(&key).unwrap().pem();
        for text in ["", "nonsense", &pem(&trailing), &pem(truncated), &certificate, &key.serialize_pem()] {
            assert_eq!(public_key(text).unwrap_err(), Error::Malformed, "{text}");
        }
        assert_eq!(public_key(&"x".repeat(LONGEST + 1)).unwrap_err(), Error::TooLong);
    }
}
