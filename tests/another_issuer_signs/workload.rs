//! A dedicated proxy asks SPIRE's agent who it is.

use std::process::Command;

use culvert_sys::child::die_with_parent;

use crate::harness::cluster::programs;
use crate::harness::endpoint::Groups;
use crate::harness::pki::{Issuer, Owned};
use crate::harness::scripted::Rig;
use crate::harness::spire::{Spire, Svid};
use crate::harness::talk::SOON;
use crate::harness::tunnel::knock;

#[test]
fn a_dedicated_proxy_is_who_the_agent_says() {
    let rig = Rig::new("spire-own");
    let root = Issuer::root("SPIRE");
    let spire = Spire::start(&rig.lab, &root);
    // Others the process is entitled to are left alone.
    spire.register(&["other".into()], Svid::good(&root, "spiffe://cluster.local/ns/default/sa/other"));
    let launch = rig.led_here(rig.lab.dedicated_launch(&rig.client).unwrap()).env("PACKET_MARK", 1337);
    let _proxy = rig.lab.start(spire.telling(launch)).unwrap();
    let _stream = rig.ads.sync(&rig.told());
    rig.lab.wait_until(SOON, "the proxy listens", || rig.client.listens(15008).unwrap()).unwrap();
    let peer = root.workload("spiffe://cluster.local/ns/default/sa/peer");
    let shown = |peer: &Owned| {
        let tunnel = knock(&rig.outsider, (rig.client.ip4(), 15008), peer, Groups::All);
        tunnel.map(|tunnel| tunnel.shown()).unwrap_or_default()
    };
    assert!(shown(&peer).is_empty(), "it is nobody yet");
    for what in ["registered", "rotated"] {
        let svid = Svid::good(&root, &rig.client.identity());
        spire.register(&["own".into()], svid.clone());
        rig.lab.wait_until(SOON, what, || shown(&peer) == svid.leaf).unwrap();
    }
    // The bundle comes with the certificate, and counts at once as well.
    let next = Issuer::root("next");
    let other = next.workload("spiffe://cluster.local/ns/default/sa/peer");
    assert!(shown(&other).is_empty());
    spire.trust(&[&root, &next]);
    rig.lab.wait_until(SOON, "the new root counts", || !shown(&other).is_empty()).unwrap();
    assert!(rig.ca.asked().is_empty(), "the authority was asked");
}

/// What cannot work is said at once, with what to do.
#[test]
fn settings_that_contradict_each_other_are_refused() {
    let program = programs().unwrap().node;
    for (settings, parts) in [
        (&[("CULVERT_ISSUER", "vault")][..], ["CULVERT_ISSUER=`vault`", "`spire-workload`"]),
        (
            &[("CULVERT_ISSUER", "spire-workload"), ("SPIFFE_ENDPOINT_SOCKET", "unix:///agent.sock")],
            ["PROXY_MODE=shared", "use `spire-delegated`"],
        ),
        (&[("CULVERT_ISSUER", "spire-delegated")], ["SPIRE_ADMIN_ENDPOINT_SOCKET", "unix:///path"]),
        (
            &[("CULVERT_ISSUER", "spire-delegated"), ("SPIRE_ADMIN_ENDPOINT_SOCKET", "tcp://127.0.0.1:1")],
            ["SPIRE_ADMIN_ENDPOINT_SOCKET=`tcp://127.0.0.1:1`", "unix:///path"],
        ),
    ] {
        let mut command = Command::new(&program);
        command.args(["proxy", "ztunnel"]).env_clear().env("LOCAL_XDS", "workloads: []");
        command.envs(settings.iter().copied());
        let output = die_with_parent(&mut command).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{settings:?}");
        assert!(parts.iter().all(|part| said.contains(part)), "{settings:?}: {said}");
    }
}
