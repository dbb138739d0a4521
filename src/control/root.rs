//! The root of the mesh: its key and its certificate, in a directory.
//!
//! Made at the first start; from then on only read. Whatever is wrong with what is there is an error: a root that is
//! silently made anew would cut every workload off from every other. It does not rotate.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use culvert_core::renewal::Validity;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData as _,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::files::{self, Exposed};

const KEY: &str = "root-key.pem";
const CERTIFICATE: &str = "root-cert.pem";
const COMMON_NAME: &str = "Culvert root";
const LIFE: Duration = Duration::from_secs(3653 * 24 * 3600);

/// How far certificates are dated back, for clocks that are behind.
pub(crate) const BACKDATE: Duration = Duration::from_secs(120);

/// The root, ready to sign.
pub(crate) struct Root {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    validity: Validity,
}

/// Why there is no root.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the directory {} cannot be used", dir.display())]
    Dir { dir: PathBuf, source: io::Error },
    #[error("another process is making a root in {}; start again when it is done", dir.display())]
    Busy { dir: PathBuf },
    #[error(
        "{} is there but {} is not; restore it from a backup, or remove both to start a new mesh",
        present.display(), missing.display()
    )]
    Half { present: PathBuf, missing: PathBuf },
    #[error("{} cannot be read", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} cannot be written", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("the root key is not kept secret")]
    Exposed(#[from] Exposed),
    #[error("{} is not {expected}; restore it from a backup", path.display())]
    Malformed { path: PathBuf, expected: &'static str },
    #[error("{} and {} do not belong together; restore both from one backup", key.display(), certificate.display())]
    Mismatch { key: PathBuf, certificate: PathBuf },
    #[error("the root certificate {} has expired", path.display())]
    Expired { path: PathBuf },
    #[error("a new root cannot be made")]
    Generate(#[from] rcgen::Error),
}

/// Where the two parts are.
struct Paths {
    key: PathBuf,
    certificate: PathBuf,
}

impl Root {
    /// Reads the root of a directory, or makes one if there is none.
    pub(crate) fn open_or_make(dir: &Path, now: SystemTime) -> Result<Self, Error> {
        let of_dir = |source| Error::Dir { dir: dir.to_owned(), source };
        files::make_private_dir(dir).map_err(of_dir)?;
        let lock = File::open(dir).map_err(of_dir)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Error::Busy { dir: dir.to_owned() },
            TryLockError::Error(source) => of_dir(source),
        })?;
        let paths = Paths { key: dir.join(KEY), certificate: dir.join(CERTIFICATE) };
        match (paths.key.try_exists().map_err(of_dir)?, paths.certificate.try_exists().map_err(of_dir)?) {
            (true, true) => {}
            (false, false) => make(&paths, now)?,
            (true, false) => return Err(Error::Half { present: paths.key, missing: paths.certificate }),
            (false, true) => return Err(Error::Half { present: paths.certificate, missing: paths.key }),
        }
        Self::open(&paths, now)
    }

    fn open(paths: &Paths, now: SystemTime) -> Result<Self, Error> {
        files::refuse_exposed(&paths.key, files::OWNER_ONLY)?;
        let key = KeyPair::from_pem(&read(&paths.key)?)
            .map_err(|_| Error::Malformed { path: paths.key.clone(), expected: "a private key in PEM" })?;
        let pem = read(&paths.certificate)?;
        let malformed = |expected| Error::Malformed { path: paths.certificate.clone(), expected };
        let der = only_certificate(&pem).ok_or_else(|| malformed("one certificate in PEM"))?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| malformed("one certificate in PEM"))?;
        if !parsed.is_ca() {
            return Err(malformed("a certificate of an authority (CA:true)"));
        }
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(Error::Mismatch { key: paths.key.clone(), certificate: paths.certificate.clone() });
        }
        let validity = validity(&parsed);
        if validity.remaining(now).is_zero() {
            return Err(Error::Expired { path: paths.certificate.clone() });
        }
        let issuer = Issuer::from_ca_cert_der(&der, key)?;
        Ok(Self { issuer, pem, validity })
    }

    /// What signs.
    pub(crate) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    /// The certificate, as PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    pub(crate) fn validity(&self) -> Validity {
        self.validity
    }
}

/// The key first: a certificate whose key is lost is worse than a key without certificate.
fn make(paths: &Paths, now: SystemTime) -> Result<(), Error> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, COMMON_NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = (now - BACKDATE).into();
    params.not_after = (now + LIFE).into();
    let certificate = params.self_signed(&key)?;
    write(&paths.key, 0o600, &key.serialize_pem())?;
    write(&paths.certificate, 0o644, &certificate.pem())?;
    tracing::info!(certificate = %paths.certificate.display(), "new root made");
    Ok(())
}

fn write(path: &Path, mode: u32, text: &str) -> Result<(), Error> {
    files::write_whole(path, mode, text).map_err(|source| Error::Unwritable { path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Unreadable { path: path.to_owned(), source })
}

/// The certificate of a text that holds exactly one.
fn only_certificate(pem: &str) -> Option<CertificateDer<'static>> {
    let mut all = CertificateDer::pem_slice_iter(pem.as_bytes());
    let first = all.next()?.ok()?;
    all.next().is_none().then_some(first)
}

fn validity(certificate: &X509Certificate<'_>) -> Validity {
    let at =
        |seconds: i64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or_default());
    let read = certificate.validity();
    Validity { not_before: at(read.not_before.timestamp()), not_after: at(read.not_after.timestamp()) }
}

#[cfg(test)]
mod tests;
