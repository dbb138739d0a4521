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
    let [one, two] = ["one", "two"].map(|name| bench.ca.below(name).root_pem());
    let other = TestCa::new("other").root_pem();
    let bundle = format!("{}{other}", bench.ca.root_pem());
    let issued = bench.check(&[bench.good_leaf(), one, two, bundle]).unwrap();
    assert_eq!(issued.id, account("web"));
    assert_eq!((issued.chain.len(), issued.roots.len()), (3, 2));
}

#[test]
fn no_element_is_empty_and_one_is_a_leaf_only() {
    let bench = Bench::new();
    assert_eq!(bench.refusal(&[]), Error::Empty);
    assert_eq!(bench.refusal(&[bench.good_leaf()]), Error::LeafOnly);
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

/// A leaf below two intermediates, in all the ways lists are cut.
#[test]
fn however_the_list_is_cut_the_chain_is_whole_and_its_roots_are_not_sent() {
    let root = TestCa::new("root");
    let (upper, other) = (root.below("upper"), TestCa::new("other").root_pem());
    let lower = upper.below("lower");
    let bench = Bench { ca: lower.below("unused"), key: KeyPair::generate().unwrap() };
    let leaf = lower.sign(&Leaf::named(&[&account("web").to_string()]), &bench.key);
    let [root, upper, lower] = [root, upper, lower].map(|it| it.root_pem());
    let joined = |parts: &[&String]| parts.iter().map(|part| part.as_str()).collect::<String>();
    for (list, roots) in [
        (vec![leaf.clone(), lower.clone(), upper.clone(), root.clone()], 1),
        // Those between with the leaf, or with each other, or the other way round.
        (vec![joined(&[&leaf, &lower, &upper]), root.clone()], 1),
        (vec![leaf.clone(), joined(&[&upper, &lower]), root.clone()], 1),
        // The root in the chain as well, and again.
        (vec![leaf.clone(), lower.clone(), upper.clone(), root.clone(), root.clone()], 1),
        (vec![joined(&[&leaf, &lower, &upper, &root]), joined(&[&root, &other])], 2),
        // Several roots one by one.
        (vec![leaf.clone(), lower.clone(), upper.clone(), root.clone(), other.clone()], 2),
        (vec![leaf.clone(), lower.clone(), upper.clone(), other.clone(), root.clone()], 2),
        // All in one.
        (vec![joined(&[&leaf, &lower, &upper, &root])], 1),
        // No root at all: whoever is last is what is trusted.
        (vec![leaf.clone(), lower.clone(), upper.clone()], 1),
    ] {
        let issued = bench.check(&list).and_then(|it| it.verified(SystemTime::now())).unwrap();
        assert_eq!(issued.roots.len(), roots, "{list:?}");
        let sent = if list.len() == 3 && list[2] == upper { 2 } else { 3 };
        assert_eq!(issued.chain.len(), sent, "{list:?}");
    }
}

#[test]
fn a_leaf_that_leads_to_no_root_it_came_with_is_of_no_use() {
    let bench = Bench::new();
    let (between, stranger) = (bench.ca.below("between"), TestCa::new("stranger").root_pem());
    let below = between.sign(&Leaf::named(&[&account("web").to_string()]), &bench.key);
    for list in [
        [bench.good_leaf(), stranger],
        // Who is between is missing.
        [below, bench.ca.root_pem()],
    ] {
        let error = bench.check(&list).and_then(|it| it.verified(SystemTime::now())).unwrap_err();
        assert!(matches!(error, Error::NoPath(_)), "{error}");
    }
}

/// While a root is replaced, the new one comes in a certificate signed by the old one. Peers that know the old one only need it.
#[test]
fn a_new_root_of_the_same_name_that_the_old_one_vouches_for_is_sent() {
    let old = TestCa::new("root");
    let new = old.below("root");
    let bench = Bench { ca: old.below("unused"), key: KeyPair::generate().unwrap() };
    let leaf = new.sign(&Leaf::named(&[&account("web").to_string()]), &bench.key);
    let issued = bench.check(&[leaf, new.root_pem(), old.root_pem()]).unwrap();
    let issued = issued.verified(SystemTime::now()).unwrap();
    assert_eq!((issued.chain.len(), issued.roots.len()), (2, 1));
}
