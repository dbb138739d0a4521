//! What certificates say.

use std::path::PathBuf;

use rcgen::PKCS_ECDSA_P256_SHA256;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

const WEB: &str = "spiffe://cluster.local/ns/default/sa/web";

/// An authority whose directory goes when the test ends.
struct Bench {
    authority: Authority,
    dir: PathBuf,
}

impl Bench {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("culvert-authority-{name}-{}", std::process::id()));
        let (root, _) = crate::root::follow(&dir, SystemTime::now()).unwrap();
        Self { authority: Authority::new(root), dir }
    }

    fn sign(&self, life: Duration, now: SystemTime) -> Result<Leaf, Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let key = SubjectPublicKeyInfo::from_der(&key.subject_public_key_info()).unwrap();
        self.authority.sign_workload(&WEB.parse().unwrap(), &key, life, now)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn a_workload_certificate_says_what_it_must_and_no_more() {
    let leaf = Bench::new("leaf").sign(DAY, SystemTime::now()).unwrap();
    let (_, read) = X509Certificate::from_der(&leaf.der).unwrap();
    assert_eq!(read.subject().iter().count(), 0);
    assert_eq!(read.issuer().to_string(), "CN=Culvert root");
    assert_eq!(read.serial.to_string(), leaf.serial);
    assert_eq!(read.raw_serial().len(), 16);

    let names = read.subject_alternative_name().unwrap().unwrap();
    assert!(names.critical);
    assert_eq!(names.value.general_names, [GeneralName::URI(WEB)]);

    let usage = read.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && usage.key_encipherment());
    assert!(!usage.key_agreement() && !usage.key_cert_sign() && !usage.crl_sign());
    let extended = read.extended_key_usage().unwrap().unwrap().value;
    assert!(extended.server_auth && extended.client_auth && !extended.any);
    assert!(!read.is_ca() && read.basic_constraints().unwrap().is_some());
    let authority_key =
        |extension: &ParsedExtension<'_>| matches!(extension, ParsedExtension::AuthorityKeyIdentifier(_));
    assert!(read.extensions().iter().any(|extension| authority_key(extension.parsed_extension())));
}

#[test]
fn life_starts_two_minutes_ago_and_ends_with_the_root() {
    let bench = Bench::new("life");
    let root = bench.authority.root.borrow().validity();
    let now = SystemTime::now() + Duration::from_secs(3600);
    let minute = Duration::from_secs(60);
    let expected = Validity { not_before: now - Duration::from_secs(120), not_after: now + minute };
    assert_eq!(bench.sign(minute, now).unwrap().validity, expected);

    let late = root.not_after - minute;
    assert_eq!(bench.sign(DAY * 90, late).unwrap().validity.not_after, root.not_after);
    assert!(matches!(bench.sign(minute, root.not_after), Err(Error::RootExpired)));
}

#[test]
fn the_end_is_also_a_text() {
    let bench = Bench::new("text");
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000);
    assert_eq!(bench.sign(Duration::from_secs(5), now).unwrap().not_after, "2030-03-17T17:46:45Z");
}

#[test]
fn serial_numbers_differ() {
    let bench = Bench::new("serial");
    let now = SystemTime::now();
    assert_ne!(bench.sign(DAY, now).unwrap().serial, bench.sign(DAY, now).unwrap().serial);
}

#[test]
fn the_server_certificate_has_all_names() {
    let names = ["control.example", "localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let (leaf, _) = Bench::new("server").authority.sign_server(&names, SystemTime::now()).unwrap();
    let (_, read) = X509Certificate::from_der(&leaf.der).unwrap();
    let read = &read.subject_alternative_name().unwrap().unwrap().value.general_names;
    let mut loopback = [0; 16];
    loopback[15] = 1;
    let expected = [
        GeneralName::DNSName("control.example"),
        GeneralName::DNSName("localhost"),
        GeneralName::IPAddress(&[127, 0, 0, 1]),
        GeneralName::IPAddress(&loopback),
    ];
    assert_eq!(*read, expected);
}
