//! Who is let in: trust domains and key exchanges.

use rustls::NamedGroup;

use crate::harness::endpoint::Groups;
use crate::harness::scripted::Rig;
use crate::harness::tunnel::knock;

fn peer(domain: &str) -> String {
    format!("spiffe://{domain}/ns/default/sa/peer")
}

#[test]
fn another_trust_domain_is_turned_away_unless_it_is_an_alias_of_our_own() {
    let rig = Rig::new("peer-domains");
    let _running = rig.run(rig.launch().env("CULVERT_TRUST_DOMAIN_ALIASES", "old.example,older.example"));
    let tunnel = (rig.server.ip4(), 15008);
    for (domain, welcome) in [
        ("cluster.local", true),
        ("old.example", true),
        ("older.example", true),
        ("other.example", false),
        ("example", false),
    ] {
        let owned = rig.ca.root.workload(&peer(domain));
        let knocked = knock(&rig.outsider, tunnel, &owned, Groups::All);
        assert_eq!(knocked.is_ok(), welcome, "{domain}: {:?}", knocked.err());
    }
}

#[test]
fn classic_peers_are_welcome_by_default() {
    let rig = Rig::with_groups("peer-classic", Groups::Classic);
    let _running = rig.run(rig.launch());
    assert_eq!(rig.ads.endpoint.visits()[0].handshake, Some(Ok(NamedGroup::X25519)));
    let owned = rig.ca.root.workload(&peer("cluster.local"));
    for groups in [Groups::Classic, Groups::PostQuantum] {
        knock(&rig.outsider, (rig.server.ip4(), 15008), &owned, groups).unwrap();
    }
}

#[test]
fn where_post_quantum_is_required_classic_peers_are_turned_away_and_others_served() {
    let rig = Rig::with_groups("peer-pqc", Groups::PostQuantum);
    let _running = rig.run(rig.launch().env("COMPLIANCE_POLICY", "pqc"));
    let owned = rig.ca.root.workload(&peer("cluster.local"));
    let tunnel = (rig.server.ip4(), 15008);
    knock(&rig.outsider, tunnel, &owned, Groups::All).unwrap();
    let error = knock(&rig.outsider, tunnel, &owned, Groups::Classic).err().unwrap();
    assert!(error.to_string().contains("HandshakeFailure"), "{error}");
    assert!(rig.works());
}

#[test]
fn where_post_quantum_is_required_a_classic_control_plane_is_named_as_the_reason() {
    let rig = Rig::with_groups("peer-pqc-control", Groups::Classic);
    let program = rig.lab.start(rig.launch().env("COMPLIANCE_POLICY", "pqc")).unwrap();
    rig.wait_until_it_says(&["state manager", "xds", "HandshakeFailure"]);
    assert!(rig.ads.endpoint.visits().iter().all(|visit| !matches!(visit.handshake, Some(Ok(_)))));
    assert!(program.is_running());
}
