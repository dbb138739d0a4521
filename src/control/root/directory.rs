//! The files of a root: their names, what they have to hold, and how new ones come into being.

use std::fs::{self, File, TryLockError};
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

use crate::files;

use super::{BACKDATE, Cross, Error, Stage};

const KEY: &str = "root-key.pem";
const CERTIFICATE: &str = "root-cert.pem";
const NEXT_KEY: &str = "next-key.pem";
const CROSS: &str = "cross-cert.pem";
const COMMON_NAME: &str = "Culvert root";
const LIFE: Duration = Duration::from_secs(3653 * 24 * 3600);

/// The directory of a root.
#[derive(Debug)]
pub(super) struct Directory(PathBuf);

/// What a directory says.
pub(super) struct Read {
    /// `root-cert.pem` as it is.
    pub(super) bundle: String,
    pub(super) signing: Certificate,
    pub(super) key: KeyPair,
    pub(super) stage: Stage,
}

/// The certificate of a root.
pub(super) struct Certificate {
    pub(super) der: CertificateDer<'static>,
    pub(super) validity: Validity,
    public_key: Vec<u8>,
}

impl Directory {
    pub(super) fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    /// The file that decides.
    pub(super) fn certificate(&self) -> PathBuf {
        self.0.join(CERTIFICATE)
    }

    fn key(&self) -> PathBuf {
        self.0.join(KEY)
    }

    fn next_key(&self) -> PathBuf {
        self.0.join(NEXT_KEY)
    }

    fn cross(&self) -> PathBuf {
        self.0.join(CROSS)
    }

    /// Keeps other processes from changing the directory for as long as the result lives.
    pub(super) fn lock(&self) -> Result<File, Error> {
        let of_dir = |source| Error::Dir { dir: self.0.clone(), source };
        let lock = File::open(&self.0).map_err(of_dir)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Error::Busy { dir: self.0.clone() },
            TryLockError::Error(source) => of_dir(source),
        })?;
        Ok(lock)
    }

    /// Makes the directory and a root in it, if there is none; half of one is an error.
    pub(super) fn make_if_empty(&self, now: SystemTime) -> Result<(), Error> {
        let of_dir = |source| Error::Dir { dir: self.0.clone(), source };
        files::make_private_dir(&self.0).map_err(of_dir)?;
        let _lock = self.lock()?;
        let (key, certificate) = (self.key(), self.certificate());
        let keys = key.try_exists().map_err(of_dir)? || self.next_key().try_exists().map_err(of_dir)?;
        match (keys, certificate.try_exists().map_err(of_dir)?) {
            (true, true) => Ok(()),
            (true, false) => Err(Error::Half { present: key, missing: certificate }),
            (false, true) => Err(Error::Half { present: certificate, missing: key }),
            (false, false) => {
                let new = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
                let pem = params(now).self_signed(&new)?.pem();
                // The key first: a certificate whose key is lost is worse than a key without certificate.
                write(&key, 0o600, &new.serialize_pem())?;
                write(&certificate, 0o644, &pem)?;
                tracing::info!(certificate = %certificate.display(), "new root made");
                Ok(())
            }
        }
    }

    /// Reads what signs, and how far a rotation is.
    pub(super) fn read(&self, now: SystemTime) -> Result<Read, Error> {
        let path = self.certificate();
        let bundle = read(&path)?;
        let certificates = self.parse(&bundle)?;
        let (signing, second) = match <[Certificate; 1]>::try_from(certificates) {
            Ok([only]) => (only, None),
            Err(several) => {
                let mut several = several.into_iter();
                (several.next().ok_or_else(|| self.malformed())?, several.next())
            }
        };
        if signing.validity.remaining(now).is_zero() {
            return Err(Error::Expired { path });
        }
        let (own, next) = (self.read_key(&self.key())?, self.read_key(&self.next_key())?);
        let is_of = |key: &Option<KeyPair>| key.as_ref().is_some_and(|key| signing.is_of(key));
        let (key, stage) = match (is_of(&own), is_of(&next), &second) {
            (true, _, None) => (own, Stage::Steady),
            (true, _, Some(_)) => (own, Stage::Prepared),
            (false, true, None) => (next, Stage::Steady),
            (false, true, Some(_)) => (next, Stage::Active),
            (false, false, _) => (None, Stage::Steady),
        };
        let key = key.ok_or_else(|| Error::Mismatch { key: self.key(), certificate: path })?;
        Ok(Read { bundle, signing, key, stage })
    }

    /// Reads the certificate that leads from a key to the old root.
    pub(super) fn read_cross(&self, key: &KeyPair) -> Result<Cross, Error> {
        let path = self.cross();
        let pem = read(&path)?;
        let expected = "the certificate of the new root by the old one in PEM";
        let malformed = || Error::Malformed { path: path.clone(), expected };
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| malformed())?;
        let is_of = Certificate::parse(der.clone()).is_some_and(|certificate| certificate.is_of(key));
        if is_of { Ok(Cross { pem, der }) } else { Err(malformed()) }
    }

    /// Makes a second root that is trusted and does not sign. Nothing counts before the last file is there.
    pub(super) fn add_second(&self, old: Read, now: SystemTime) -> Result<(), Error> {
        let new = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let params = params(now);
        let certificate = params.self_signed(&new)?;
        let mut cross = params;
        cross.use_authority_key_identifier_extension = true;
        let end = old.signing.validity.not_after.min(now + LIFE);
        cross.not_after = end.into();
        let cross = cross.signed_by(&new, &Issuer::from_ca_cert_der(&old.signing.der, old.key)?)?;
        write(&self.next_key(), 0o600, &new.serialize_pem())?;
        write(&self.cross(), 0o644, &cross.pem())?;
        write(&self.certificate(), 0o644, &join(&old.bundle, &certificate.pem()))
    }

    /// Has the other of two roots sign.
    pub(super) fn swap(&self, now: &Read) -> Result<(), Error> {
        let Some((first, second)) = split(&now.bundle) else { return Err(self.malformed()) };
        let next = self.read_key(&self.next_key())?;
        let certificates = self.parse(second)?;
        let belongs = |key: &KeyPair| certificates.iter().all(|certificate| certificate.is_of(key));
        let Some(next) = next.filter(belongs) else {
            return Err(Error::Mismatch { key: self.next_key(), certificate: self.certificate() });
        };
        self.read_cross(&next)?;
        write(&self.certificate(), 0o644, &join(second, first))
    }

    /// Takes the trust from all but the root that signs.
    pub(super) fn drop_second(&self, now: &Read) -> Result<(), Error> {
        let Some((first, _)) = split(&now.bundle) else { return Err(self.malformed()) };
        write(&self.certificate(), 0o644, first)
    }

    /// Puts away what a finished rotation left, which counts for nothing.
    pub(super) fn tidy(&self) -> Result<(), Error> {
        let now = self.read(SystemTime::now())?;
        if now.stage != Stage::Steady {
            return Ok(());
        }
        let of_dir = |source| Error::Dir { dir: self.0.clone(), source };
        let next = self.next_key();
        let signs = self.read_key(&next)?.is_some_and(|key| now.signing.is_of(&key));
        if signs {
            fs::rename(&next, self.key()).map_err(of_dir)?;
        }
        for left in [next, self.cross()] {
            if left.try_exists().map_err(of_dir)? {
                fs::remove_file(&left).map_err(of_dir)?;
            }
        }
        Ok(())
    }

    /// The certificates of `root-cert.pem`: one, or two during a rotation.
    pub(super) fn parse(&self, bundle: &str) -> Result<Vec<Certificate>, Error> {
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bundle.as_bytes()).collect();
        let all: Vec<_> = all.map_err(|_| self.malformed())?;
        if !(1..=2).contains(&all.len()) {
            return Err(self.malformed());
        }
        let of_authority = || Error::Malformed {
            path: self.certificate(),
            expected: "a certificate of an authority (CA:true)",
        };
        all.into_iter().map(|der| Certificate::parse(der).ok_or_else(of_authority)).collect()
    }

    fn malformed(&self) -> Error {
        Error::Malformed { path: self.certificate(), expected: "one certificate in PEM, or two" }
    }

    /// Reads a key, if it is there.
    fn read_key(&self, path: &Path) -> Result<Option<KeyPair>, Error> {
        let of_dir = |source| Error::Dir { dir: self.0.clone(), source };
        if !path.try_exists().map_err(of_dir)? {
            return Ok(None);
        }
        files::refuse_exposed(path, files::OWNER_ONLY)?;
        let malformed = |_| Error::Malformed { path: path.to_owned(), expected: "a private key in PEM" };
        KeyPair::from_pem(&read(path)?).map(Some).map_err(malformed)
    }
}

