//! Which answers of the authority count.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use culvert_lab::PodSpec;
use tonic::Status;

use crate::harness::ads::ADDRESS;
use crate::harness::authority::{Answer, Asked};
use crate::harness::cluster::{ECHO, serve_all};
use crate::harness::endpoint::Groups;
use crate::harness::pki::{DAY, Issuer, Life};
use crate::harness::scripted::Rig;
use crate::harness::talk::{Ending, SOON, assert_echo};
use crate::harness::tunnel::knock;

/// How soon a connection notices that the authority is well again: a second between attempts, and the attempt.
const AT_ONCE: Duration = Duration::from_millis(2500);

fn chain(answer: Answer) -> Vec<String> {
    match answer {
        Answer::Chain(chain) => chain,
        Answer::Refuse(_) => panic!("not a chain"),
    }
}

/// Below the old root: an issuer below an issuer. And a new root that is not used yet.
struct Mesh {
    old: Issuer,
    upper: Issuer,
    lower: Issuer,
    new: Issuer,
}

impl Mesh {
    fn new() -> Arc<Self> {
        let old = Issuer::root("old root");
        let upper = old.below("upper");
        let lower = upper.below("lower");
        Arc::new(Self { old, upper, lower, new: Issuer::root("new root") })
    }

    fn both(&self) -> String {
        self.old.pem() + &self.new.pem()
    }
}

#[test]
fn a_chain_with_intermediates_and_two_roots_is_used_whole() {
    let rig = Rig::new("ca-chain");
    let mesh = Mesh::new();
    let issued = Arc::clone(&mesh);
    rig.ca.answer(move |asked| {
        let between = [&issued.lower, &issued.upper];
        asked.signed(&issued.lower, Life::of(DAY), &between, &issued.both())
    });
    let _running = rig.run(rig.launch());
    let certificate = rig.certificate(&rig.server.identity());
    assert_eq!(certificate["certChain"].as_array().map(Vec::len), Some(3), "{certificate}");
    assert_eq!(certificate["rootCerts"].as_array().map(Vec::len), Some(2), "{certificate}");
    // Peers under either root are let in; a stranger is not.
    let tunnel = (rig.server.ip4(), 15008);
    let stranger = Issuer::root("stranger");
    for (issuer, welcome) in [(&mesh.lower, true), (&mesh.new, true), (&mesh.old, true), (&stranger, false)] {
        let owned = issuer.workload("spiffe://cluster.local/ns/default/sa/peer");
        let knocked = knock(&rig.outsider, tunnel, &owned, Groups::All);
        assert_eq!(knocked.is_ok(), welcome, "{:?}", knocked.err());
    }
}

/// Roots that one certificate brings count for all: peers may have been issued theirs under the new one already.
#[test]
fn a_new_root_counts_as_soon_as_one_certificate_brings_it() {
    let rig = Rig::new("ca-rotation");
    let mesh = Mesh::new();
    let issued = Arc::clone(&mesh);
    rig.ca.answer(move |asked| asked.signed(&issued.old, Life::of(DAY), &[], &issued.old.pem()));
    let (mut stream, _program) = rig.run(rig.launch());
    let peer = mesh.new.workload("spiffe://cluster.local/ns/default/sa/peer");
    let tunnel = (rig.server.ip4(), 15008);
    assert!(knock(&rig.outsider, tunnel, &peer, Groups::All).is_err());
    let issued = Arc::clone(&mesh);
    rig.ca.answer(move |asked| asked.signed(&issued.new, Life::of(DAY), &[], &issued.both()));
    let late = rig.lab.pod(&rig.node, PodSpec::new("late").service_account("late")).unwrap();
    serve_all(&rig.lab, &late).unwrap();
    serve_all(&rig.lab, &rig.client).unwrap();
    rig.lab.enrol(&late).unwrap();
    stream.tell(ADDRESS, rig.told().addresses);
    let welcome = || knock(&rig.outsider, tunnel, &peer, Groups::All).is_ok();
    rig.lab.wait_until(SOON, "a peer under the new root is let in", welcome).unwrap();
    assert_eq!(rig.ca.asked_for(&rig.server.identity()).len(), 1, "its own certificate is the old one");
    assert!(rig.works());
    // And one under the old root and one under the new reach each other.
    assert_echo(&rig.client, (late.ip4(), ECHO), b"to the new");
    assert_echo(&late, (rig.client.ip4(), ECHO), b"to the old");
}

/// Something wrong with an answer, and a word the dump says of it.
type Wrong = (&'static str, fn(&Asked, &Issuer) -> Answer);

const WRONG: [Wrong; 8] = [
    ("it is empty", |_, _| Answer::Chain(Vec::new())),
    ("no root", |asked, root| {
        let mut chain = chain(asked.signed(root, Life::of(DAY), &[], &root.pem()));
        chain.truncate(1);
        Answer::Chain(chain)
    }),
    ("not made of PEM", |_, root| Answer::Chain(vec!["garbage".into(), root.pem()])),
    ("is for spiffe://cluster.local/ns/default/sa/other", |asked, root| {
        let other = Asked { identity: "spiffe://cluster.local/ns/default/sa/other".into(), ..asked.clone() };
        other.signed(root, Life::of(DAY), &[], &root.pem())
    }),
    ("another key", |asked, root| {
        let other = rcgen::KeyPair::generate().unwrap();
        let leaf = root.leaf(&asked.identity, Life::of(DAY), &other).pem;
        Answer::Chain(vec![leaf, root.pem()])
    }),
    ("not valid at this time", |asked, root| {
        let now = SystemTime::now();
        asked.signed(root, Life { from: now - DAY, until: now - DAY / 2 }, &[], &root.pem())
    }),
    ("not valid at this time", |asked, root| {
        let now = SystemTime::now();
        asked.signed(root, Life { from: now + DAY / 2, until: now + DAY }, &[], &root.pem())
    }),
    ("as the test wants", |_, _| Answer::Refuse(Status::unauthenticated("as the test wants"))),
];

#[test]
fn an_answer_that_makes_no_sense_is_explained_and_the_next_good_one_is_taken_at_once() {
    let rig = Rig::new("ca-wrong");
    let identity = rig.client.identity();
    let root = Arc::clone(&rig.ca.root);
    let (mut nth, asking) = (0, identity.clone());
    // The server gets what it wants; the client gets one wrong answer after the other.
    rig.ca.answer(move |asked| {
        if asked.identity != asking {
            return asked.signed(&root, Life::of(DAY), &[], &root.pem());
        }
        let (_, answer) = WRONG[nth % WRONG.len()];
        nth += 1;
        answer(asked, &root)
    });
    let program = rig.lab.start(rig.launch()).unwrap();
    let _stream = rig.ads.sync(&rig.told());
    rig.wait_until_captured(&[&rig.client, &rig.server]);
    for (what, _) in WRONG {
        let says = || {
            // A connection that needs the certificate has the authority asked again.
            assert_ne!(rig.call(), Ending::Complete(b"hello".to_vec()));
            rig.certificate(&identity)["state"]
                .as_str()
                .is_some_and(|state| state.starts_with("Unavailable") && state.contains(what))
        };
        rig.lab.wait_until(SOON, what, says).unwrap();
    }
    rig.ca.sign_for(DAY);
    rig.lab.wait_until(AT_ONCE, "the authority is noticed", || rig.works()).unwrap();
    assert!(program.is_running() && rig.is_ready());
}
