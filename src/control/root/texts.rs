//! What a root consists of, wherever it is kept: texts, what they have to say together, and what each step of a rotation makes of them.
//!
//! In go texts and the time, out come keys and certificates, or other texts. Where texts are kept is not known here.

use std::fmt;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::certificate::Certificate;
use super::leaves::{Fingerprint, Leaves, Needed};
use super::{BACKDATE, Intermediate, Stage};

const COMMON_NAME: &str = "Culvert root";
const LIFE: Duration = Duration::from_secs(3653 * 24 * 3600);

/// One of the texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// What clients trust, the certificate that signs first. It decides.
    Certificate,
    /// The key of the one root, or of the old one.
    Key,
    /// The key of the new root.
    NextKey,
    /// The new root's key, certified by the old root.
    Cross,
}

/// The texts of a root, as far as they are there.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Texts {
    pub(crate) certificate: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) next_key: Option<String>,
    pub(crate) cross: Option<String>,
}

/// What texts say together.
pub(super) struct Read {
    /// What clients trust.
    pub(super) bundle: String,
    pub(super) signing: Certificate,
    pub(super) key: KeyPair,
    pub(super) stage: Stage,
}

/// What is wrong with the texts.
#[derive(Debug)]
pub(crate) enum Problem {
    Half { present: Part, missing: Part },
    Malformed { part: Part, expected: &'static str },
    Mismatch { key: Part },
    Expired,
    Generate(rcgen::Error),
}

impl Texts {
    /// Makes a root.
    pub(crate) fn new(now: SystemTime) -> Result<Self, Problem> {
        let key = new_key()?;
        let certificate = params(now).self_signed(&key)?.pem();
        Ok(Self { certificate: Some(certificate), key: Some(key.serialize_pem()), ..Self::default() })
    }

    /// Whether there is a root; half of one is a problem.
    pub(crate) fn is_there(&self) -> Result<bool, Problem> {
        let half = |present, missing| Err(Problem::Half { present, missing });
        match (self.key.is_some() || self.next_key.is_some(), self.certificate.is_some()) {
            (true, true) => Ok(true),
            (false, false) => Ok(false),
            (true, false) => half(Part::Key, Part::Certificate),
            (false, true) => half(Part::Certificate, Part::Key),
        }
    }

    /// Reads what signs, and how far a rotation is.
    pub(super) fn read(&self, now: SystemTime) -> Result<Read, Problem> {
        let bundle = self.certificate.clone().unwrap_or_default();
        let certificates = parse(&bundle)?;
        let (signing, second) = match <[Certificate; 1]>::try_from(certificates) {
            Ok([only]) => (only, None),
            Err(several) => {
                let mut several = several.into_iter();
                (several.next().ok_or_else(malformed)?, several.next())
            }
        };
        if signing.validity.remaining(now).is_zero() {
            return Err(Problem::Expired);
        }
        let (own, next) = (self.read_key(Part::Key)?, self.read_key(Part::NextKey)?);
        let is_of = |key: &Option<KeyPair>| key.as_ref().is_some_and(|key| signing.is_of(key));
        let (key, stage) = match (is_of(&own), is_of(&next), &second) {
            (true, _, None) => (own, Stage::Steady),
            (true, _, Some(_)) => (own, Stage::Prepared),
            (false, true, None) => (next, Stage::Steady),
            (false, true, Some(_)) => (next, Stage::Active),
            (false, false, _) => (None, Stage::Steady),
        };
        let key = key.ok_or(Problem::Mismatch { key: Part::Key })?;
        Ok(Read { bundle, signing, key, stage })
    }

    /// Reads the certificate that leads from a key to the old root.
    pub(super) fn read_cross(&self, key: &KeyPair) -> Result<Intermediate, Problem> {
        let expected = "the certificate of the new root by the old one in PEM";
        let malformed = || Problem::Malformed { part: Part::Cross, expected };
        let pem = self.cross.clone().unwrap_or_default();
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| malformed())?;
        let is_of = Certificate::parse(der.clone()).is_some_and(|certificate| certificate.is_of(key));
        if is_of { Ok(Intermediate { pem, der }) } else { Err(malformed()) }
    }

