//! What a node says to its control plane and how it takes what it is told, with a control plane the test plays itself.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use culvert_lab::{Program, http};
use culvert_proto::xds::{DeltaDiscoveryRequest, Resource};
use prost_types::value::Kind;
use tonic::Code;

use crate::harness::ads::{ADDRESS_TYPE, AUTHORIZATION_TYPE, Ads, Stream, resource, resources};
use crate::harness::cluster::{Cluster, ECHO};
use crate::harness::talk::{Ending, SOON, assert_echo, assert_reset, exchange};

const READINESS: ([u8; 4], u16) = ([127, 0, 0, 1], 15021);

/// The first node takes its mesh state from the test; everything else is as usual.
struct Rig {
    cluster: Cluster,
    ads: Ads,
    node: Program,
}

fn start(name: &str, settings: &[(&str, &str)]) -> Rig {
    let cluster = Cluster::without_mesh(name).unwrap();
    let lab = &cluster.lab;
    lab.enrol_all(&[&cluster.client, &cluster.neighbour, &cluster.server]).unwrap();
    lab.start_control().unwrap();
    lab.start_agent(&cluster.one).unwrap();
    lab.start_agent(&cluster.two).unwrap();
    lab.start_node(&cluster.two).unwrap();
    let ads = Ads::start(lab);
    let launch = ads.used_by(lab.node_launch(&cluster.one).unwrap());
    let launch = settings.iter().fold(launch, |launch, (name, value)| launch.env(name, value));
    let node = lab.start(launch).unwrap();
    Rig { cluster, ads, node }
}

impl Rig {
    /// What the real control plane would say.
    fn mesh(&self) -> (Vec<Resource>, Vec<Resource>) {
        resources(&fs::read_to_string(self.cluster.lab.mesh_file()).unwrap())
    }

    /// Accepts a stream with its first two requests, and says everything there is to say.
    fn serve(&self) -> Stream {
        let stream = self.ads.accept();
        stream.request();
        stream.request();
        let (addresses, policies) = self.mesh();
        stream.push(ADDRESS_TYPE, "a1", addresses, &[]);
        stream.push(AUTHORIZATION_TYPE, "p1", policies, &[]);
        self.wait_until_ready();
        stream
    }

    fn readiness(&self) -> Option<(u16, String)> {
        let answer = http::get(self.cluster.one.netns(), READINESS, "/healthz/ready").ok()?;
        Some((answer.status, answer.text()))
    }

    #[track_caller]
    fn wait_until_ready(&self) {
        let ready = || self.readiness().is_some_and(|(status, _)| status == 200);
        self.cluster.lab.wait_until(SOON, "the node is ready", ready).unwrap();
    }

    /// Asserts that the client reaches the server, on the other node.
    #[track_caller]
    fn assert_served(&self) {
        let server = (self.cluster.server.ip4(), ECHO);
        let served = || exchange(&self.cluster.client, server, b"hi") == Ending::Complete(b"hi".to_vec());
        self.cluster.lab.wait_until(SOON, "the client is served", served).unwrap();
    }
}

fn claims(request: &DeltaDiscoveryRequest) -> BTreeMap<&str, &str> {
    request
        .initial_resource_versions
        .iter()
        .map(|(name, version)| (name.as_str(), version.as_str()))
        .collect()
}

fn corrupt(type_url: &str, name: &str) -> Resource {
    resource(type_url, name, "1", b"\xff\xff\xff\xff".to_vec())
}

