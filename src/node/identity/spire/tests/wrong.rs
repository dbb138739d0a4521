//! SVIDs that must not be used.

use std::error::Error as _;

use rcgen::KeyPair;

use super::fake::{Entry, der};
use super::*;
use crate::identity::testing::DAY;

/// What is said of an entry the test has spoilt.
async fn refusal(spoil: impl FnOnce(&Fake, &mut Entry)) -> String {
    let mut rig = Rig::delegate();
    let id = account("web").to_string();
    let mut entry = rig.fake.entry(&WEB, &id, &Leaf::named(&[&id]));
    spoil(&rig.fake, &mut entry);
    rig.fake.enter(entry);
    let error = rig.error().await;
    assert!(matches!(error, Error::Unusable { .. }), "{error}");
    error.source().unwrap().to_string()
}

#[tokio::test]
async fn an_svid_with_another_identity_inside_or_besides_is_refused() {
    let (web, db) = (account("web").to_string(), account("db").to_string());
    for names in [&[db.as_str()][..], &[web.as_str(), db.as_str()], &[web.as_str(), "https://example.com/"]] {
        let text = refusal(|fake, entry| {
            let other = fake.entry(&WEB, &web, &Leaf::named(names));
            (entry.chain, entry.key) = (other.chain, other.key);
        });
        let text = text.await;
        assert!(text.contains("and must have spiffe://cluster.local/ns/default/sa/web alone"), "{text}");
    }
}

#[tokio::test]
async fn an_svid_below_a_root_of_somebody_else_is_refused() {
    let text = refusal(|_, entry| {
        let key = KeyPair::generate().unwrap();
        let leaf = Leaf::named(&[&account("web").to_string()]);
        entry.chain = vec![der(&TestCa::new("stranger").sign(&leaf, &key))];
        entry.key = key.serialize_der();
    });
    assert!(text.await.contains("does not lead to a root"));
}

/// The root of the wrong issuer in the chain does not make it right.
#[tokio::test]
async fn a_chain_does_not_bring_its_own_root() {
    let text = refusal(|_, entry| {
        let (key, stranger) = (KeyPair::generate().unwrap(), TestCa::new("stranger"));
        let leaf = Leaf::named(&[&account("web").to_string()]);
        entry.chain = vec![der(&stranger.sign(&leaf, &key)), stranger.der().to_vec()];
        entry.key = key.serialize_der();
    });
    assert!(text.await.contains("does not lead to a root"));
}

#[tokio::test]
async fn an_svid_with_another_key_or_none_is_refused() {
    let other = refusal(|_, entry| entry.key = KeyPair::generate().unwrap().serialize_der());
    assert!(other.await.contains("for another key"));
    let broken = refusal(|_, entry| entry.key.truncate(20));
    assert_eq!(broken.await, "its key cannot be used");
}

#[tokio::test]
async fn an_svid_out_of_its_time_or_not_to_be_read_is_refused() {
    let id = account("web").to_string();
    let expired = refusal(|fake, entry| {
        let now = std::time::SystemTime::now();
        let leaf = Leaf { not_before: now - DAY, not_after: now - DAY / 2, ..Leaf::named(&[&id]) };
        let other = fake.entry(&WEB, &id, &leaf);
        (entry.chain, entry.key) = (other.chain, other.key);
    });
    assert!(expired.await.contains("not valid at this time"));
    for cut in [1, 100] {
        let text = refusal(|_, entry| {
            let whole = entry.chain[0].len();
            entry.chain[0].truncate(whole - cut);
        });
        assert_eq!(text.await, "its certificates cannot be read");
    }
    let none = refusal(|_, entry| entry.chain.clear());
    assert!(none.await.contains("must have"));
}

#[tokio::test]
async fn an_agent_of_another_trust_domain_is_named_as_that() {
    let mut rig = Rig::delegate();
    rig.fake.forget_bundles();
    rig.fake.trust_of("example.org", &[&rig.fake.root()]);
    rig.fake.register(&WEB, &account("web"));
    let text = rig.error().await.to_string();
    assert!(text.contains("no trust bundle of `cluster.local`"), "{text}");
    // It becomes right without anybody asking.
    rig.fake.trust(&[&rig.fake.root()]);
    rig.has_news().await;
    rig.good().await;

    let elsewhere = "spiffe://example.org/ns/default/sa/web".parse().unwrap();
    let mut rig = Rig::delegate();
    rig.fake.register(&WEB, &elsewhere);
    let text = rig.error().await.to_string();
    assert!(
        text.contains("no SVID for spiffe://cluster.local/ns/default/sa/web, but for spiffe://example.org"),
        "{text}"
    );
}

#[tokio::test]
async fn intermediates_are_sent_and_rsa_keys_are_taken() {
    let mut rig = Rig::delegate();
    let between = rig.fake.ca().below("between");
    let key = KeyPair::generate().unwrap();
    let id = account("web").to_string();
    let mut entry = rig.fake.entry(&WEB, &id, &Leaf::named(&[&id]));
    entry.chain = vec![der(&between.sign(&Leaf::named(&[&id]), &key)), between.der().to_vec()];
    entry.key = key.serialize_der();
    rig.fake.enter(entry);
    assert_eq!(rig.good().await.chain().len(), 2);

    let mut rig = Rig::delegate();
    let key = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let mut entry = rig.fake.entry(&WEB, &id, &Leaf::named(&[&id]));
    entry.chain = vec![der(&rig.fake.ca().sign(&Leaf::named(&[&id]), &key))];
    entry.key = key.serialize_der();
    rig.fake.enter(entry);
    rig.good().await;
}
