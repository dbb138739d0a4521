//! Which roots and names are accepted while which certificates are held.

use super::*;
use crate::identity::certificate::Certificate;
use crate::identity::revocation::Status;
use crate::identity::testing::{Leaf, TestCa, account, id};

/// A certificate of `ca` that brings these roots.
fn bringing(ca: &TestCa, roots: &[&TestCa], trust: &Trust) -> Certificate {
    let bundle: String = roots.iter().map(|root| root.root_pem()).collect();
    ca.certificate(&Leaf::named(&[&account("web").to_string()]), &bundle).trusting(trust)
}

fn roots(certificate: &Certificate) -> usize {
    certificate.accepted().roots().len()
}

#[test]
fn roots_are_accepted_while_one_certificate_brings_them() {
    let (old, new) = (TestCa::new("old"), TestCa::new("new"));
    let trust = Trust::default();
    let first = bringing(&old, &[&old], &trust);
    let before = first.accepted();
    let second = bringing(&old, &[&old], &trust);
    assert!(Arc::ptr_eq(&before, &second.accepted()), "nothing has changed");
    assert_eq!(roots(&first), 1);
    let third = bringing(&new, &[&old, &new], &trust);
    assert_eq!((roots(&first), roots(&third)), (2, 2));
    drop((first, second));
    assert_eq!(roots(&third), 2, "the last one brings both");
    let fourth = bringing(&new, &[&new], &trust);
    assert_eq!(roots(&fourth), 2);
    drop(third);
    assert_eq!(roots(&fourth), 1, "nobody brings the old one");
}

#[test]
fn trust_domains_do_not_share_roots() {
    let (ours, theirs) = (TestCa::new("ours"), TestCa::new("theirs"));
    let trust = Trust::default();
    let here = bringing(&ours, &[&ours], &trust);
    let there = theirs.good(&id("spiffe://other.example/ns/default/sa/web")).trusting(&trust);
    assert_eq!((roots(&here), roots(&there)), (1, 1));
    assert!(!here.accepted().is_ours(there.id()));
}

#[test]
fn aliases_stand_for_the_own_trust_domain_and_for_nothing_else() {
    let ca = TestCa::new("root");
    let trust = Trust::new(vec!["old.example".into(), "older.example".into()], &Revocation::off());
    let accepted = ca.good(&account("web")).trusting(&trust).accepted();
    let named = |domain: &str, account: &str| id(&format!("spiffe://{domain}/ns/default/sa/{account}"));
    for (seen, expected, one) in [
        (account("db"), account("db"), true),
        (named("old.example", "db"), account("db"), true),
        (account("db"), named("older.example", "db"), true),
        (named("old.example", "db"), named("older.example", "db"), true),
        (named("old.example", "web"), account("db"), false),
        (named("other.example", "db"), account("db"), false),
        (account("db"), named("other.example", "db"), false),
        (named("other.example", "db"), named("other.example", "db"), true),
        (id("spiffe://old.example/ns/other/sa/db"), account("db"), false),
    ] {
        assert_eq!(accepted.is_one(&seen, &expected), one, "{seen} for {expected}");
    }
}

#[test]
fn new_lists_make_a_new_judgement() {
    let ca = TestCa::new("root");
    let (publish, lists) = watch::channel(Arc::default());
    let revocation = Revocation::of(lists, Status::Missing);
    let certificate = bringing(&ca, &[&ca], &Trust::new(Vec::new(), &revocation));
    let (accepted, config) = (certificate.accepted(), certificate.server_config());
    assert!(Arc::ptr_eq(&config, &certificate.server_config()));
    publish.send_replace(Arc::default());
    assert!(!Arc::ptr_eq(&accepted, &certificate.accepted()));
    assert!(!Arc::ptr_eq(&config, &certificate.server_config()));
}