#[test]
fn it_asks_for_everything_and_says_who_it_is() {
    let settings = [
        ("XDS_HEADER_X_Team", "blue"),
        ("POD_NAME", "culvert-abc"),
        ("POD_NAMESPACE", "mesh-system"),
        ("INSTANCE_IP", "10.1.2.3"),
        ("ISTIO_META_DNS_CAPTURE", "true"),
        ("ISTIO_METAJSON_LIST", "[1, null]"),
        ("ISTIO_META_CLUSTER_ID", "cluster-7"),
    ];
    let rig = start("ads-first", &settings);
    let stream = rig.ads.accept();
    let header = |name: &str| stream.metadata.get(name).map(|value| value.to_str().unwrap().to_owned());
    let token = fs::read_to_string(rig.cluster.one.token_file()).unwrap();
    assert_eq!(header("authorization"), Some(format!("Bearer {token}")));
    assert_eq!(header("clusterid").as_deref(), Some("cluster-7"));
    assert_eq!(header("x_team").as_deref(), Some("blue"));

    let (first, second) = (stream.request(), stream.request());
    assert_eq!((&*first.type_url, &*second.type_url), (ADDRESS_TYPE, AUTHORIZATION_TYPE));
    for request in [&first, &second] {
        assert!(request.resource_names_subscribe.is_empty() && request.resource_names_unsubscribe.is_empty());
        assert!(request.initial_resource_versions.is_empty() && request.response_nonce.is_empty());
        let node = request.node.as_ref().expect("the first request of a type says who asks");
        assert_eq!(node.id, "ztunnel~10.1.2.3~culvert-abc.mesh-system~mesh-system.svc.cluster.local");
        let fields = &node.metadata.as_ref().unwrap().fields;
        let text = |name: &str| match &fields[name].kind {
            Some(Kind::StringValue(text)) => text.as_str(),
            other => panic!("{name} is {other:?}"),
        };
        let said = ["NAME", "NAMESPACE", "INSTANCE_IPS", "NODE_NAME", "DNS_CAPTURE", "CLUSTER_ID"].map(text);
        assert_eq!(said, ["culvert-abc", "mesh-system", "10.1.2.3", "one", "true", "cluster-7"]);
        assert!(matches!(fields["LIST"].kind, Some(Kind::ListValue(_))));
    }
    stream.assert_quiet(Duration::from_millis(300));
}

#[test]
fn it_is_ready_when_both_types_were_answered_even_if_one_resource_was_bad() {
    let rig = start("ads-ready", &[]);
    let stream = rig.ads.accept();
    stream.request();
    stream.request();
    let (mut addresses, policies) = rig.mesh();
    addresses.push(corrupt(ADDRESS_TYPE, "c//Pod/n/corrupt"));
    let answer = stream.push(ADDRESS_TYPE, "a1", addresses, &[]);
    let refusal = answer.error_detail.expect("a bad resource is refused");
    assert!(refusal.message.contains("c//Pod/n/corrupt"), "{refusal:?}");
    let (status, text) = rig.readiness().unwrap();
    assert_eq!(status, 500, "{text}");
    assert!(text.contains("state manager"), "{text}");
    let answer = stream.push(AUTHORIZATION_TYPE, "p1", policies, &[]);
    assert_eq!(answer.error_detail, None);
    rig.wait_until_ready();
    // The good ones of the refused response are in force.
    rig.assert_served();
}

#[test]
fn what_was_accepted_is_claimed_on_the_next_stream_and_what_was_not_is_not() {
    let rig = start("ads-claims", &[]);
    let stream = rig.serve();
    stream.push(ADDRESS_TYPE, "a2", vec![corrupt(ADDRESS_TYPE, "c//Pod/n/corrupt")], &[]);
    let (addresses, _) = rig.mesh();
    let kept: Vec<String> = addresses.iter().map(|it| it.name.clone()).collect();
    stream.abort(Code::Aborted, "as the test wants");

    let stream = rig.ads.accept();
    let (first, second) = (stream.request(), stream.request());
    let claimed = claims(&first);
    assert_eq!(claimed.len(), kept.len());
    assert!(kept.iter().all(|name| claimed[name.as_str()] == "1"), "{claimed:?}");
    assert!(claims(&second).is_empty());
    // Nothing was dropped meanwhile, and what is gone by now goes.
    rig.assert_served();
    let server = kept.iter().find(|name| name.ends_with("/server")).unwrap();
    stream.push(ADDRESS_TYPE, "a1", Vec::new(), &[server]);
    let position = rig.node.log_position();
    assert_eq!(
        exchange(&rig.cluster.client, (rig.cluster.server.ip4(), ECHO), b"plain"),
        Ending::Complete(b"plain".to_vec()),
        "what is not in the mesh is reached in plaintext"
    );
    let line = rig.node.wait_for_log_since(position, "connection complete", SOON).unwrap();
    assert!(!line.contains("dst.hbone_addr"), "{line}");
}

