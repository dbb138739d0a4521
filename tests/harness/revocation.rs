//! Revocation lists of the mesh's own authority, which writes none by itself.

use std::fs;

use culvert_lab::Lab;
use rcgen::{
    CertificateRevocationListParams, Issuer, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber,
    date_time_ymd,
};

/// A list with these certificates on it, as PEM.
#[track_caller]
pub(crate) fn list(lab: &Lab, serials: &[SerialNumber]) -> String {
    let ca = lab.directory().join("ca");
    let key = KeyPair::from_pem(&fs::read_to_string(ca.join("root-key.pem")).unwrap()).unwrap();
    let root = fs::read_to_string(lab.root_certificate()).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&root, key).unwrap();
    let revoked = |serial: &SerialNumber| RevokedCertParams {
        serial_number: serial.clone(),
        revocation_time: date_time_ymd(2024, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2024, 1, 1),
        next_update: date_time_ymd(2124, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(&issuer).unwrap().pem().unwrap()
}
