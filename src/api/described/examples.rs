//! A value of every shape with all there can be in it, and one with as little as possible.

use serde::Serialize;
use serde_json::Value;

use crate::*;

/// A shape by its name: an example with everything, and one with nothing that can be absent.
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) full: Value,
    pub(super) least: Value,
}

fn shape(name: &'static str, full: &impl Serialize, least: &impl Serialize) -> Shape {
    Shape { name, full: serde_json::to_value(full).unwrap(), least: serde_json::to_value(least).unwrap() }
}

fn text() -> String {
    "x".into()
}

fn some() -> Option<String> {
    Some(text())
}

fn pod_ref() -> PodRef {
    PodRef { namespace: text(), name: text() }
}

fn end() -> End {
    End {
        address: text(),
        workload: some(),
        owner: some(),
        namespace: some(),
        cluster: some(),
        identity: some(),
        service: some(),
    }
}

fn attempt() -> Attempt {
    Attempt { address: text(), reason: text(), error: text() }
}

fn outcome() -> Outcome {
    Outcome {
        state: State::Broken,
        ended: text(),
        closed_by: Some(Closer::Server),
        reason: some(),
        how: some(),
        error: some(),
        flag: some(),
    }
}

fn connection() -> Connection {
    Connection {
        id: text(),
        trace: some(),
        pod: pod_ref(),
        direction: Direction::Outbound,
        stage: Stage::Open,
        stage_milliseconds: 1,
        source: end(),
        destination: end(),
        original_destination: text(),
        next_hop: text(),
        authority: some(),
        protocol: Protocol::DoubleHbone,
        began: text(),
        milliseconds: 1,
        bytes: Bytes::default(),
        tunnel: some(),
        tls: Some(tls()),
        policy: some(),
        socks: some(),
        probe: true,
        attempts: vec![attempt()],
        outcome: Some(outcome()),
        network: Some(Socket::default()),
        application: Some(Socket::default()),
    }
}

fn bare_connection() -> Connection {
    Connection {
        trace: None,
        authority: None,
        tunnel: None,
        tls: None,
        policy: None,
        socks: None,
        probe: false,
        attempts: Vec::new(),
        outcome: None,
        network: None,
        application: None,
        ..connection()
    }
}

fn traffic() -> Traffic {
    Traffic {
        direction: Direction::Inbound,
        source: end(),
        destination: end(),
        protocol: Protocol::Tcp,
        open: 1,
        half_closed: 1,
        oldest_half_closed_milliseconds: Some(1),
        connections: 1,
        refused: 1,
        broken: 1,
        bytes: Bytes::default(),
        last_reason: some(),
        last_seen: text(),
    }
}

fn control_plane() -> ControlPlane {
    ControlPlane {
        address: some(),
        state: Reachability::Up,
        since: some(),
        last_update: some(),
        error: some(),
        version: some(),
    }
}

fn no_control_plane() -> ControlPlane {
    let state = Reachability::Unused;
    ControlPlane { address: None, state, since: None, last_update: None, error: None, version: None }
}

fn agent() -> Agent {
    Agent { socket: text(), connected: true, since: some() }
}

fn node() -> Node {
    Node {
        name: some(),
        version: text(),
        network: text(),
        started: text(),
        ready: true,
        pending: vec![text()],
        xds: control_plane(),
        ca: control_plane(),
        agent: Some(agent()),
        workloads: 1,
        services: 1,
        policies: 1,
        log_filter: text(),
        dropped_log_lines: 1,
        pods: 1,
        open: 1,
        tunnels: 1,
    }
}

fn pod() -> Pod {
    Pod {
        uid: text(),
        namespace: text(),
        name: text(),
        service_account: text(),
        identity: some(),
        state: PodState::Pending,
        reason: some(),
        since: text(),
        next_try: some(),
        open: 1,
        connections: 1,
        refused: 1,
        broken: 1,
        bytes: Bytes::default(),
    }
}

fn certificate() -> Certificate {
    Certificate { serial_number: text(), valid_from: text(), expires: text() }
}

fn identity() -> Identity {
    Identity {
        identity: text(),
        state: IdentityState::Available,
        error: some(),
        pods: vec![pod_ref()],
        chain: vec![certificate()],
        roots: vec![certificate()],
    }
}

fn tls() -> Tls {
    Tls { version: text(), cipher: text(), group: some() }
}

