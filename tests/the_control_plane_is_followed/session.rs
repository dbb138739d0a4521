//! The conversation: who asks, what is accepted, and what is said when a stream is opened again.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use culvert_lab::wait_until;
use culvert_proto::xds::{DeltaDiscoveryRequest, Node};
use prost_types::value::Kind;
use rustls::NamedGroup;
use tonic::Status;

use crate::harness::ads::resources::{corrupt, names, of_yaml};
use crate::harness::ads::{ADDRESS, AUTHORIZATION};
use crate::harness::cluster::{ECHO, service_port};
use crate::harness::metrics::counter;
use crate::harness::scripted::Rig;
use crate::harness::talk::{Ending, SOON, assert_echo, exchange};

fn claims(request: &DeltaDiscoveryRequest) -> BTreeMap<&str, &str> {
    let claims = request.initial_resource_versions.iter();
    claims.map(|(name, version)| (name.as_str(), version.as_str())).collect()
}

#[track_caller]
fn assert_introduced(node: &Node) {
    assert_eq!(node.id, "ztunnel~10.1.2.3~culvert-abc.mesh-system~mesh-system.svc.cluster.local");
    let fields = &node.metadata.as_ref().unwrap().fields;
    let text = |name: &str| match &fields[name].kind {
        Some(Kind::StringValue(text)) => text.as_str(),
        other => panic!("{name} is {other:?}"),
    };
    let said = ["NAME", "NAMESPACE", "INSTANCE_IPS", "NODE_NAME", "DNS_CAPTURE", "CLUSTER_ID"].map(text);
    assert_eq!(said, ["culvert-abc", "mesh-system", "10.1.2.3", "one", "true", "cluster-7"]);
    let Some(Kind::ListValue(list)) = &fields["LIST"].kind else { panic!("{:?}", fields["LIST"]) };
    let kinds: Vec<_> = list.values.iter().map(|value| value.kind.clone().unwrap()).collect();
    assert_eq!(kinds[..3], [Kind::NumberValue(1.0), Kind::NullValue(0), Kind::BoolValue(true)]);
    assert!(matches!(kinds[3], Kind::StructValue(_)), "{kinds:?}");
}

#[test]
fn it_asks_for_everything_and_says_who_it_is() {
    let rig = Rig::new("ads-first");
    let launch = rig
        .launch()
        .env("XDS_HEADER_X_Team", "blue")
        .env("POD_NAME", "culvert-abc")
        .env("POD_NAMESPACE", "mesh-system")
        .env("INSTANCE_IP", "10.1.2.3")
        .env("ISTIO_META_DNS_CAPTURE", "true")
        .env("ISTIO_METAJSON_LIST", "[1, null, true, {\"a\": \"b\"}]")
        .env("ISTIO_META_CLUSTER_ID", "cluster-7");
    rig.lab.start(launch).unwrap();
    let mut stream = rig.ads.accept();
    let token = fs::read_to_string(rig.node.token_file()).unwrap();
    assert_eq!(stream.header("authorization"), Some(format!("Bearer {token}").as_str()));
    assert_eq!(stream.header("clusterid"), Some("cluster-7"));
    assert_eq!(stream.header("x_team"), Some("blue"));
    for request in stream.opening() {
        assert!(request.resource_names_subscribe.is_empty() && request.resource_names_unsubscribe.is_empty());
        assert!(request.initial_resource_versions.is_empty() && request.response_nonce.is_empty());
        assert_introduced(&request.node.expect("the first request of a type says who asks"));
    }
    stream.assert_quiet();
}

#[test]
fn a_server_that_says_when_to_come_back_is_left_alone_until_then() {
    let rig = Rig::new("ads-pushback");
    let mut status = Status::unavailable("in a moment");
    status.metadata_mut().insert("grpc-retry-pushback-ms", "1500".parse().unwrap());
    rig.ads.refuse(Some(status));
    rig.lab.start(rig.launch()).unwrap();
    let visits = || rig.ads.endpoint.visits();
    wait_until(SOON, "it has come three times", || visits().len() >= 3).unwrap();
    for pair in visits().windows(2) {
        let gap = pair[1].at - pair[0].at;
        assert!((1450..2750).contains(&gap.as_millis()), "{gap:?}");
    }
    rig.ads.refuse(None);
    rig.ads.sync(&rig.told());
}