#[test]
fn an_invalid_policy_denies_what_it_would_have_governed_until_it_is_valid_or_gone() {
    let rig = start("ads-policy", &[]);
    let stream = rig.serve();
    let into = (rig.cluster.client.ip4(), ECHO);
    assert_echo(&rig.cluster.server, into, b"nobody minds");
    for (nonce, last) in [("p2", "removed"), ("p4", "replaced")] {
        let bad = vec![corrupt(AUTHORIZATION_TYPE, "default/broken")];
        let refusal = stream.push(AUTHORIZATION_TYPE, nonce, bad, &[]).error_detail.unwrap();
        assert!(refusal.message.contains("default/broken"), "{refusal:?}");
        let position = rig.node.log_position();
        assert_reset(&rig.cluster.server, into);
        let line = rig.node.wait_for_log_since(position, "default/broken", SOON).unwrap();
        assert!(line.contains("cannot be understood"), "{line}");
        if last == "removed" {
            stream.push(AUTHORIZATION_TYPE, "p3", Vec::new(), &["default/broken"]);
        } else {
            let (_, good) = resources(
                "policies: [{name: broken, namespace: default, scope: Namespace, action: Deny, rules: [], dryRun: false}]",
            );
            assert_eq!(stream.push(AUTHORIZATION_TYPE, "p5", good, &[]).error_detail, None);
        }
        assert_echo(&rig.cluster.server, into, b"and again nobody does");
    }
}

#[test]
fn a_type_nobody_asked_for_is_refused_and_does_no_harm() {
    let rig = start("ads-type", &[]);
    let stream = rig.serve();
    let answer = stream.push("type.example/strange", "x1", vec![corrupt("type.example/strange", "x")], &[]);
    assert!(answer.error_detail.unwrap().message.contains("type.example/strange"));
    rig.assert_served();
}

/// However a stream ends, the next comes soon but not at once: a thousand nodes that spin would be an attack.
#[test]
fn streams_that_end_at_once_are_not_opened_in_a_loop() {
    let rig = start("ads-spin", &[]);
    let begun = Instant::now();
    let mut opened = 0;
    while begun.elapsed() < Duration::from_secs(4) {
        for stream in rig.ads.count(Duration::from_millis(200)) {
            opened += 1;
            match opened % 3 {
                0 => stream.abort(Code::Unavailable, "transport is closing"),
                1 => stream.abort(Code::PermissionDenied, "no"),
                _ => drop(stream),
            }
        }
    }
    assert!((3..=12).contains(&opened), "{opened} streams in {:?}", begun.elapsed());
    assert!(rig.node.is_running());
}

const ON_DEMAND: [(&str, &str); 1] = [("XDS_ON_DEMAND", "true")];

/// Accepts a stream of a node on demand and tells it what it would be told unasked: its own workloads.
fn serve_on_demand(rig: &Rig) -> Stream {
    let stream = rig.ads.accept();
    let (first, second) = (stream.request(), stream.request());
    assert_eq!(first.resource_names_subscribe, ["*"]);
    assert_eq!(first.resource_names_unsubscribe, ["*"]);
    assert!(second.resource_names_subscribe.is_empty());
    stream.push(AUTHORIZATION_TYPE, "p1", Vec::new(), &[]);
    rig.wait_until_ready();
    let (addresses, _) = rig.mesh();
    let own =
        addresses.into_iter().filter(|it| it.name.ends_with("/client") || it.name.ends_with("/neighbour"));
    stream.push(ADDRESS_TYPE, "a1", own.collect(), &[]);
    let captured = || rig.cluster.client.is_captured() && rig.cluster.client.listens(15001).unwrap_or(false);
    rig.cluster.lab.wait_until(SOON, "the client is captured", captured).unwrap();
    stream
}

