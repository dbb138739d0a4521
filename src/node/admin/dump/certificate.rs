//! Certificates, as tools expect them in `/config_dump`. Never a private key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::rfc3339;
use crate::identity::{Listed, X509};

/// An identity of this node and its certificate.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CertificateView<'a> {
    identity: String,
    state: &'a str,
    cert_chain: Vec<X509View<'a>>,
    root_certs: Vec<X509View<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct X509View<'a> {
    /// Base64 of the PEM text.
    pem: String,
    /// Decimal.
    serial_number: &'a str,
    valid_from: String,
    expiration_time: String,
}

/// Characters in a line of PEM.
const LINE: usize = 60;

impl<'a> From<&'a Listed> for CertificateView<'a> {
    fn from(listed: &'a Listed) -> Self {
        Self {
            identity: listed.identity.to_string(),
            state: &listed.state,
            cert_chain: listed.chain.iter().map(X509View::from).collect(),
            root_certs: listed.roots.iter().map(X509View::from).collect(),
        }
    }
}

impl<'a> From<&'a X509> for X509View<'a> {
    fn from(certificate: &'a X509) -> Self {
        Self {
            pem: STANDARD.encode(pem(&certificate.der)),
            serial_number: &certificate.serial,
            valid_from: rfc3339(certificate.validity.not_before),
            expiration_time: rfc3339(certificate.validity.not_after),
        }
    }
}

fn pem(der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = String::with_capacity(body.len() + body.len() / LINE + 64);
    text.push_str("-----BEGIN CERTIFICATE-----\n");
    let mut rest = &*body;
    while !rest.is_empty() {
        let (line, behind) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = behind;
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}
