//! `CRL_PATH`: revoked certificates are turned away, on new connections and on those that are there.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use culvert_lab::Program;
use tonic::Status;

use crate::harness::ads::Stream;
use crate::harness::cluster::ECHO;
use crate::harness::endpoint::Groups;
use crate::harness::metrics::counter;
use crate::harness::pki::{DAY, Issuer, Life, Owned};
use crate::harness::scripted::Rig;
use crate::harness::talk::{Ending, SOON, assert_alive, read_to_end};
use crate::harness::tunnel::{Tunnel, knock};

/// A node that follows a list, and two issuers with the same name below its root.
struct Revoking {
    rig: Rig,
    list: PathBuf,
    left: Issuer,
    right: Issuer,
    _running: (Stream, Program),
}

fn start(name: &str, first: Option<&str>) -> Revoking {
    let rig = Rig::new(name);
    let list = rig.lab.directory().join("revoked.pem");
    if let Some(text) = first {
        fs::write(&list, text).unwrap();
    }
    let [left, right] = ["issuer", "issuer"].map(|name| rig.ca.root.below(name));
    let _running = rig.run(rig.launch().env("CRL_PATH", list.display()));
    Revoking { rig, list, left, right, _running }
}

impl Revoking {
    /// Replaces the list whole, as Kubernetes does.
    fn publish(&self, text: &str) {
        let new = self.list.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, &self.list).unwrap();
    }

    fn knock(&self, owned: &Owned) -> std::io::Result<Tunnel> {
        knock(&self.rig.outsider, (self.rig.server.ip4(), 15008), owned, Groups::All)
    }

    #[track_caller]
    fn wait_until_turned_away(&self, owned: &Owned) {
        let turned_away = || self.knock(owned).is_err();
        self.rig.lab.wait_until(SOON, "the peer is turned away", turned_away).unwrap();
    }
}

fn peer(issuer: &Issuer) -> Owned {
    issuer.workload("spiffe://cluster.local/ns/default/sa/peer")
}

#[test]
fn a_revoked_leaf_is_turned_away_and_thrown_out_and_nobody_else() {
    let it = start("crl-leaf", Some(""));
    let (good, bad) = (peer(&it.left), peer(&it.left));
    let (mut stays, mut goes) = (it.knock(&good).unwrap(), it.knock(&bad).unwrap());
    // A list that names none of them changes nothing; nor does one of another issuer of the same name.
    it.publish(&(it.left.revoking(&[1]) + &it.right.revoking(&[bad.serial])));
    assert!(it.knock(&bad).is_ok() && goes.is_alive());
    it.publish(&it.left.revoking(&[bad.serial]));
    goes.wait_for_end(SOON).unwrap();
    it.wait_until_turned_away(&bad);
    assert!(stays.is_alive() && it.knock(&good).is_ok());
    let rejected =
        || counter(&it.rig.node, "istio_crl_policy_rejections_total", &["reporter=\"destination\""]);
    assert!(rejected() >= 2, "{}", rejected());
}

#[test]
fn a_revoked_intermediate_takes_those_below_it_along() {
    let it = start("crl-between", None);
    let lower = it.left.below("lower");
    let (deep, shallow, other) = (peer(&lower), peer(&it.left), peer(&it.right));
    let mut tunnels = [&deep, &shallow, &other].map(|owned| it.knock(owned).unwrap());
    // The file comes late; the list is the root's.
    it.publish(&it.rig.ca.root.revoking(&[it.left.serial()]));
    tunnels[0].wait_for_end(SOON).unwrap();
    tunnels[1].wait_for_end(SOON).unwrap();
    it.wait_until_turned_away(&deep);
    it.wait_until_turned_away(&shallow);
    assert!(tunnels[2].is_alive() && it.knock(&other).is_ok());
}

#[test]
fn a_list_that_makes_no_sense_leaves_the_last_one_in_force() {
    let first = Issuer::root("not of this mesh").revoking(&[1]);
    let it = start("crl-garbage", Some(&first));
    let bad = peer(&it.left);
    it.publish(&it.left.revoking(&[bad.serial]));
    it.wait_until_turned_away(&bad);
    it.publish("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n");
    let said = || counter(&it.rig.node, "culvert_crl_valid", &[]) == 0;
    it.rig.lab.wait_until(SOON, "the metric says so", said).unwrap();
    assert!(it.knock(&bad).is_err());
    assert!(it.rig.works());
    // And then everything is forgiven.
    it.publish("");
    let welcome = || it.knock(&bad).is_ok();
    it.rig.lab.wait_until(SOON, "the peer is let in again", welcome).unwrap();
}

#[test]
fn a_server_with_a_revoked_certificate_is_not_spoken_to() {
    let it = start("crl-server", Some(""));
    let rig = &it.rig;
    let mut open = rig.client.connect((rig.server.ip4(), ECHO), SOON).unwrap();
    assert_alive(&mut open, b"before");
    // From now on the server gets the certificate that it has, or none.
    rig.ca.refuse(Status::unavailable("as the test wants"));
    let serial = rig.certificate(&rig.server.identity())["certChain"][0]["serialNumber"].clone();
    let serial = serial.as_str().unwrap().parse().unwrap();
    it.publish(&rig.ca.root.revoking(&[serial]));
    assert_eq!(read_to_end(&mut open), Ending::Reset);
    let refused = || rig.call() == Ending::Reset;
    rig.lab.wait_until(SOON, "the server is not spoken to", refused).unwrap();
    // A new certificate, and all is well.
    let root = Arc::clone(&rig.ca.root);
    rig.ca.answer(move |asked| asked.signed(&root, Life::of(DAY), &[], &root.pem()));
    rig.lab.wait_until(SOON, "the server has a new certificate", || rig.works()).unwrap();
}
