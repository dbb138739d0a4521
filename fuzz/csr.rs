//! Requests for certificates: nobody gets one for a key he does not hold.
//!
//! The bytes are a request in PEM, or one that is still to be put into it. Nobody but who wrote the corpus holds the keys of the requests in
//! it, and a fuzzer forges no signature: what is accepted is one of those, letter for letter but for the signature.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::PublicKeyData as _;
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject as _;

use crate::memory::Bound;

/// Requests that were made with a key.
const MADE: [&[u8]; 4] = [
    include_bytes!("corpus/csr/ed25519"),
    include_bytes!("corpus/csr/p256"),
    include_bytes!("corpus/csr/p384_der"),
    include_bytes!("corpus/csr/rsa_der"),
];

/// What begins like this is PEM.
const DASHES: &[u8] = b"-----";

/// The bytes are the request.
pub fn run(data: &[u8]) {
    let text = pem(data);
    let bound = Bound::new((64 << 10) + 8 * text.len());
    let read = culvert_csr::public_key(&text);
    bound.check();
    let Ok(key) = read else { return };
    let key = key.subject_public_key_info();
    let is_of = |made: &[u8]| der(made).windows(key.len()).any(|window| window == key);
    assert!(MADE.iter().any(|made| is_of(made)), "a key nobody holds: {key:02x?}");
    let asked = signed(&der(text.as_bytes()));
    assert!(asked.is_some() && MADE.iter().any(|made| signed(&der(made)) == asked), "nobody has signed this");
}

fn pem(data: &[u8]) -> String {
    if data.starts_with(DASHES) {
        return String::from_utf8_lossy(data).into_owned();
    }
    let text = BASE64_STANDARD.encode(data);
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\n");
    format!("-----BEGIN CERTIFICATE REQUEST-----\n{lines}\n-----END CERTIFICATE REQUEST-----\n")
}

/// What is in a request, however it is written. Who reads the text is not what is tested, and there are too many ways to write one.
fn der(request: &[u8]) -> Vec<u8> {
    if !request.starts_with(DASHES) {
        return request.to_vec();
    }
    CertificateSigningRequestDer::from_pem_slice(request).map(|der| der.to_vec()).unwrap_or_default()
}

/// The part of a request that is signed: the first value within it, read by hand (X.690, 8.1).
fn signed(der: &[u8]) -> Option<Vec<u8>> {
    let (head, _) = length(der)?;
    let (inner, content) = length(der.get(head..)?)?;
    Some(der.get(head..head + inner + content)?.to_vec())
}

/// How long the head of a value is, and what follows it.
fn length(value: &[u8]) -> Option<(usize, usize)> {
    let first = *value.get(1)?;
    if first < 0x80 {
        return Some((2, first.into()));
    }
    let octets = value.get(2..2 + usize::from(first & 0x7f))?;
    let length = octets
        .iter()
        .try_fold(0usize, |length, octet| Some(length.checked_mul(256)? + usize::from(*octet)))?;
    Some((2 + octets.len(), length))
}
