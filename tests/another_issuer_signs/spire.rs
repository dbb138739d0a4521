//! SPIRE's agent issues to a node, which is its delegate.

use std::time::Duration;

use culvert_lab::Program;

use crate::harness::ads::Stream;
use crate::harness::cluster::ECHO;
use crate::harness::endpoint::Groups;
use crate::harness::metrics;
use crate::harness::pki::{DAY, Issuer};
use crate::harness::scripted::Rig;
use crate::harness::spire::{Spire, Svid, account};
use crate::harness::talk::{Ending, SOON, assert_alive};
use crate::harness::tunnel::knock;

/// A node that is a delegate, and an authority that nobody shall ask.
pub(super) struct Delegated {
    pub(super) spire: Spire,
    pub(super) root: Issuer,
    pub(super) rig: Rig,
}

impl Delegated {
    pub(super) fn new(name: &str) -> Self {
        let rig = Rig::new(name);
        let root = Issuer::root("SPIRE");
        let spire = Spire::start(&rig.lab, &root);
        Self { spire, root, rig }
    }

    /// Both pods have entries by namespace and service account.
    pub(super) fn registered(name: &str, length: Duration) -> Self {
        let this = Self::new(name);
        for pod in ["client", "server"] {
            this.issue(pod, length);
        }
        this
    }

    /// What a service account is entitled to is made anew.
    pub(super) fn issue(&self, name: &str, length: Duration) -> Svid {
        let identity = format!("spiffe://cluster.local/ns/default/sa/{name}");
        let svid = Svid::of(&self.root, &identity, &identity, length);
        self.spire.register(&account(name), svid.clone());
        svid
    }

    #[track_caller]
    pub(super) fn run(&self) -> (Stream, Program) {
        self.rig.run(self.spire.delegating(self.rig.launch()))
    }

