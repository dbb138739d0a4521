//! cert-manager by way of istio-csr: the service of Istio's authority, with answers that are cut in other ways.
//!
//! What it documents and is modelled here: it says yes to a node that asks for others only when it was told to
//! (`caTrustedNodeAccounts`), it gives an hour whatever is asked for (`maxCertificateDuration`), it copies the name out of the request,
//! and it appends the roots it trusts to the chain that cert-manager's issuer gave.

use std::sync::Arc;
use std::time::Duration;

use tonic::Status;

use crate::harness::authority::{Answer, Asked};
use crate::harness::endpoint::Groups;
use crate::harness::pki::{Issuer, Life};
use crate::harness::scripted::Rig;
use crate::harness::talk::SOON;
use crate::harness::tunnel::knock;

const HOUR: Duration = Duration::from_secs(3600);

/// A root, an issuer of cert-manager below it, and another root that is trusted as well.
struct CertManager {
    root: Issuer,
    issuer: Issuer,
    other: Issuer,
}

/// How an answer is cut: the leaf, those between, and the roots, each as PEM.
type Cut = fn(leaf: String, between: String, roots: [String; 2]) -> Vec<String>;

const CUTS: [(&str, Cut); 4] = [
    ("the chain in one text, the roots in another", |leaf, between, roots| {
        vec![leaf + &between, roots.concat()]
    }),
    ("each in a text of its own", |leaf, between, [one, two]| vec![leaf, between, one, two]),
    ("a root in the chain as well", |leaf, between, [one, two]| vec![leaf + &between + &one, one + &two]),
    ("all in one text", |leaf, between, roots| vec![leaf + &between + &roots.concat()]),
];

impl CertManager {
    fn new() -> Arc<Self> {
        let root = Issuer::root("cert-manager");
        let issuer = root.below("istio-ca");
        Arc::new(Self { root, issuer, other: Issuer::root("other") })
    }

    fn answer(&self, asked: &Asked, cut: Cut) -> Answer {
        // The name is copied out of the request, and everything else that is in it is refused.
        let request = asked.parsed();
        let [rcgen::SanType::URI(name)] = &request.params.subject_alt_names[..] else {
            return Answer::Refuse(Status::invalid_argument("a request with other names"));
        };
        let leaf = self.issuer.leaf(name.as_str(), Life::of(HOUR), &request.public_key).pem;
        Answer::Chain(cut(leaf, self.issuer.pem(), [self.root.pem(), self.other.pem()]))
    }
}

#[test]
fn its_answers_are_understood_however_they_are_cut() {
    for (what, cut) in CUTS {
        let rig = Rig::new("istio-csr");
        let manager = CertManager::new();
        let signing = Arc::clone(&manager);
        rig.ca.answer(move |asked| signing.answer(asked, cut));
        let _running = rig.run(rig.launch());
        let certificate = rig.certificate(&rig.server.identity());
        let count = |key: &str| certificate[key].as_array().map_or(0, Vec::len);
        assert_eq!((count("certChain"), count("rootCerts")), (2, 2), "{what}: {certificate}");
        // Whoever is below either root comes in, also with an intermediate; a stranger does not.
        let stranger = Issuer::root("stranger");
        for (issuer, welcome) in
            [(&manager.issuer, true), (&manager.root, true), (&manager.other, true), (&stranger, false)]
        {
            let peer = issuer.workload("spiffe://cluster.local/ns/default/sa/peer");
            let knocked = knock(&rig.outsider, (rig.server.ip4(), 15008), &peer, Groups::All);
            assert_eq!(knocked.is_ok(), welcome, "{what}: {:?}", knocked.err());
        }
    }
}

#[test]
fn a_node_it_does_not_trust_can_read_that_and_is_well_once_it_does() {
    let rig = Rig::new("istio-csr-node");
    let manager = CertManager::new();
    rig.ca.refuse(Status::unauthenticated("request authenticate failure"));
    let _program = rig.lab.start(rig.launch()).unwrap();
    let _stream = rig.ads.sync(&rig.told());
    rig.wait_until_captured(&[&rig.client, &rig.server]);
    let identity = rig.client.identity();
    let explained = || {
        rig.certificate(&identity)["state"]
            .as_str()
            .is_some_and(|state| state.contains("refused (Unauthenticated): request authenticate failure"))
    };
    rig.lab.wait_until(SOON, "it is explained", explained).unwrap();
    let asked = &rig.ca.asked_for(&identity)[0];
    assert_eq!(asked.headers.get("clusterid").unwrap(), "Kubernetes");
    rig.ca.answer(move |asked| manager.answer(asked, CUTS[0].1));
    rig.lab.wait_until(SOON, "it is trusted", || rig.works()).unwrap();
}

/// Keeping what works is better than taking what no peer would accept.
#[test]
fn a_chain_that_leads_to_no_root_is_refused_when_it_comes() {
    let rig = Rig::new("istio-csr-root");
    let manager = CertManager::new();
    let signing = Arc::clone(&manager);
    rig.ca.answer(move |asked| {
        let Answer::Chain(mut chain) = signing.answer(asked, CUTS[1].1) else { unreachable!("it signs") };
        // The roots are those of before a rotation.
        chain.truncate(2);
        chain.push(signing.other.pem());
        Answer::Chain(chain)
    });
    let _program = rig.lab.start(rig.launch()).unwrap();
    let _stream = rig.ads.sync(&rig.told());
    rig.wait_until_captured(&[&rig.client, &rig.server]);
    let explained = || {
        rig.certificate(&rig.client.identity())["state"]
            .as_str()
            .is_some_and(|state| state.contains("does not lead to a root of the trust bundle"))
    };
    rig.lab.wait_until(SOON, "it is explained", explained).unwrap();
    rig.ca.answer(move |asked| manager.answer(asked, CUTS[1].1));
    rig.lab.wait_until(SOON, "it is well", || rig.works()).unwrap();
}
