//! What a node of a small shop would say: every kind of thing, well and unwell. It is noon.

use culvert_api::{
    Agent, Answer, Attempt, Bytes, Certificate, Closer, Connection, ControlPlane, Culprit, Direction,
    Ejected, End, Identity, IdentityState, Limit, LimitOf, LimitUnit, Node, Outcome, Page, Pod, PodRef,
    PodState, Protocol, Question, Reachability, Socket, Stage, State, Step, Tls, Traffic, Tunnel,
    TunnelState, Verdict, Why,
};
use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub(crate) fn noon() -> OffsetDateTime {
    OffsetDateTime::parse("2026-03-01T12:00:00Z", &Rfc3339).unwrap()
}

/// Answers like a node: each list on one page.
pub(crate) fn shop(target: &str) -> (u16, String) {
    let body = match target.split('?').next().unwrap_or_default() {
        "/v1/node" => said(&node()),
        "/v1/pods" => page(&pods()),
        "/v1/identities" => page(&identities()),
        "/v1/connections" => page(&connections()),
        "/v1/tunnels" => page(&tunnels()),
        "/v1/limits" => page(&limits()),
        "/v1/ejected" => page(&[ejected()]),
        "/v1/refusals" => page(&refusals()),
        "/v1/recent" => page(&recent()),
        "/v1/traffic" => page(&traffic()),
        "/v1/workloads" => page(&workloads()),
        "/v1/services" => page(&services()),
        "/v1/policies" => page(&policies()),
        "/v1/why" => said(&denied()),
        _ => return (404, "not here".to_owned()),
    };
    (200, body)
}

/// Answers like a node that has just begun.
pub(crate) fn nothing(target: &str) -> (u16, String) {
    match shop(target) {
        (200, _) if !target.starts_with("/v1/node") => (200, page::<u8>(&[])),
        other => other,
    }
}