fn tunnel() -> Tunnel {
    Tunnel {
        id: text(),
        pod: pod_ref(),
        direction: Direction::Outbound,
        state: TunnelState::Leaving,
        identity: text(),
        peer_identity: text(),
        local_address: some(),
        peer_address: text(),
        since: text(),
        streams: 1,
        capacity: 1,
        tls: tls(),
        network: Some(Socket::default()),
    }
}

fn limit() -> Limit {
    Limit {
        name: text(),
        about: text(),
        of: LimitOf::Pod,
        unit: LimitUnit::Count,
        most: Some(1),
        setting: some(),
        in_use: Some(1),
        highest: Some(1),
        hits: 1,
        remedy: text(),
    }
}

fn least_limit() -> Limit {
    Limit { most: None, setting: None, in_use: None, highest: None, ..limit() }
}

fn ejected() -> Ejected {
    Ejected { pod: pod_ref(), workload: text(), address: text(), seconds: 1, seconds_left: 1 }
}

fn step() -> Step {
    Step { what: text(), answer: Answer::Pass, found: text() }
}

fn verdict() -> Verdict {
    Verdict { culprit: Culprit::Nobody, sentence: text(), evidence: vec![text()], remedy: some() }
}

fn why() -> Why {
    let connection = Some(Box::new(connection()));
    Why { question: Question::Connection { id: text() }, steps: vec![step()], verdict: verdict(), connection }
}

fn page<T>(item: T) -> Page<T> {
    Page { items: vec![item], next: some() }
}

fn last_page<T>(item: T) -> Page<T> {
    Page { items: vec![item], next: None }
}

/// All shapes.
pub(super) fn all() -> Vec<Shape> {
    [about_the_node(), about_connections(), about_reasons(), pages()].into_iter().flatten().collect()
}

fn about_the_node() -> Vec<Shape> {
    let problem = Problem { status: 400, title: text(), detail: text() };
    vec![
        shape("Problem", &problem, &problem),
        shape("ControlPlane", &control_plane(), &no_control_plane()),
        shape("Agent", &agent(), &Agent { since: None, ..agent() }),
        shape("Node", &node(), &Node { name: None, agent: None, ..node() }),
        shape("PodRef", &pod_ref(), &pod_ref()),
        shape("Bytes", &Bytes::default(), &Bytes::default()),
        shape("Pod", &pod(), &Pod { identity: None, reason: None, next_try: None, ..pod() }),
        shape("Certificate", &certificate(), &certificate()),
        shape("Identity", &identity(), &Identity { error: None, ..identity() }),
        shape("Tls", &tls(), &Tls { group: None, ..tls() }),
        shape("Tunnel", &tunnel(), &Tunnel { local_address: None, network: None, ..tunnel() }),
        shape("Ejected", &ejected(), &ejected()),
        shape("Limit", &limit(), &least_limit()),
    ]
}

fn about_connections() -> Vec<Shape> {
    let bare_traffic = Traffic { last_reason: None, oldest_half_closed_milliseconds: None, ..traffic() };
    let bare = Outcome { closed_by: None, reason: None, how: None, error: None, flag: None, ..outcome() };
    vec![
        shape("Connection", &connection(), &bare_connection()),
        shape("End", &end(), &End::default()),
        shape("Attempt", &attempt(), &attempt()),
        shape("Outcome", &outcome(), &bare),
        shape("Socket", &Socket::default(), &Socket::default()),
        shape("Traffic", &traffic(), &bare_traffic),
    ]
}

fn about_reasons() -> Vec<Shape> {
    let about = Question::Connection { id: text() };
    let hypothetical = Question::Hypothetical { source: text(), destination: text() };
    vec![
        shape("Why", &why(), &Why { connection: None, ..why() }),
        shape("AboutConnection", &about, &about),
        shape("AboutHypothetical", &hypothetical, &hypothetical),
        shape("Step", &step(), &step()),
        shape("Verdict", &verdict(), &Verdict { remedy: None, ..verdict() }),
    ]
}

fn pages() -> Vec<Shape> {
    vec![
        shape("PageOfPod", &page(pod()), &last_page(pod())),
        shape("PageOfIdentity", &page(identity()), &last_page(identity())),
        shape("PageOfConnection", &page(connection()), &last_page(connection())),
        shape("PageOfTraffic", &page(traffic()), &last_page(traffic())),
        shape("PageOfTunnel", &page(tunnel()), &last_page(tunnel())),
        shape("PageOfEjected", &page(ejected()), &last_page(ejected())),
        shape("PageOfLimit", &page(limit()), &last_page(limit())),
    ]
}
