//! What the authority is asked, and in which order.

use std::process::Command;

use culvert_lab::{Pod, PodSpec};
use culvert_sys::child::die_with_parent;
use prost_types::value::Kind;

use crate::harness::authority::Asked;
use crate::harness::cluster::{ECHO, serve_all};
use crate::harness::endpoint::Groups;
use crate::harness::scripted::Rig;
use crate::harness::talk::{Ending, SOON, exchange};
use crate::harness::tunnel::knock;

/// What `openssl` reads in a request.
#[track_caller]
fn printed(rig: &Rig, asked: &Asked) -> String {
    let file = rig.lab.directory().join("request.pem");
    std::fs::write(&file, &asked.message.csr).unwrap();
    let mut command = Command::new("openssl");
    command.args(["req", "-verify", "-noout", "-text", "-in"]).arg(&file);
    let output = die_with_parent(&mut command).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8(text).unwrap()
}

#[test]
fn a_request_is_as_authorities_want_it() {
    let rig = Rig::new("ca-request");
    let launch = rig
        .launch()
        .env("SECRET_TTL", "90m")
        .env("CA_HEADER_X_Team", "green")
        .env("CLUSTER_ID", "cluster-9")
        .env("AUTH_TOKEN", "literal-token");
    let _running = rig.run(launch);
    let identity = rig.client.identity();
    let asked = rig.ca.wait_for(&identity, 1).remove(0);
    let header = |name: &str| asked.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(header("authorization"), Some("Bearer literal-token"));
    assert_eq!(header("clusterid"), Some("cluster-9"));
    assert_eq!(header("x_team"), Some("green"));
    assert_eq!(asked.message.validity_duration, 5400);
    let fields = &asked.message.metadata.as_ref().unwrap().fields;
    assert_eq!(fields.len(), 1);
    assert_eq!(fields["ImpersonatedIdentity"].kind, Some(Kind::StringValue(identity.clone())));

    let text = printed(&rig, &asked);
    for part in [
        "verify OK",
        "Subject: \n",
        "NIST CURVE: P-256",
        "Signature Algorithm: ecdsa-with-SHA256",
        "X509v3 Subject Alternative Name: critical\n",
        &format!("URI:{identity}\n"),
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert_eq!(text.matches("X509v3").count(), 1, "{text}");
    assert_eq!(text.matches("Requested Extensions").count(), 1, "{text}");
    assert!(!text.contains("challengePassword") && !text.contains("DNS:"), "{text}");
    let other = rig.ca.wait_for(&rig.server.identity(), 1).remove(0);
    assert_ne!(printed(&rig, &other), text, "another key");
}

#[test]
fn a_proxy_for_one_pod_asks_as_the_pod() {
    let rig = Rig::new("ca-dedicated");
    let launch = rig.led_here(rig.lab.dedicated_launch(&rig.client).unwrap()).env("PACKET_MARK", 1337);
    rig.lab.start(launch).unwrap();
    let _stream = rig.ads.sync(&rig.told());
    let listens = || rig.client.listens(15008).unwrap();
    rig.lab.wait_until(SOON, "the proxy listens", listens).unwrap();
    let peer = rig.ca.root.workload("spiffe://cluster.local/ns/default/sa/peer");
    knock(&rig.outsider, (rig.client.ip4(), 15008), &peer, Groups::All).unwrap();
    let asked = rig.ca.asked_for(&rig.client.identity());
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].message.metadata, None);
    assert!(rig.ca.asked_for(&rig.server.identity()).is_empty());
}

#[test]
fn many_connections_ask_once() {
    let rig = Rig::new("ca-once");
    rig.ca.hold();
    rig.lab.start(rig.launch()).unwrap();
    let _stream = rig.ads.sync(&rig.told());
    rig.wait_until_captured(&[&rig.client, &rig.server]);
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..20).map(|_| scope.spawn(|| rig.call())).collect();
        rig.ca.wait_for(&rig.client.identity(), 1);
        rig.ca.wait_for(&rig.server.identity(), 1);
        rig.ca.release();
        for call in calls {
            assert_eq!(call.join().unwrap(), Ending::Complete(b"hello".to_vec()));
        }
    });
    assert_eq!(rig.ca.asked().len(), 2);
}

/// A pod that arrives and is captured with an identity of its own.
fn another(rig: &Rig, name: &str) -> Pod {
    let pod = rig.lab.pod(&rig.node, PodSpec::new(name).service_account(name)).unwrap();
    rig.lab.enrol(&pod).unwrap();
    pod
}

/// Six calls may be under way that nobody waits for; two more are kept free for connections.
#[test]
fn a_connection_does_not_wait_behind_pods_that_warm_up() {
    let rig = Rig::new("ca-priority");
    let pods: Vec<_> = (0..10).map(|n| another(&rig, &format!("pod-{n}"))).collect();
    serve_all(&rig.lab, &pods[0]).unwrap();
    rig.ca.hold();
    rig.lab.start(rig.launch()).unwrap();
    let _stream = rig.ads.sync(&rig.told());
    let all: Vec<_> = pods.iter().chain([&rig.client, &rig.server]).collect();
    rig.wait_until_captured(&all);
    let asked = |pod: &&&Pod| rig.ca.asked_for(&pod.identity()).len() == 1;
    let six = || all.iter().filter(asked).count() == 6;
    rig.lab.wait_until(SOON, "six pods warm up", six).unwrap();
    let last = all.iter().rev().find(|pod| !asked(pod)).unwrap();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| exchange(last, (rig.outsider.ip4(), ECHO), b"at once"));
        let tunnelled = scope.spawn(|| exchange(last, (pods[0].ip4(), ECHO), b"at once"));
        rig.ca.wait_for(&last.identity(), 1);
        assert!(all.iter().filter(asked).count() <= 8, "those nobody waits for still wait");
        rig.ca.release();
        assert_eq!(tunnelled.join().unwrap(), Ending::Complete(b"at once".to_vec()));
        assert_eq!(call.join().unwrap(), Ending::Complete(b"at once".to_vec()));
    });
    for pod in &all {
        rig.ca.wait_for(&pod.identity(), 1);
    }
}

#[test]
fn a_certificate_is_kept_for_as_long_as_a_pod_of_this_node_needs_it() {
    let rig = Rig::new("ca-kept");
    let twin = |name: &str| rig.lab.pod(&rig.node, PodSpec::new(name).service_account("twin")).unwrap();
    let (one, two) = (twin("one"), twin("two"));
    let elsewhere = PodSpec::new("elsewhere").service_account("elsewhere").mesh_keys("nativeTunnel: true");
    rig.lab.pod(&rig.lab.node("three").unwrap(), elsewhere).unwrap();
    rig.lab.enrol_all(&[&one, &two]).unwrap();
    let _running = rig.run(rig.launch());
    rig.wait_until_captured(&[&one, &two]);
    let identity = one.identity();
    let state = || rig.certificate(&identity)["state"].clone();
    rig.lab.wait_until(SOON, "the twins have a certificate", || state() == "Available").unwrap();
    assert_eq!(rig.ca.asked_for(&identity).len(), 1);
    assert!(rig.ca.asked().iter().all(|asked| !asked.identity.contains("elsewhere")), "not of this node");
    rig.lab.unenrol(&one).unwrap();
    assert_eq!(state(), "Available", "the other twin needs it");
    rig.lab.unenrol(&two).unwrap();
    rig.lab.wait_until(SOON, "the certificate is dropped", || state().is_null()).unwrap();
    assert!(!rig.certificate(&rig.client.identity()).is_null());
}
