//! A certificate authority for tests: issues what a test asks for, good or bad.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use culvert_core::identity::SpiffeId;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, PublicKeyData, RevokedCertParams, SanType,
    SerialNumber,
};
use rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::sync::watch;

use super::certificate::{Certificate, Versions};
use super::issuer::{Authority, Issuing};
use super::response::{self, Asked};
use super::revocation::{Lists, Revocation, Status};
use super::trust::Trust;

pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) fn id(text: &str) -> SpiffeId {
    text.parse().unwrap()
}

/// The identity of a service account in the usual place.
pub(crate) fn account(name: &str) -> SpiffeId {
    SpiffeId::new("cluster.local", "default", name).unwrap()
}

/// An authority with a root of its own, or an intermediate below another.
pub(super) struct TestCa {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// The certificates between leaves and the root, as PEM.
    between: Vec<String>,
}

/// What a leaf says. Public fields: tests change what they are about.
#[derive(Clone)]
pub(super) struct Leaf {
    pub(super) names: Vec<SanType>,
    pub(super) usages: Vec<ExtendedKeyUsagePurpose>,
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
}

impl Leaf {
    /// A good one for these names, valid for a day around now.
    pub(super) fn named(names: &[&str]) -> Self {
        let now = SystemTime::now();
        Self {
            names: names.iter().map(|name| SanType::URI((*name).try_into().unwrap())).collect(),
            usages: vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            not_before: now - DAY / 2,
            not_after: now + DAY / 2,
        }
    }
}

impl TestCa {
    pub(super) fn new(name: &str) -> Self {
        let issuer = CertifiedIssuer::self_signed(authority(name), KeyPair::generate().unwrap()).unwrap();
        Self { issuer, between: Vec::new() }
    }

    /// An authority this one vouches for.
    pub(super) fn below(&self, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::signed_by(authority(name), key, &self.issuer).unwrap();
        let mut between = vec![issuer.pem()];
        between.extend(self.between.iter().cloned());
        Self { issuer, between }
    }

    /// The certificate of this authority itself.
    pub(super) fn root_pem(&self) -> String {
        self.issuer.pem()
    }

    /// Its revocation list with these certificates, as PEM; past its next update, which must not matter.
    pub(super) fn revoking(&self, revoked: &[&[u8]]) -> String {
        let before = SystemTime::now() - DAY;
        let entry = |der: &&[u8]| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&serial(der)),
            revocation_time: date(before),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date(before),
            next_update: date(before + DAY / 2),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    /// The certificate of this authority itself.
    pub(super) fn der(&self) -> &[u8] {
        self.issuer.der()
    }

    pub(super) fn sign(&self, leaf: &Leaf, key: &impl PublicKeyData) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = leaf.names.clone();
        params.extended_key_usages = leaf.usages.clone();
        params.not_before = date(leaf.not_before);
        params.not_after = date(leaf.not_after);
        params.signed_by(key, &self.issuer).unwrap().pem()
    }

    /// A certificate for use in tunnels; `roots` is what it trusts.
    pub(super) fn certificate(&self, leaf: &Leaf, roots: &str) -> Certificate {
        self.certificate_for(leaf, roots, &KeyPair::generate().unwrap())
    }

    /// The same, for a key the test has.
    pub(super) fn certificate_for(&self, leaf: &Leaf, roots: &str, key: &KeyPair) -> Certificate {
        self.certificate_of(self.sign(leaf, key), leaf, roots, key)
    }

    /// The same, of a leaf that was signed before.
    pub(super) fn certificate_of(
        &self,
        signed: String,
        leaf: &Leaf,
        roots: &str,
        key: &KeyPair,
    ) -> Certificate {
        let SanType::URI(first) = &leaf.names[0] else { panic!("the first name is the identity") };
        let asked = Asked { id: &id(first.as_str()), public_key: &key.subject_public_key_info() };
        let mut answer = vec![signed];
        answer.extend(self.between.iter().cloned());
        answer.push(roots.to_owned());
        // Expired ones are wanted too: checked in the middle of their life.
        let middle = leaf.not_before + leaf.not_after.duration_since(leaf.not_before).unwrap() / 2;
        let issued = response::check(&answer, &asked, middle).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Certificate::new(issued, any_ecdsa_type(&key).unwrap(), Versions::Tls13)
    }

    /// A good certificate that trusts this authority.
    pub(super) fn good(&self, id: &SpiffeId) -> Certificate {
        self.certificate(&Leaf::named(&[&id.to_string()]), &self.root_pem())
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// The digits of a serial number, without the zero in front that keeps it positive.
fn serial(der: &[u8]) -> Vec<u8> {
    use x509_parser::prelude::FromDer as _;
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(der).unwrap();
    parsed.raw_serial().iter().copied().skip_while(|digit| *digit == 0).collect()
}

/// An authority that issues at once, for tests of what uses certificates.
#[derive(Clone)]
pub(crate) struct TestAuthority(Arc<TestCa>);

impl TestAuthority {
    pub(crate) fn new(name: &str) -> Self {
        Self(Arc::new(TestCa::new(name)))
    }

    /// A good certificate that trusts this authority.
    pub(crate) fn good(&self, id: &SpiffeId) -> Certificate {
        self.0.good(id)
    }

    /// A certificate that is good until `life` from now.
    pub(crate) fn brief(&self, id: &SpiffeId, life: Duration) -> Certificate {
        let leaf = Leaf { not_after: SystemTime::now() + life, ..Leaf::named(&[&id.to_string()]) };
        self.0.certificate(&leaf, &self.0.root_pem())
    }

    /// Its revocation list with these leaves, as PEM.
    pub(crate) fn revoking(&self, leaves: &[&[u8]]) -> String {
        self.0.revoking(leaves)
    }
}

impl Authority for TestAuthority {
    fn issue<'a>(&'a self, id: &'a SpiffeId) -> Issuing<'a> {
        Box::pin(async { Ok(self.good(id)) })
    }
}

/// The leaf of a certificate, as DER.
pub(crate) fn leaf(certificate: &Certificate) -> Vec<u8> {
    certificate.chain()[0].der.to_vec()
}

/// Revocation lists that a test changes.
pub(crate) struct TestLists(watch::Sender<Arc<Lists>>);

impl TestLists {
    /// Nothing is revoked yet.
    pub(crate) fn new() -> (Self, Trust) {
        let (publish, lists) = watch::channel(Arc::default());
        let revocation = Revocation::of(lists, Status::Valid { lists: 0, certificates: 0 });
        (Self(publish), Trust::new(Vec::new(), &revocation))
    }

    /// These lists are in force from now on.
    pub(crate) fn publish(&self, pem: &str) {
        self.0.send_replace(Arc::new(Lists::parse(pem.as_bytes()).unwrap()));
    }
}

/// rcgen's time, without naming its crate.
fn date<T>(time: SystemTime) -> T
where
    T: From<SystemTime>,
{
    time.into()
}
