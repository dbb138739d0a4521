//! Who gets in, one sentence of the contract at a time; and all of them together, against a model, in `model`.

use std::net::IpAddr;
use std::sync::Arc;

use super::*;
use crate::mesh_file::Mesh;
use crate::snapshot::Snapshot;
use crate::workload::Workload;

mod attributes;
mod decision;
mod dry_runs;
mod model;
mod nesting;
mod sets;

const WITHOUT: &str = "-";

/// A peer: plaintext when `identity` is `-`, else `<trust domain>/<namespace>/<service account>`.
fn peer(identity: &str, source: &str, destination: &str) -> Peer {
    let id = || {
        let parts: Vec<&str> = identity.split('/').collect();
        SpiffeId::new(parts[0], parts[1], parts[2]).unwrap()
    };
    Peer {
        identity: (identity != WITHOUT).then(id),
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    }
}

fn plaintext() -> Peer {
    peer(WITHOUT, "127.0.0.1:1", "127.0.0.2:8080")
}

fn known() -> Peer {
    peer("td/namespace/account", "127.0.0.1:1", "127.0.0.2:8080")
}

fn other() -> Peer {
    peer("td/other/else", "127.0.0.3:1", "127.0.0.4:9090")
}

fn policy(name: &str, action: Action, rules: Vec<Rule>) -> Policy {
    Policy {
        key: format!("ns/{name}").into(),
        name: name.into(),
        namespace: "ns".into(),
        scope: Scope::Namespace,
        action,
        rules,
        dry_run: false,
        unusable: None,
    }
}

fn one(matches: Vec<Match>) -> Vec<Rule> {
    vec![Rule { clauses: vec![Clause { matches }] }]
}

fn everybody() -> Vec<Rule> {
    vec![Rule::default()]
}

fn dry(policy: Policy) -> Policy {
    Policy { dry_run: true, ..policy }
}

fn workload() -> Workload {
    Workload { uid: "w".into(), ..Workload::default() }.with(|it| {
        it.namespace = "ns".into();
        it.service_account = "sa".into();
    })
}

fn snapshot(policies: Vec<Policy>) -> Snapshot {
    Snapshot::new(Mesh { policies, ..Mesh::default() }, "")
}

/// Judges by the policies of a snapshot.
fn judge(snapshot: &Snapshot, workload: &Workload, peer: &Peer) -> Verdict {
    super::judge(&snapshot.policies_for(workload), peer)
}

/// Tells whether a policy with `rules` matches `peer`.
fn hits(rules: &[Rule], peer: &Peer) -> bool {
    let snapshot = snapshot(vec![policy("p", Action::Deny, rules.to_vec())]);
    !judge(&snapshot, &workload(), peer).is_allowed()
}

/// Asserts which of the three peers a match with one attribute hits.
#[track_caller]
fn check(attribute: Match, expected: [bool; 3]) {
    let rules = one(vec![attribute.clone()]);
    let hit = [plaintext(), known(), other()].map(|peer| hits(&rules, &peer));
    assert_eq!(hit, expected, "plaintext, known, other for {attribute:?}");
}

fn exact(text: &str) -> Vec<StringMatch> {
    vec![StringMatch::Exact(text.into())]
}

fn namespaces(namespaces: Vec<StringMatch>) -> Match {
    Match { namespaces, ..Match::default() }
}

fn principals(principals: Vec<StringMatch>) -> Match {
    Match { principals, ..Match::default() }
}

fn port(port: u16) -> Match {
    Match { destination_ports: vec![port], ..Match::default() }
}

fn sources(blocks: &[&str]) -> Match {
    Match { source_ips: blocks.iter().map(|block| block.parse().unwrap()).collect(), ..Match::default() }
}

fn closed(scope: Scope, namespace: &str) -> Policy {
    Policy { scope, namespace: namespace.into(), ..policy("p", Action::Deny, everybody()) }
}

/// A workload that refers to the policy `ns/<name>`.
fn referring_to(name: &str) -> Workload {
    workload().with(|it| it.authorization_policies = vec![format!("ns/{name}").into()])
}
