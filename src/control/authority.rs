//! Signs: workload certificates, and the certificate of this server.
//!
//! In go an identity that was granted, a public key, a lifetime and the time; out comes a leaf under the root. It does not
//! decide who gets what.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use culvert_core::identity::SpiffeId;
use culvert_core::renewal::Validity;
use rcgen::{
    CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PublicKeyData, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls_pki_types::CertificateDer;

use crate::live::Live;
use crate::root::leaves::Signed;
use crate::root::{BACKDATE, Root};

/// The lifetime of this server's certificate.
const SERVER_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Signs with the newest root.
pub(crate) struct Authority {
    root: Live<Root>,
    signed: Signed,
}

/// A signed leaf.
#[derive(Debug)]
pub(crate) struct Leaf {
    pem: String,
    der: CertificateDer<'static>,
    /// In decimal.
    pub(crate) serial: String,
    pub(crate) validity: Validity,
    /// The end of the validity, as RFC 3339.
    pub(crate) not_after: String,
    /// What signed it.
    root: Arc<Root>,
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the root certificate has expired")]
    RootExpired,
    #[error("the system gave no random numbers")]
    Random,
    #[error("the certificate cannot be made")]
    Sign(#[from] rcgen::Error),
}

impl Authority {
    pub(crate) fn new(root: Live<Root>) -> Self {
        Self { root, signed: Signed::default() }
    }

    /// Has it noted until when certificates of workloads live. Those of servers end with them, and are renewed when the root changes.
    pub(crate) fn noting(self, signed: Signed) -> Self {
        Self { signed, ..self }
    }

    /// Follows the root that signs.
    pub(crate) fn root(&self) -> Live<Root> {
        self.root.clone()
    }

    /// Signs a certificate for a workload.
    pub(crate) fn sign_workload(
        &self,
        id: &SpiffeId,
        key: &SubjectPublicKeyInfo,
        life: Duration,
        now: SystemTime,
    ) -> Result<Leaf, Error> {
        let names = vec![SanType::URI(id.to_string().try_into()?)];
        let usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let leaf = self.sign(leaf(names, usages), key, life, now)?;
        self.signed.note(&leaf.root.fingerprint(), leaf.validity.not_after);
        Ok(leaf)
    }

    /// Makes a key and signs a certificate for this server under these DNS names and addresses.
    pub(crate) fn sign_server(&self, names: &[String], now: SystemTime) -> Result<(Leaf, KeyPair), Error> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let names = CertificateParams::new(names)?.subject_alt_names;
        let params = leaf(names, vec![ExtendedKeyUsagePurpose::ServerAuth]);
        Ok((self.sign(params, &key, SERVER_LIFE, now)?, key))
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        key: &impl PublicKeyData,
        life: Duration,
        now: SystemTime,
    ) -> Result<Leaf, Error> {
        let root = Arc::clone(&self.root.borrow());
        let of_root = root.validity();
        if of_root.remaining(now).is_zero() {
            return Err(Error::RootExpired);
        }
        let validity = Validity {
            not_before: (now - BACKDATE).max(of_root.not_before),
            not_after: (now + life).min(of_root.not_after),
        };
        let serial = serial()?;
        params.serial_number = Some(SerialNumber::from_slice(&serial.to_be_bytes()));
        params.not_before = validity.not_before.into();
        params.not_after = validity.not_after.into();
        let signed = params.signed_by(key, root.issuer())?;
        Ok(Leaf {
            pem: signed.pem(),
            der: signed.der().clone(),
            serial: serial.to_string(),
            validity,
            not_after: format!(
                "{}T{:02}:{:02}:{:02}Z",
                params.not_after.date(),
                params.not_after.hour(),
                params.not_after.minute(),
                params.not_after.second()
            ),
            root,
        })
    }
}

impl Leaf {
    /// What a client gets, as PEM: the leaf, what leads from it to a root, and at the end all that is to be trusted.
    pub(crate) fn chain_pem(&self) -> Vec<String> {
        let between = self.root.between().iter().map(|it| it.pem.clone());
        [self.pem.clone()].into_iter().chain(between).chain([self.root.bundle().to_owned()]).collect()
    }

    /// What is shown to a peer: the leaf, and what leads from it to a root.
    pub(crate) fn chain_der(&self) -> Vec<CertificateDer<'static>> {
        let between = self.root.between().iter().map(|it| it.der.clone());
        [self.der.clone()].into_iter().chain(between).collect()
    }
}

/// What all leaves have in common. A subject that is empty makes the names critical.
fn leaf(names: Vec<SanType>, usages: Vec<ExtendedKeyUsagePurpose>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = names;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = usages;
    params.use_authority_key_identifier_extension = true;
    params
}

/// A random serial number, positive and never zero in its first byte.
fn serial() -> Result<u128, Error> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::Random)?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(u128::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests;