    /// With a second root that is trusted and does not sign.
    pub(super) fn with_second(&self, now: SystemTime) -> Result<Self, Problem> {
        let old = self.read(now)?;
        let new = new_key()?;
        let params = params(now);
        let certificate = params.self_signed(&new)?;
        let mut cross = params;
        cross.use_authority_key_identifier_extension = true;
        let end = old.signing.validity.not_after.min(now + LIFE);
        cross.not_after = end.into();
        let cross = cross.signed_by(&new, &Issuer::from_ca_cert_der(&old.signing.der, old.key)?)?;
        Ok(Self {
            certificate: Some(join(&old.bundle, &certificate.pem())),
            key: self.key.clone(),
            next_key: Some(new.serialize_pem()),
            cross: Some(cross.pem()),
        })
    }

    /// With the other of two roots signing.
    pub(super) fn swapped(&self) -> Result<Self, Problem> {
        let (first, second) = self.both()?;
        let next = self.read_key(Part::NextKey)?;
        let certificates = parse(second)?;
        let belongs = |key: &KeyPair| certificates.iter().all(|certificate| certificate.is_of(key));
        let next = next.filter(belongs).ok_or(Problem::Mismatch { key: Part::NextKey })?;
        self.read_cross(&next)?;
        Ok(Self { certificate: Some(join(second, first)), ..self.clone() })
    }

    /// Without trust in any but the root that signs.
    pub(super) fn without_second(&self) -> Result<Self, Problem> {
        let (first, _) = self.both()?;
        Ok(Self { certificate: Some(first.to_owned()), ..self.clone() })
    }

    /// Without what a finished rotation left, which counts for nothing.
    pub(super) fn tidied(&self, now: SystemTime) -> Result<Self, Problem> {
        let read = self.read(now)?;
        if read.stage != Stage::Steady {
            return Ok(self.clone());
        }
        let signs = self.read_key(Part::NextKey)?.is_some_and(|key| read.signing.is_of(&key));
        let key = if signs { &self.next_key } else { &self.key };
        Ok(Self { certificate: self.certificate.clone(), key: key.clone(), next_key: None, cross: None })
    }

    /// How far a rotation is.
    pub(crate) fn stage(&self, now: SystemTime) -> Result<Stage, Problem> {
        Ok(self.read(now)?.stage)
    }

    /// The roots that are trusted, the one that signs first.
    pub(crate) fn trusted(&self) -> Result<Vec<Fingerprint>, Problem> {
        let certificates = parse(self.certificate.as_deref().unwrap_or_default())?;
        Ok(certificates.iter().map(Certificate::fingerprint).collect())
    }

    /// Why the trust of the root that signed before cannot be taken away yet, if there is one and it cannot.
    pub(crate) fn need(&self, leaves: &Leaves, now: SystemTime) -> Result<Option<Needed>, Problem> {
        if self.stage(now)? != Stage::Active {
            return Ok(None);
        }
        Ok(self.trusted()?.last().and_then(|old| leaves.need(old, now)))
    }

    /// The texts of both certificates.
    fn both(&self) -> Result<(&str, &str), Problem> {
        self.certificate.as_deref().and_then(split).ok_or_else(malformed)
    }

    /// Reads a key, if it is there.
    fn read_key(&self, part: Part) -> Result<Option<KeyPair>, Problem> {
        let text = if part == Part::NextKey { &self.next_key } else { &self.key };
        let malformed = |_| Problem::Malformed { part, expected: "a private key in PEM" };
        text.as_deref().map(KeyPair::from_pem).transpose().map_err(malformed)
    }
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys are shown to nobody.
        f.debug_struct("Texts").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl From<rcgen::Error> for Problem {
    fn from(error: rcgen::Error) -> Self {
        Self::Generate(error)
    }
}

fn new_key() -> Result<KeyPair, Problem> {
    Ok(KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?)
}

/// The certificates that are trusted: one, or two during a rotation.
fn parse(bundle: &str) -> Result<Vec<Certificate>, Problem> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bundle.as_bytes()).collect();
    let all: Vec<_> = all.map_err(|_| malformed())?;
    if !(1..=2).contains(&all.len()) {
        return Err(malformed());
    }
    let expected = "a certificate of an authority (CA:true)";
    let of_authority = || Problem::Malformed { part: Part::Certificate, expected };
    all.into_iter().map(|der| Certificate::parse(der).ok_or_else(of_authority)).collect()
}

fn malformed() -> Problem {
    Problem::Malformed { part: Part::Certificate, expected: "one certificate in PEM, or two" }
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

/// The first certificate of what is trusted: the one that signs.
pub(crate) fn first_certificate(bundle: &str) -> &str {
    split(bundle).map_or(bundle, |(first, _)| first)
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