/// The address of a pod, as it is asked for.
fn key(ip: impl std::fmt::Display) -> String {
    format!("/{ip}")
}

#[test]
fn on_demand_a_connection_waits_for_what_its_destination_is_and_nothing_passes_meanwhile() {
    let rig = start("ads-demand", &ON_DEMAND);
    let stream = serve_on_demand(&rig);
    let server = rig.cluster.server.ip4();
    let wire = rig.cluster.lab.wire(&rig.cluster.one, &rig.cluster.two).unwrap();
    let exchanged = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..5)
            .map(|_| scope.spawn(|| exchange(&rig.cluster.client, (server, ECHO), b"who are you?")))
            .collect();
        let asked = stream.request();
        assert_eq!(asked.resource_names_subscribe, [key(server)], "five connections ask once");
        stream.assert_quiet(Duration::from_millis(300));
        let (addresses, _) = rig.mesh();
        let mut it = addresses.into_iter().find(|it| it.name.ends_with("/server")).unwrap();
        // The answer comes under its own name, with what was asked for as another one.
        it.aliases = vec![key(server)];
        stream.push(ADDRESS_TYPE, "a2", vec![it], &[]);
        calls.into_iter().map(|call| call.join().unwrap()).collect::<Vec<_>>()
    });
    for ending in exchanged {
        assert_eq!(ending, Ending::Complete(b"who are you?".to_vec()));
    }
    let capture = wire.stop().unwrap();
    assert_eq!(capture.tcp_ports(), [15008]);
    // It is known from then on.
    assert_echo(&rig.cluster.client, (server, ECHO), b"again");
    stream.assert_quiet(Duration::from_millis(300));
}

#[test]
fn on_demand_what_does_not_exist_is_not_in_the_mesh_and_not_asked_for_at_every_connection() {
    let rig = start("ads-unknown", &ON_DEMAND);
    let stream = serve_on_demand(&rig);
    let outsider = (rig.cluster.outsider.ip4(), ECHO);
    std::thread::scope(|scope| {
        let call = scope.spawn(|| exchange(&rig.cluster.client, outsider, b"stranger"));
        let asked = stream.request();
        assert_eq!(asked.resource_names_subscribe, [key(outsider.0)]);
        stream.push(ADDRESS_TYPE, "a2", Vec::new(), &[&key(outsider.0)]);
        assert_eq!(call.join().unwrap(), Ending::Complete(b"stranger".to_vec()));
    });
    assert_eq!(stream.request().resource_names_unsubscribe, [key(outsider.0)]);
    assert_echo(&rig.cluster.client, outsider, b"again");
    stream.assert_quiet(Duration::from_millis(300));
}

#[test]
fn on_demand_an_answer_that_does_not_come_ends_the_connection_and_is_explained() {
    let rig = start("ads-unanswered", &ON_DEMAND);
    let stream = serve_on_demand(&rig);
    let server = (rig.cluster.server.ip4(), ECHO);
    let begun = Instant::now();
    assert_reset(&rig.cluster.client, server);
    assert!((4..9).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    let line = rig.node.wait_for_log("demand_unanswered", SOON).unwrap();
    assert!(line.contains(&key(server.0)), "{line}");
    assert_eq!(stream.request().resource_names_subscribe, [key(server.0)]);
    assert_eq!(stream.request().resource_names_unsubscribe, [key(server.0)]);
}