    /// The certificate in use for a pod's identity.
    pub(super) fn serial(&self, identity: &str) -> String {
        self.rig.certificate(identity)["certChain"][0]["serialNumber"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until what the dump says of the client's identity has all of these parts.
    #[track_caller]
    pub(super) fn wait_until_it_says(&self, parts: &[&str]) {
        let identity = self.rig.client.identity();
        let said = || self.rig.certificate(&identity)["state"].as_str().unwrap_or_default().to_owned();
        let says = || parts.iter().all(|part| said().contains(part));
        let waited = self.rig.lab.wait_until(SOON * 2, "the reason is told", says);
        waited.unwrap_or_else(|error| panic!("{error:?}\nsaid {:?}, not {parts:?}", said()));
    }
}

#[test]
fn pods_talk_with_what_spire_issued_and_no_authority_is_asked() {
    let this = Delegated::registered("spire", DAY);
    let _running = this.run();
    let rig = &this.rig;
    let identity = rig.server.identity();
    assert_eq!(rig.certificate(&identity)["rootCerts"][0]["serialNumber"], this.root.serial().to_string());
    assert!(rig.ca.asked().is_empty(), "the authority was asked");
    // A workload is named by all that is known of it: SPIRE's controller makes entries that name pods.
    let by =
        |name: &str, uid: &str| account(name).into_iter().chain([format!("k8s:pod-uid:{uid}")]).collect();
    for (name, pod) in [("client", &rig.client), ("server", &rig.server)] {
        assert!(this.spire.asked().contains(&by(name, pod.uid())), "{:?}", this.spire.asked());
    }
    // It can be seen who issues, and that it answers.
    let dump = rig.dump();
    assert_eq!(dump["config"]["issuer"], "spire-delegated");
    assert_eq!(rig.sees("ca")["address"], this.spire.url());
    rig.wait_until_it_sees("ca", "Up");
    assert!(metrics::counter(&rig.node, "culvert_ca_requests_total", &["result=\"ok\""]) >= 2);
    // Who is of the same root comes in, others do not.
    let tunnel = (rig.server.ip4(), 15008);
    for (issuer, welcome) in [(&this.root, true), (&Issuer::root("SPIRE"), false)] {
        let peer = issuer.workload("spiffe://cluster.local/ns/default/sa/peer");
        assert_eq!(knock(&rig.outsider, tunnel, &peer, Groups::All).is_ok(), welcome);
    }
}

#[test]
fn entries_that_name_a_pod_alone_are_found() {
    let this = Delegated::new("spire-pods");
    for pod in [&this.rig.client, &this.rig.server] {
        let svid = Svid::good(&this.root, &pod.identity());
        this.spire.register(&[format!("k8s:pod-uid:{}", pod.uid())], svid);
    }
    let _running = this.run();
    assert!(this.rig.works());
}

#[test]
fn what_the_agent_rotates_is_used_by_new_tunnels_and_ends_no_old_one() {
    let this = Delegated::registered("spire-rotate", DAY);
    let _running = this.run();
    let rig = &this.rig;
    let mut open = rig.client.connect((rig.server.ip4(), ECHO), SOON).unwrap();
    assert_alive(&mut open, b"before");
    let asked = this.spire.asked().len();
    let tunnel = (rig.server.ip4(), 15008);
    let peer = this.root.workload("spiffe://cluster.local/ns/default/sa/peer");
    let shown = || knock(&rig.outsider, tunnel, &peer, Groups::All).unwrap().shown();
    for _ in 0..3 {
        let [client, server] = ["client", "server"].map(|name| this.issue(name, DAY));
        let is_used =
            || this.serial(&rig.client.identity()) == client.serial.to_string() && shown() == server.leaf;
        rig.lab.wait_until(SOON, "the new one is used", is_used).unwrap();
        assert_alive(&mut open, b"meanwhile");
        assert!(rig.works());
    }
    assert_eq!(this.spire.asked().len(), asked, "nobody had to ask");
}

#[test]
fn without_its_agent_a_node_uses_what_it_has_until_the_end_and_then_says_why_not() {
    const LIFE: Duration = Duration::from_secs(12);
    let this = Delegated::registered("spire-gone", LIFE);
    let (_stream, program) = this.run();
    let rig = &this.rig;
    let identity = rig.client.identity();
    let held = this.serial(&identity);
    this.spire.stop();
    rig.wait_until_it_sees("ca", "Down");
    assert!(rig.works() && rig.is_ready());
    assert_eq!(this.serial(&identity), held);
    let over = || rig.call() == Ending::Reset;
    rig.lab.wait_until(LIFE * 2, "the certificate has expired", over).unwrap();
    this.wait_until_it_says(&["Unavailable", "the SPIRE agent at unix:///", "spire.sock cannot be reached"]);
    for name in ["client", "server"] {
        this.issue(name, DAY);
    }
    this.spire.resume();
    rig.lab.wait_until(SOON, "the agent is noticed", || rig.works()).unwrap();
    rig.wait_until_it_sees("ca", "Up");
    assert!(program.is_running());
}

/// Roots come and go without a renewal, in both directions.
#[test]
fn another_trust_bundle_counts_at_once() {
    let this = Delegated::registered("spire-roots", DAY);
    let _running = this.run();
    let rig = &this.rig;
    let (next, tunnel) = (Issuer::root("next"), (rig.server.ip4(), 15008));
    let peer = next.workload("spiffe://cluster.local/ns/default/sa/peer");
    let welcome = || knock(&rig.outsider, tunnel, &peer, Groups::All).is_ok();
    let held = this.serial(&rig.server.identity());
    assert!(!welcome());
    this.spire.trust(&[&this.root, &next]);
    rig.lab.wait_until(SOON, "who is below the new root comes in", welcome).unwrap();
    assert_eq!(this.serial(&rig.server.identity()), held, "with the certificate there was");
    this.spire.trust(&[&this.root]);
    rig.lab.wait_until(SOON, "who is below the root that is gone does not", || !welcome()).unwrap();
    assert!(rig.works());
}