impl Certificate {
    /// Reads the certificate of an authority.
    fn parse(der: CertificateDer<'static>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(&der).ok()?;
        if !parsed.is_ca() {
            return None;
        }
        let (public_key, validity) = (parsed.public_key().raw.to_vec(), validity(&parsed));
        Some(Self { der, validity, public_key })
    }

    fn is_of(&self, key: &KeyPair) -> bool {
        self.public_key == key.subject_public_key_info()
    }
}

/// What all roots have in common.
///
/// Their name, too: a certificate of one root by another is then "self-issued", and does not count against the path
/// length of zero that keeps leaves from signing.
fn params(now: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, COMMON_NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = (now - BACKDATE).into();
    params.not_after = (now + LIFE).into();
    params
}

/// Splits the text of two certificates before the second one.
fn split(bundle: &str) -> Option<(&str, &str)> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    let (second, _) = bundle.match_indices(BEGIN).nth(1)?;
    Some(bundle.split_at(second))
}

/// Puts two texts of certificates one after the other.
fn join(first: &str, second: &str) -> String {
    format!("{}\n{}\n", first.trim_end(), second.trim_end())
}

fn write(path: &Path, mode: u32, text: &str) -> Result<(), Error> {
    files::write_whole(path, mode, text).map_err(|source| Error::Unwritable { path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Unreadable { path: path.to_owned(), source })
}

fn validity(certificate: &X509Certificate<'_>) -> Validity {
    let at =
        |seconds: i64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or_default());
    let read = certificate.validity();
    Validity { not_before: at(read.not_before.timestamp()), not_after: at(read.not_after.timestamp()) }
}
