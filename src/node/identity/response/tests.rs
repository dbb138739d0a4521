//! Answers of the authority, good and bad.

use std::time::Duration;

use rcgen::{KeyPair, PublicKeyData as _, SanType};

use super::*;
use crate::identity::testing::{DAY, Leaf, TestCa, account};

struct Bench {
    ca: TestCa,
    key: KeyPair,
}

impl Bench {
    fn new() -> Self {
        Self { ca: TestCa::new("root"), key: KeyPair::generate().unwrap() }
    }

    fn leaf(&self, leaf: &Leaf) -> String {
        self.ca.sign(leaf, &self.key)
    }

    fn good_leaf(&self) -> String {
        self.leaf(&Leaf::named(&[&account("web").to_string()]))
    }

    fn check(&self, answer: &[String]) -> Result<Issued, Error> {
        let asked = Asked { id: &account("web"), public_key: &self.key.subject_public_key_info() };
        check(answer, &asked, SystemTime::now())
    }

    fn refusal(&self, answer: &[String]) -> Error {
        self.check(answer).unwrap_err()
    }
}

#[test]
fn a_leaf_with_intermediates_and_two_roots_is_taken_apart() {
    let bench = Bench::new();
    let [one, two, other] = ["one", "two", "other"].map(|name| TestCa::new(name).root_pem());
    let bundle = format!("{}{other}", bench.ca.root_pem());
    let issued = bench.check(&[bench.good_leaf(), one, two, bundle]).unwrap();
    assert_eq!(issued.id, account("web"));
    assert_eq!((issued.chain.len(), issued.roots.len()), (3, 2));
}

#[test]
fn no_element_is_empty_and_one_is_a_leaf_only() {
    let bench = Bench::new();
    assert_eq!(bench.refusal(&[]), Error::Empty);
    let alone = [format!("{}{}", bench.good_leaf(), bench.ca.root_pem())];
    assert_eq!(bench.refusal(&alone), Error::LeafOnly);
    assert!(Error::LeafOnly.to_string().contains("no root certificate"));
}

#[test]
fn elements_that_are_not_certificates_are_named() {
    let bench = Bench::new();
    let (leaf, root) = (bench.good_leaf(), bench.ca.root_pem());
    let key = KeyPair::generate().unwrap().serialize_pem();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned();
    let not = |element, elements| Error::NotACertificate { element, elements };
    assert_eq!(bench.refusal(&["nonsense".into(), root.clone()]), not(1, 2));
    assert_eq!(bench.refusal(&[key.clone(), root.clone()]), not(1, 2));
    assert_eq!(bench.refusal(&[leaf.clone(), broken.clone(), root.clone()]), not(2, 3));
    assert_eq!(bench.refusal(&[leaf.clone(), String::new()]), not(2, 2));
    assert_eq!(bench.refusal(&[leaf.clone(), format!("{root}{key}")]), not(2, 2));
    assert_eq!(bench.refusal(&[leaf, format!("{root}{broken}")]), not(2, 2));
}

#[test]
fn the_first_spiffe_name_must_be_the_one_asked_for() {
    let bench = Bench::new();
    let root = bench.ca.root_pem();
    let other = Leaf::named(&[&account("db").to_string(), &account("web").to_string()]);
    let expected = Error::OtherIdentity { asked: account("web"), seen: Some(account("db")) };
    assert_eq!(bench.refusal(&[bench.leaf(&other), root.clone()]), expected);

    let nobody = Leaf { names: vec![SanType::DnsName("web".try_into().unwrap())], ..other };
    let expected = Error::OtherIdentity { asked: account("web"), seen: None };
    assert_eq!(bench.refusal(&[bench.leaf(&nobody), root.clone()]), expected);

    let second = Leaf::named(&["https://example.com/", &account("web").to_string()]);
    assert!(bench.check(&[bench.leaf(&second), root]).is_ok());
}

#[test]
fn the_leaf_must_be_for_our_key() {
    let bench = Bench::new();
    let leaf = Leaf::named(&[&account("web").to_string()]);
    let foreign = bench.ca.sign(&leaf, &KeyPair::generate().unwrap());
    assert_eq!(bench.refusal(&[foreign, bench.ca.root_pem()]), Error::OtherKey);
}

#[test]
fn the_leaf_must_be_valid_now() {
    let bench = Bench::new();
    let good = Leaf::named(&[&account("web").to_string()]);
    let now = SystemTime::now();
    let expired = Leaf { not_before: now - DAY, not_after: now - Duration::from_secs(2), ..good.clone() };
    let future = Leaf { not_before: now + Duration::from_secs(60), not_after: now + DAY, ..good };
    for leaf in [expired, future] {
        assert_eq!(bench.refusal(&[bench.leaf(&leaf), bench.ca.root_pem()]), Error::NotValid);
    }
}

#[test]
fn times_and_serial_are_read() {
    let bench = Bench::new();
    let leaf = Leaf::named(&[&account("web").to_string()]);
    let issued = bench.check(&[bench.leaf(&leaf), bench.ca.root_pem()]).unwrap();
    let read = &issued.chain[0];
    let late = leaf.not_after.duration_since(read.validity.not_after).unwrap();
    assert!(late < Duration::from_secs(1), "seconds are what a certificate can say, {late:?} were lost");
    assert!(
        !read.serial.is_empty() && read.serial.bytes().all(|digit| digit.is_ascii_digit()),
        "{}",
        read.serial
    );
}
