//! What SPIRE does not give, and what must not be taken from it.

use tonic::Status;

use super::spire::Delegated;
use crate::harness::pki::{DAY, Issuer};
use crate::harness::spire::{Svid, account};
use crate::harness::talk::{Ending, SOON};

/// The server has what it needs, the client has not yet. The node runs.
fn start(name: &str) -> (Delegated, impl Sized) {
    let this = Delegated::new(name);
    this.issue("server", DAY);
    let program = this.rig.lab.start(this.spire.delegating(this.rig.launch())).unwrap();
    let stream = this.rig.ads.sync(&this.rig.told());
    this.rig.wait_until_captured(&[&this.rig.client, &this.rig.server]);
    (this, (program, stream))
}

fn assert_no_way(this: &Delegated) {
    assert_eq!(this.rig.call(), Ending::Reset);
    assert!(this.rig.is_ready(), "one identity is one pod's trouble");
}

fn assert_soon_well(this: &Delegated) {
    this.issue("client", DAY);
    this.rig.lab.wait_until(SOON, "the right one is noticed", || this.rig.works()).unwrap();
}

#[test]
fn an_identity_spire_does_not_know_is_refused_and_the_reason_can_be_read() {
    let (this, _running) = start("spire-unknown");
    assert_no_way(&this);
    let identity = this.rig.client.identity();
    this.wait_until_it_says(&[
        "Unavailable",
        &format!("no SVID for {identity}: is there a registration entry with the selectors k8s:ns:default, k8s:sa:client"),
        "is this process a delegate (authorized_delegates)?",
    ]);
    assert_soon_well(&this);
}

#[test]
fn who_is_no_delegate_can_read_that() {
    let (this, _running) = start("spire-stranger");
    let refusal = Status::permission_denied("caller not configured as an authorized delegate");
    this.spire.refuse(Some(refusal));
    this.wait_until_it_says(&["PermissionDenied", "caller not configured", "authorized_delegates"]);
    this.spire.refuse(None);
    assert_soon_well(&this);
}

#[test]
fn an_svid_of_somebody_else_or_below_a_foreign_root_is_not_used() {
    let (this, _running) = start("spire-wrong");
    let (identity, other) = (this.rig.client.identity(), "spiffe://cluster.local/ns/default/sa/other");
    let stranger = Issuer::root("SPIRE");
    for (svid, why) in [
        (Svid::of(&this.root, &identity, other, DAY), "alone"),
        (Svid::good(&stranger, &identity), "does not lead to a root"),
        (Svid::good(&this.root, other), "but for spiffe://cluster.local/ns/default/sa/other"),
    ] {
        this.spire.register(&account("client"), svid);
        this.wait_until_it_says(&["Unavailable", why]);
        assert_no_way(&this);
    }
    assert_soon_well(&this);
    // One that works is not given up for one that does not.
    let held = this.serial(&identity);
    let asked = this.spire.asked().len();
    this.spire.register(&account("client"), Svid::good(&stranger, &identity));
    let told = || this.spire.asked().len() > asked;
    this.rig.lab.wait_until(SOON, "it was looked at and asked for again", told).unwrap();
    assert!(this.rig.works());
    assert_eq!(this.serial(&identity), held);
}