#[test]
fn the_key_exchange_is_post_quantum_when_the_control_plane_can() {
    let (rig, _stream, _program) = Rig::start("ads-hybrid");
    for endpoint in [&rig.ads.endpoint, &rig.ca.endpoint] {
        assert_eq!(endpoint.visits()[0].handshake, Some(Ok(NamedGroup::X25519MLKEM768)));
    }
}

#[test]
fn it_is_ready_when_both_types_were_answered_even_if_one_resource_was_bad() {
    let rig = Rig::new("ads-ready");
    rig.lab.start(rig.launch()).unwrap();
    let mut stream = rig.ads.accept();
    stream.opening();
    let mut told = rig.told();
    told.addresses.insert(1, corrupt(ADDRESS, "c//Pod/n/corrupt"));
    let answer = stream.push(ADDRESS, told.addresses, &[]);
    let refusal = answer.error_detail.expect("a bad resource is refused");
    assert!(refusal.message.contains("c//Pod/n/corrupt"), "{refusal:?}");
    rig.wait_until_it_says(&["state manager"]);
    assert!(!rig.client.listens(15001).unwrap(), "nobody is served by half of the truth");
    stream.tell(AUTHORIZATION, told.policies);
    rig.wait_until_ready();
    // The good ones of the refused response are in force.
    rig.wait_until_served();
}

#[test]
fn what_was_accepted_is_claimed_on_the_next_stream_and_what_was_not_is_not() {
    let (rig, mut stream, _program) = Rig::start("ads-claims");
    let bad = [corrupt(ADDRESS, "c//Pod/n/corrupt")];
    assert!(stream.push(ADDRESS, bad.to_vec(), &[]).error_detail.is_some());
    let told = rig.told();
    stream.fail(Status::aborted("as the test wants"));

    let mut stream = rig.ads.accept();
    let [addresses, policies] = stream.opening();
    let versions = told.addresses.iter().map(|it| (it.name.as_str(), it.version.as_str()));
    assert_eq!(claims(&addresses), versions.collect());
    assert_eq!(claims(&policies), BTreeMap::new());
    assert_eq!(counter(&rig.node, "istio_xds_connection_terminations_total", &["reason=\"Error\""]), 1);
    // Nothing was dropped meanwhile, and what is gone by now goes.
    let web = (rig.web.ip4(), service_port(ECHO));
    assert_echo(&rig.client, web, b"still there");
    let key = format!("default/{}", rig.web.hostname());
    assert!(names(&told.addresses).contains(&key.as_str()));
    stream.remove(ADDRESS, &[&key]);
    assert_ne!(exchange(&rig.client, web, b"gone"), Ending::Complete(b"gone".to_vec()));
    assert!(rig.works());
}

#[test]
fn a_changed_resource_is_claimed_with_its_new_version_and_a_bad_change_with_the_old_one() {
    let (rig, mut stream, _program) = Rig::start("ads-versions");
    let server = rig.told().address("Kubernetes//Pod/default/server");
    let mut changed = server.clone();
    changed.version = "newer".to_owned();
    stream.tell(ADDRESS, vec![changed]);
    let mut bad = corrupt(ADDRESS, &server.name);
    bad.version = "newest".to_owned();
    assert!(stream.push(ADDRESS, vec![bad], &[]).error_detail.is_some());
    assert!(rig.works(), "a bad change leaves what was there");
    drop(stream);
    let [addresses, _] = rig.ads.accept().opening();
    assert_eq!(claims(&addresses)[server.name.as_str()], "newer");
}

#[test]
fn a_type_nobody_asked_for_is_refused_and_does_no_harm() {
    let (rig, mut stream, _program) = Rig::start("ads-type");
    let answer = stream.push("type.example/strange", vec![corrupt("type.example/strange", "x")], &[]);
    assert!(answer.error_detail.unwrap().message.contains("type.example/strange"));
    assert!(rig.works());
}

