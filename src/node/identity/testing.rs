//! A certificate authority for tests: issues what a test asks for, good or bad.

use std::time::{Duration, SystemTime};

use culvert_core::identity::SpiffeId;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, PublicKeyData, SanType,
};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::ca::{Authority, Issuing};
use super::certificate::{Certificate, Versions};
use super::response::{self, Asked};

pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) fn id(text: &str) -> SpiffeId {
    text.parse().unwrap()
}

/// The identity of a service account in the usual place.
pub(crate) fn account(name: &str) -> SpiffeId {
    SpiffeId::new("cluster.local", "default", name).unwrap()
}

/// An authority with a root of its own.
pub(super) struct TestCa(CertifiedIssuer<'static, KeyPair>);

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
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(super) fn root_pem(&self) -> String {
        self.0.pem()
    }

    pub(super) fn sign(&self, leaf: &Leaf, key: &impl PublicKeyData) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = leaf.names.clone();
        params.extended_key_usages = leaf.usages.clone();
        params.not_before = date(leaf.not_before);
        params.not_after = date(leaf.not_after);
        params.signed_by(key, &self.0).unwrap().pem()
    }

    /// A certificate for use in tunnels; `roots` is what it trusts.
    pub(super) fn certificate(&self, leaf: &Leaf, roots: &str) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let SanType::URI(first) = &leaf.names[0] else { panic!("the first name is the identity") };
        let asked = Asked { id: &id(first.as_str()), public_key: &key.subject_public_key_info() };
        let answer = [self.sign(leaf, &key), roots.to_owned()];
        // Expired ones are wanted too: checked in the middle of their life.
        let middle = leaf.not_before + leaf.not_after.duration_since(leaf.not_before).unwrap() / 2;
        let issued = response::check(&answer, &asked, middle).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Certificate::new(issued, &key, Versions::Tls13).unwrap()
    }

    /// A good certificate that trusts this authority.
    pub(super) fn good(&self, id: &SpiffeId) -> Certificate {
        self.certificate(&Leaf::named(&[&id.to_string()]), &self.root_pem())
    }
}

/// An authority that issues at once, for tests of what uses certificates.
#[derive(Clone)]
pub(crate) struct TestAuthority(std::sync::Arc<TestCa>);

impl TestAuthority {
    pub(crate) fn new(name: &str) -> Self {
        Self(std::sync::Arc::new(TestCa::new(name)))
    }

    /// A good certificate that trusts this authority.
    pub(crate) fn good(&self, id: &SpiffeId) -> Certificate {
        self.0.good(id)
    }
}

impl Authority for TestAuthority {
    fn issue<'a>(&'a self, id: &'a SpiffeId) -> Issuing<'a> {
        Box::pin(async { Ok(self.good(id)) })
    }
}

/// rcgen's time, without naming its crate.
fn date<T>(time: SystemTime) -> T
where
    T: From<SystemTime>,
{
    time.into()
}
