//! Certificates as a test wants them: roots, intermediates, leaves of any life, and revocation lists.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, PublicKeyData, RevokedCertParams, SanType,
    SerialNumber,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

/// Somebody who signs: a root, or an intermediate below another issuer.
pub(crate) struct Issuer {
    issuer: CertifiedIssuer<'static, KeyPair>,
    serial: u64,
    /// What comes with a leaf: this issuer and those above it, without the root.
    between: Vec<CertificateDer<'static>>,
}

/// When a leaf is valid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life {
    pub(crate) from: SystemTime,
    pub(crate) until: SystemTime,
}

/// A certificate and what belongs to it.
pub(crate) struct Owned {
    /// The leaf, then the intermediates.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) serial: u64,
}

/// A signed leaf.
pub(crate) struct Signed {
    pub(crate) pem: String,
    pub(crate) der: CertificateDer<'static>,
    pub(crate) serial: u64,
}

impl Life {
    /// As authorities date it: from two minutes ago until so much later than now.
    pub(crate) fn of(length: Duration) -> Self {
        let now = SystemTime::now();
        Self { from: now - Duration::from_secs(120), until: now + length }
    }
}

impl Issuer {
    pub(crate) fn root(name: &str) -> Self {
        let (params, serial) = issuing(name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer, serial, between: Vec::new() }
    }

    /// An issuer this one vouches for.
    pub(crate) fn below(&self, name: &str) -> Self {
        let (params, serial) = issuing(name);
        let issuer = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &self.issuer).unwrap();
        let own = issuer.der().clone();
        Self { issuer, serial, between: [vec![own], self.between.clone()].concat() }
    }

    /// Its own certificate.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Its own certificate.
    pub(crate) fn der(&self) -> &CertificateDer<'static> {
        self.issuer.der()
    }

    /// The serial number of its own certificate.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// A certificate of a server at an address.
    pub(crate) fn server(&self, ip: IpAddr) -> Owned {
        self.owned(SanType::IpAddress(ip))
    }

    /// A certificate of a server at an address, for somebody's key.
    pub(crate) fn server_with(&self, ip: IpAddr, key: &impl PublicKeyData) -> Signed {
        self.sign(SanType::IpAddress(ip), Life::of(DAY), key)
    }

    /// A certificate of a server, for this name or address and time.
    pub(crate) fn server_named(&self, host: &str, life: Life) -> Owned {
        let name = match host.parse() {
            Ok(ip) => SanType::IpAddress(ip),
            Err(_) => SanType::DnsName(host.try_into().unwrap()),
        };
        self.owned_for(name, life)
    }

    /// A certificate of a workload.
    pub(crate) fn workload(&self, identity: &str) -> Owned {
        self.owned(uri(identity))
    }

    fn owned(&self, name: SanType) -> Owned {
        self.owned_for(name, Life::of(DAY))
    }

    fn owned_for(&self, name: SanType, life: Life) -> Owned {
        let key = KeyPair::generate().unwrap();
        let signed = self.sign(name, life, &key);
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Owned { chain: [vec![signed.der], self.between.clone()].concat(), key, serial: signed.serial }
    }

    /// A leaf for somebody's key.
    pub(crate) fn leaf(&self, identity: &str, life: Life, key: &impl PublicKeyData) -> Signed {
        self.sign(uri(identity), life, key)
    }

    fn sign(&self, name: SanType, life: Life, key: &impl PublicKeyData) -> Signed {
        let serial = next_serial();
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from(serial));
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![name];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = life.from.into();
        params.not_after = life.until.into();
        let signed = params.signed_by(key, &self.issuer).unwrap();
        Signed { pem: signed.pem(), der: signed.der().clone(), serial }
    }

    /// Its revocation list, with these serial numbers on it.
    pub(crate) fn revoking(&self, serials: &[u64]) -> String {
        let before = SystemTime::now() - DAY;
        let entry = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: before.into(),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: before.into(),
            next_update: (before + DAY * 2).into(),
            crl_number: SerialNumber::from(next_serial()),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

fn issuing(name: &str) -> (CertificateParams, u64) {
    let serial = next_serial();
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from(serial));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params, serial)
}

fn uri(identity: &str) -> SanType {
    SanType::URI(identity.try_into().unwrap())
}

/// No two certificates of a test have the same.
fn next_serial() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