pub(crate) fn said(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

pub(crate) fn page<T: Serialize + Clone>(items: &[T]) -> String {
    said(&Page { items: items.to_vec(), next: None })
}

pub(crate) fn node() -> Node {
    let up = ControlPlane {
        address: Some("istiod.istio-system.svc:15012".into()),
        state: Reachability::Up,
        since: Some("2026-03-01T09:00:00Z".into()),
        last_update: Some("2026-03-01T11:59:00Z".into()),
        error: None,
        version: Some("1.27.0".into()),
    };
    Node {
        name: Some("node-a".into()),
        version: "0.1.0".into(),
        network: "net1".into(),
        started: "2026-02-27T12:00:00Z".into(),
        ready: true,
        pending: Vec::new(),
        ca: ControlPlane {
            state: Reachability::Down,
            since: Some("2026-03-01T11:55:00Z".into()),
            error: Some("connection refused".into()),
            ..up.clone()
        },
        xds: up,
        agent: Some(Agent { socket: "/run/a.sock".into(), connected: true, since: None }),
        workloads: 12,
        services: 3,
        policies: 2,
        log_filter: "info".into(),
        dropped_log_lines: 0,
        pods: 2,
        open: 2,
        tunnels: 2,
    }
}

fn pod_ref(name: &str) -> PodRef {
    PodRef { namespace: "shop".into(), name: name.into() }
}

pub(crate) fn pods() -> Vec<Pod> {
    let up = Pod {
        uid: "7d0f0e4e".into(),
        namespace: "shop".into(),
        name: "web-1".into(),
        service_account: "web".into(),
        identity: Some("spiffe://cluster.local/ns/shop/sa/web".into()),
        state: PodState::Up,
        reason: None,
        next_try: None,
        since: "2026-03-01T11:00:00Z".into(),
        open: 2,
        connections: 1234,
        refused: 3,
        broken: 0,
        bytes: Bytes { to_server: 1_234_567, to_client: 89 },
    };
    let pending = Pod {
        name: "api-1".into(),
        uid: "9c1b".into(),
        identity: None,
        state: PodState::Pending,
        next_try: Some("2026-03-01T12:00:08Z".into()),
        reason: Some("no workload of the mesh state has this pod".into()),
        open: 0,
        connections: 0,
        refused: 0,
        bytes: Bytes::default(),
        ..up.clone()
    };
    let elsewhere = Pod { namespace: "billing".into(), name: "web-9".into(), ..up.clone() };
    vec![up, pending, elsewhere]
}

pub(crate) fn identities() -> Vec<Identity> {
    let certificate = |serial: &str, expires: &str| Certificate {
        serial_number: serial.into(),
        valid_from: "2026-03-01T00:00:00Z".into(),
        expires: expires.into(),
    };
    let name = |account: &str| format!("spiffe://cluster.local/ns/shop/sa/{account}");
    let root = certificate("1", "2036-03-01T00:00:00Z");
    let good = Identity {
        identity: name("web"),
        state: IdentityState::Available,
        error: None,
        pods: vec![pod_ref("web-1"), pod_ref("web-2")],
        chain: vec![certificate("2716", "2026-03-02T00:00:00Z"), certificate("7", "2027-03-01T00:00:00Z")],
        roots: vec![root.clone()],
    };
    let soon = Identity {
        identity: name("api"),
        error: Some("the authority does not answer".into()),
        pods: vec![pod_ref("api-1")],
        chain: vec![certificate("12", "2026-03-01T12:20:00Z")],
        ..good.clone()
    };
    let none = Identity {
        identity: name("cron"),
        state: IdentityState::Unavailable,
        error: Some("the authority says no: not on this node".into()),
        pods: vec![pod_ref("cron-1")],
        chain: Vec::new(),
        roots: Vec::new(),
    };
    vec![good, soon, none]
}

fn end(name: &str, address: &str) -> End {
    End {
        address: address.into(),
        workload: Some(format!("{name}-1")),
        owner: Some(name.into()),
        namespace: Some("shop".into()),
        cluster: None,
        identity: Some(format!("spiffe://cluster.local/ns/shop/sa/{name}")),
        service: None,
    }
}

fn socket(rtt_microseconds: u64, retransmits: u64) -> Socket {
    Socket { rtt_microseconds, retransmits, ..Socket::default() }
}

fn tls() -> Tls {
    Tls {
        version: "TLSv1_3".into(),
        cipher: "TLS13_AES_128_GCM_SHA256".into(),
        group: Some("X25519MLKEM768".into()),
    }
}

pub(crate) fn connections() -> Vec<Connection> {
    let open = Connection {
        id: "00000000000000a1".into(),
        trace: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
        pod: pod_ref("web-1"),
        direction: Direction::Outbound,
        stage: Stage::Open,
        stage_milliseconds: 61_000,
        source: end("web", "10.1.0.5:40000"),
        destination: End {
            service: Some("api.shop.svc.cluster.local".into()),
            ..end("api", "10.1.1.6:8080")
        },
        original_destination: "10.96.0.7:80".into(),
        next_hop: "10.1.1.6:15008".into(),
        authority: Some("10.1.1.6:8080".into()),
        protocol: Protocol::Hbone,
        began: "2026-03-01T11:58:59Z".into(),
        milliseconds: 61_500,
        bytes: Bytes { to_server: 2_500_000, to_client: 900 },
        tunnel: Some("3f".into()),
        tls: Some(tls()),
        policy: None,
        socks: None,
        probe: false,
        attempts: Vec::new(),
        outcome: None,
        network: Some(socket(850, 2)),
        application: Some(socket(30, 0)),
    };
    let outside = Connection {
        id: "00000000000000b2".into(),
        trace: None,
        direction: Direction::Inbound,
        stage: Stage::Connecting,
        source: End { address: "192.0.2.9:5555".into(), ..End::default() },
        destination: end("web", "10.1.0.5:8080"),
        protocol: Protocol::Tcp,
        milliseconds: 120,
        bytes: Bytes::default(),
        network: None,
        tunnel: None,
        tls: None,
        ..open.clone()
    };
    vec![open, outside]
}

pub(crate) fn refusals() -> Vec<Connection> {
    let [open, outside] = <[Connection; 2]>::try_from(connections()).unwrap();
    let outcome = Outcome {
        state: State::Refused,
        ended: "2026-03-01T11:59:57Z".into(),
        closed_by: Some(Closer::Proxy),
        reason: Some("policy_denied".into()),
        how: None,
        error: Some("policy shop/web-callers does not allow this".into()),
        flag: Some("DENY".into()),
    };
    let refused = Connection {
        stage: Stage::Ended,
        stage_milliseconds: 3_000,
        outcome: Some(outcome.clone()),
        ..outside
    };
    let broken = Outcome {
        state: State::Broken,
        reason: Some("reset_by_server".into()),
        how: None,
        error: Some("the server has reset the connection".into()),
        closed_by: Some(Closer::Server),
        flag: None,
        ..outcome
    };
    let attempt = Attempt {
        address: "10.1.1.7:8080".into(),
        reason: "connect_timeout".into(),
        error: "no answer".into(),
    };
    let broken = Connection {
        id: "00000000000000c3".into(),
        stage: Stage::Ended,
        stage_milliseconds: 130_000,
        attempts: vec![attempt],
        outcome: Some(broken),
        ..open
    };
    vec![refused, broken]
}

pub(crate) fn recent() -> Vec<Connection> {
    let [open, _] = <[Connection; 2]>::try_from(connections()).unwrap();
    let outcome = Outcome {
        state: State::Complete,
        ended: "2026-03-01T11:59:59Z".into(),
        closed_by: Some(Closer::Client),
        reason: None,
        how: None,
        error: None,
        flag: None,
    };
    let complete =
        Connection { stage: Stage::Ended, stage_milliseconds: 1_000, outcome: Some(outcome), ..open };
    [vec![complete], refusals()].concat()
}

pub(crate) fn traffic() -> Vec<Traffic> {
    let to_api = Traffic {
        direction: Direction::Outbound,
        source: End { address: String::new(), ..end("web", "") },
        destination: end("api", "10.1.1.6:8080"),
        protocol: Protocol::Hbone,
        open: 1,
        half_closed: 1,
        oldest_half_closed_milliseconds: Some(90_000),
        connections: 40,
        refused: 0,
        broken: 1,
        bytes: Bytes { to_server: 5_000_000, to_client: 70_000 },
        last_reason: Some("reset_by_server".into()),
        last_seen: "2026-03-01T11:59:59Z".into(),
    };
    let from_outside = Traffic {
        direction: Direction::Inbound,
        source: End { address: "192.0.2.9:5555".into(), ..End::default() },
        destination: end("web", "10.1.0.5:8080"),
        protocol: Protocol::Tcp,
        open: 0,
        half_closed: 0,
        oldest_half_closed_milliseconds: None,
        connections: 7,
        refused: 7,
        broken: 0,
        bytes: Bytes::default(),
        last_reason: Some("policy_denied".into()),
        last_seen: "2026-03-01T11:59:57Z".into(),
    };
    vec![to_api, from_outside]
}

pub(crate) fn tunnels() -> Vec<Tunnel> {
    let out = Tunnel {
        id: "3f".into(),
        pod: pod_ref("web-1"),
        direction: Direction::Outbound,
        state: TunnelState::Open,
        identity: "spiffe://cluster.local/ns/shop/sa/web".into(),
        peer_identity: "spiffe://cluster.local/ns/shop/sa/api".into(),
        local_address: Some("10.1.0.5:41000".into()),
        peer_address: "10.1.1.6:15008".into(),
        since: "2026-03-01T11:50:00Z".into(),
        streams: 1,
        capacity: 100,
        tls: tls(),
        network: Some(socket(850, 2)),
    };
    let silent = Tunnel {
        id: "40".into(),
        state: TunnelState::Doubtful,
        peer_address: "10.1.1.7:15008".into(),
        streams: 12,
        network: None,
        ..out.clone()
    };
    vec![out, silent]
}

pub(crate) fn ejected() -> Ejected {
    Ejected {
        pod: pod_ref("web-1"),
        workload: "Kubernetes//Pod/shop/api-2".into(),
        address: "10.1.1.7:8080".into(),
        seconds: 30,
        seconds_left: 12,
    }
}

fn limits() -> Vec<Limit> {
    let queries = Limit {
        name: "dns_queries_of_a_pod".into(),
        about: "queries that wait for other servers; one more is answered with SERVFAIL".into(),
        of: LimitOf::Pod,
        unit: LimitUnit::Count,
        most: Some(1024),
        setting: None,
        in_use: Some(7),
        highest: Some(1024),
        hits: 3,
        remedy: "look at the pod's nameservers".into(),
    };
    let accept = Limit {
        name: "accept_deadline".into(),
        about: "time a peer has to prove who it is; then it is disconnected".into(),
        of: LimitOf::Connection,
        unit: LimitUnit::Milliseconds,
        most: Some(10_000),
        in_use: None,
        highest: None,
        hits: 0,
        ..queries.clone()
    };
    vec![accept, queries]
}

fn workloads() -> Vec<serde_json::Value> {
    vec![
        json!({"workloadIps": ["10.1.1.6"], "protocol": "HBONE", "networkMode": "Standard", "uid": "Kubernetes//Pod/shop/api-1",
            "name": "api-1", "namespace": "shop", "serviceAccount": "api", "network": "net1", "node": "node-b", "status": "Healthy",
            "services": ["shop/api.shop.svc.cluster.local"], "clusterId": "Kubernetes", "capacity": 1, "colour": "new in a later version"}),
        json!({"workloadIps": [], "hostname": "db.example.com", "protocol": "TCP", "networkMode": "Standard", "name": "db",
            "namespace": "shop", "status": "Unhealthy", "clusterId": "Kubernetes", "capacity": 1,
            "waypoint": {"destination": "shop/waypoint.shop.svc.cluster.local", "hboneMtlsPort": 15008}}),
    ]
}

fn services() -> Vec<serde_json::Value> {
    vec![
        json!({"name": "api", "namespace": "shop", "hostname": "api.shop.svc.cluster.local", "vips": ["net1/10.96.0.7", "/fd00::7"],
        "ports": {"80": 8080, "9090": 9090}, "subjectAltNames": [], "canonical": true, "visibility": "Public",
        "endpoints": {"a": {"workloadUid": "a", "port": {"80": 8080}, "status": "Healthy"},
                      "b": {"workloadUid": "b", "port": {"80": 8080}, "status": "Unhealthy"}}}),
    ]
}

fn policies() -> Vec<serde_json::Value> {
    vec![
        json!({"name": "web-callers", "namespace": "shop", "scope": "WorkloadSelector", "action": "Allow", "dryRun": false,
        "rules": [[[{"namespaces": [{"Exact": "shop"}]}]]]}),
    ]
}

/// A question about a connection nobody may make.
pub(crate) fn denied() -> Why {
    let step = |what: &str, answer, found: &str| Step { what: what.into(), answer, found: found.into() };
    Why {
        question: Question::Hypothetical { source: "shop/web-1".into(), destination: "shop/api:80".into() },
        steps: vec![
            step("source", Answer::Pass, "shop/web-1 is a pod of this node"),
            step("service port", Answer::Pass, "shop/api has port 80, which is 8080 of 2 endpoints"),
            step("waypoint", Answer::Note, "there is none"),
            step(
                "policy",
                Answer::Stop,
                "shop/web-callers does not allow spiffe://cluster.local/ns/shop/sa/web",
            ),
            step("tunnel", Answer::Unknown, "there was none lately"),
        ],
        verdict: Verdict {
            culprit: Culprit::Policy,
            sentence: "The policy shop/web-callers lets in others, and not this caller.".into(),
            evidence: vec!["7 of 7 such connections were refused in the last 10 minutes".into()],
            remedy: Some(
                "Add a rule for service account web to AuthorizationPolicy web-callers in namespace shop."
                    .into(),
            ),
        },
        connection: None,
    }
}

/// A question about a connection nothing is wrong with.
pub(crate) fn fine() -> Why {
    let mut why = denied();
    why.question = Question::Connection { id: "00000000000000a1".into() };
    why.steps.truncate(2);
    why.verdict = Verdict {
        culprit: Culprit::Nobody,
        sentence: "The connection is open, and both sides take what the other sends.".into(),
        evidence: Vec::new(),
        remedy: None,
    };
    why.connection = connections().into_iter().next().map(Box::new);
    why
}
