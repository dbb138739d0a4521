//! Between programs of ours key exchange is post-quantum unasked. `COMPLIANCE_POLICY=pqc`: peers that offer none are refused.

use culvert_lab::{Capture, Launch, Pod, Program, Wire};

use crate::harness::certificates::Authority;
use crate::harness::cluster::{Cluster, ECHO};
use crate::harness::frames::{Rogue, connect, flag, kind, status};
use crate::harness::talk::{SOON, assert_alive, assert_echo};
use crate::harness::v1::{list, of};

/// The codepoint of X25519MLKEM768 (draft-ietf-tls-ecdhe-mlkem §7).
const X25519MLKEM768: u16 = 0x11ec;

fn start(name: &str, policy: &str) -> Cluster {
    let cluster = Cluster::without_mesh(name).unwrap();
    let lab = &cluster.lab;
    lab.enrol_all(&[&cluster.client, &cluster.server]).unwrap();
    lab.start_control().unwrap();
    lab.start_agent(&cluster.one).unwrap();
    lab.start_agent(&cluster.two).unwrap();
    lab.start_node(&cluster.two).unwrap();
    let launch = lab.node_launch(&cluster.one).unwrap();
    let launch = if policy.is_empty() { launch } else { launch.env("COMPLIANCE_POLICY", policy) };
    lab.start_node_as(&cluster.one, launch).unwrap();
    cluster
}

/// A client that knows classic key exchanges only, at the tunnel port of a pod.
fn classic_client(cluster: &Cluster, to: &Pod) -> Program {
    openssl_client(cluster, to, &["-groups", "X25519:P-256"])
}

fn openssl_client(cluster: &Cluster, to: &Pod, options: &[&str]) -> Program {
    let launch = Launch::new("s_client", "/usr/bin/openssl", cluster.outsider.netns())
        .arg("s_client")
        .arg("-connect")
        .arg(format!("{}:15008", to.ip4()))
        .arg("-msg");
    let client = cluster.lab.start(options.iter().fold(launch, Launch::arg)).unwrap();
    client.wait_for_exit(SOON).unwrap();
    client
}

/// The groups that servers have chosen, as the wire has them.
fn chosen(capture: &Capture) -> Vec<u16> {
    capture.packets().iter().filter_map(|packet| group(&packet.payload)).collect()
}

/// The group of the key share in a segment that begins with a `ServerHello` (RFC 8446 §4.1.3).
fn group(segment: &[u8]) -> Option<u16> {
    const KEY_SHARE: u16 = 51;
    let [22, 3, _, _, _, 2, _, _, _, hello @ ..] = segment else { return None };
    // Version and random; session id; suite and compression; length of the extensions.
    let (_, rest) = hello.split_at_checked(34)?;
    let mut extensions = rest.get(1 + usize::from(*rest.first()?) + 3 + 2..)?;
    while let [k1, k0, l1, l0, body @ ..] = extensions {
        if u16::from_be_bytes([*k1, *k0]) == KEY_SHARE {
            return Some(u16::from_be_bytes(*body.first_chunk()?));
        }
        extensions = body.get(usize::from(u16::from_be_bytes([*l1, *l0]))..)?;
    }
    None
}

#[test]
fn by_default_tunnels_and_calls_to_the_control_plane_are_post_quantum() {
    let cluster = Cluster::without_mesh("pq-default").unwrap();
    let to_control = Wire::open(cluster.one.netns(), "to-control").unwrap();
    let between = cluster.lab.wire(&cluster.one, &cluster.two).unwrap();
    cluster.start_mesh().unwrap();
    let mut open = cluster.client.connect((cluster.server.ip4(), ECHO), SOON).unwrap();
    assert_alive(&mut open, b"in a tunnel");
    for (wire, least, what) in [(between, 1, "tunnels"), (to_control, 2, "mesh state and certificates")] {
        let groups = chosen(&wire.stop().unwrap());
        assert!(
            groups.len() >= least && groups.iter().all(|it| *it == X25519MLKEM768),
            "{what}: {groups:x?}"
        );
    }
    for (node, pod) in [(&cluster.one, &cluster.client), (&cluster.two, &cluster.server)] {
        let [connection] = &list(node, &format!("connections?{}", of(pod)))[..] else {
            panic!("one connection")
        };
        let tunnels = list(node, &format!("tunnels?{}", of(pod)));
        let tunnel =
            tunnels.iter().find(|it| it["id"] == connection["tunnel"]).expect("its tunnel is listed");
        assert_eq!(tunnel["tls"]["group"], "X25519MLKEM768", "{tunnel}");
        assert_eq!(connection["tls"], tunnel["tls"], "{connection}");
    }
}

#[test]
fn a_node_that_requires_it_meets_one_that_offers_it_and_refuses_who_does_not() {
    let cluster = start("pqc", "pqc");
    assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"there");
    assert_echo(&cluster.server, (cluster.client.ip4(), ECHO), b"and back");
    let refused = classic_client(&cluster, &cluster.client).log_text();
    assert!(refused.contains("handshake_failure") && !refused.contains("Certificate"), "{refused}");
}

#[test]
fn a_node_that_only_prefers_it_meets_classic_peers_and_says_so() {
    let cluster = start("classic", "");
    let met = classic_client(&cluster, &cluster.client).log_text();
    assert!(met.contains("CertificateVerify"), "{met}");
    let identity = "spiffe://cluster.local/ns/default/sa/classic";
    let certificate = Authority::of_control(&cluster.lab).issue(cluster.lab.directory(), identity);
    let mut peer = Rogue::enter(&cluster.outsider, (cluster.client.ip4(), 15008), &certificate);
    peer.begin();
    let wanted = connect((cluster.client.ip4(), ECHO).into());
    peer.frame(kind::HEADERS, flag::END_HEADERS, 1, &wanted);
    assert_eq!(status(&peer.wait_for(|frame| frame.kind == kind::HEADERS && frame.stream == 1)), 200);
    for what in ["connections", "tunnels"] {
        let [one] = &list(&cluster.one, &format!("{what}?{}", of(&cluster.client)))[..] else {
            panic!("one of the {what}")
        };
        assert_eq!(one["tls"]["group"], "X25519", "{one}");
        assert_eq!(one["tls"]["cipher"], "TLS13_AES_128_GCM_SHA256", "{one}");
    }
}

/// There is no such key exchange in TLS 1.2.
#[test]
fn to_allow_tls_1_2_does_not_allow_what_is_classic() {
    let settings = [("COMPLIANCE_POLICY", "pqc"), ("TLS12_ENABLED", "true")];
    let cluster = Cluster::start_with("pqc-tls12", &settings).unwrap();
    let refused = openssl_client(&cluster, &cluster.server, &["-tls1_2"]).log_text();
    assert!(refused.contains("fatal handshake_failure") && !refused.contains("ServerHello"), "{refused}");
    assert_echo(&cluster.client, (cluster.server.ip4(), ECHO), b"there");
}