#[test]
fn names_nobody_knows_are_removed_without_harm() {
    let (rig, mut stream, _program) = Rig::start("ads-removals");
    let server = "Kubernetes//Pod/default/server";
    stream.remove(ADDRESS, &["/invalid", "nobody", "default/nobody.example", "c//Pod/n/nobody"]);
    assert!(rig.works());
    // Both removed and there is there.
    let answer = stream.push(ADDRESS, vec![rig.told().address(server)], &[server]);
    assert_eq!(answer.error_detail, None);
    assert!(rig.works());
    assert_echo(&rig.client, (rig.web.ip4(), service_port(ECHO)), b"still a member");
}

#[test]
fn a_refusal_is_short_however_much_is_wrong() {
    let (rig, mut stream, _program) = Rig::start("ads-refusal");
    let bad = (0..5000).map(|n| corrupt(ADDRESS, &format!("c//Pod/n/corrupt-{n}"))).collect();
    let refusal = stream.push(ADDRESS, bad, &[]).error_detail.unwrap();
    assert!(refusal.message.contains("c//Pod/n/corrupt-0"), "{}", refusal.message);
    assert!(refusal.message.len() < 16 * 1024, "{} bytes", refusal.message.len());
    assert_ne!(refusal.code, 0);
    assert!(rig.works());
}

/// Servers commonly read messages of up to 4 MiB, as this one does.
#[test]
fn claims_that_fit_no_message_come_in_several() {
    const MANY: usize = 40_000;
    let (rig, mut stream, _program) = Rig::start("ads-large");
    let entry = |n: usize| format!("- {{uid: k//Pod/many/{n:0120}, namespace: many, workloadIps: []}}\n");
    let many = of_yaml(&format!("workloads:\n{}", (0..MANY).map(entry).collect::<String>()));
    stream.tell(ADDRESS, many.addresses);
    drop(stream);
    let mut stream = rig.ads.accept();
    let mut claimed = 0;
    let mut requests = 0;
    loop {
        let request = stream.request();
        assert_eq!(request.node.is_some(), requests == 0 || request.type_url == AUTHORIZATION);
        if request.type_url == AUTHORIZATION {
            break;
        }
        assert!(request.resource_names_subscribe.is_empty());
        (claimed, requests) = (claimed + request.initial_resource_versions.len(), requests + 1);
    }
    assert_eq!(claimed, MANY + rig.told().addresses.len());
    assert!(requests > 1, "{requests}");
}

#[test]
fn the_token_is_read_anew_for_each_stream() {
    let (rig, stream, _program) = Rig::start("ads-token");
    assert!(stream.header("authorization").unwrap().starts_with("Bearer lab-token"));
    // Editors and secret volumes end a file with a newline.
    fs::write(rig.node.token_file(), "another-token\n").unwrap();
    drop(stream);
    assert_eq!(rig.ads.accept().header("authorization"), Some("Bearer another-token"));
}

/// However a stream ends, the next comes soon but not at once: a thousand nodes that spin would be an attack.
#[test]
fn streams_that_end_at_once_are_not_opened_in_a_loop() {
    let rig = Rig::new("ads-spin");
    let program = rig.lab.start(rig.launch()).unwrap();
    let begun = Instant::now();
    let mut opened = 0;
    while begun.elapsed() < Duration::from_secs(4) {
        for mut stream in rig.ads.accept_for(Duration::from_millis(100)) {
            opened += 1;
            match opened % 4 {
                0 => stream.fail(Status::unavailable("transport is closing")),
                1 => stream.fail(Status::permission_denied("no")),
                2 => drop(stream),
                _ => {
                    // After an answer it counts as a stream that broke, not as one that was never open.
                    stream.push(AUTHORIZATION, Vec::new(), &[]);
                }
            }
        }
    }
    assert!((3..=12).contains(&opened), "{opened} streams in {:?}", begun.elapsed());
    let visits = rig.ads.endpoint.visits();
    let gaps = visits.windows(2).map(|pair| pair[1].at - pair[0].at);
    assert!(gaps.clone().all(|gap| gap > Duration::from_millis(25)), "{:?}", gaps.collect::<Vec<_>>());
    assert!(program.is_running());
}
