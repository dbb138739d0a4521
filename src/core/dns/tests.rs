use std::collections::BTreeSet;

use super::*;
use crate::mesh_file;

mod addresses;
mod choice;
mod entries;
mod headless;
mod kubernetes;
mod lacks;
mod model;
mod wildcards;

/// Who asks, by uid: `ns1`, `ns2` and `ns3` are in these namespaces on network `nw1`, `far` is in `ns1` on `nw2`.
const CLIENTS: [&str; 4] = [
    "{uid: ns1, namespace: ns1, network: nw1, workloadIps: [10.0.0.1]}",
    "{uid: ns2, namespace: ns2, network: nw1, workloadIps: [10.0.0.2]}",
    "{uid: ns3, namespace: ns3, network: nw1, workloadIps: [10.0.0.3]}",
    "{uid: far, namespace: ns1, network: nw2, workloadIps: [10.0.0.1]}",
];

/// Gives the mesh of the clients, other workloads, and services.
fn mesh(workloads: &[&str], services: &[String]) -> Snapshot {
    let workloads = [&CLIENTS, workloads].concat().join(", ");
    let text = format!("{{workloads: [{workloads}], services: [{}]}}", services.join(", "));
    Snapshot::new(mesh_file::parse(&text).unwrap(), "nw1")
}

/// Writes a service down, named like the first label of its hostname.
fn service(namespace: &str, hostname: &str, vips: &str, more: &str) -> String {
    let name = hostname.split('.').next().unwrap();
    let ports = if more.contains("ports:") { "" } else { ", ports: {80: 8080}" };
    format!(
        "{{name: '{name}', namespace: {namespace}, hostname: '{hostname}', vips: [{vips}]{ports}, {more}}}"
    )
}

fn settings() -> Settings {
    Settings {
        cluster_domain: "cluster.local".into(),
        ipv6: true,
        preferred_namespace: Some("preferred".into()),
    }
}

/// Gives the kind that is called so.
fn kind(text: &str) -> Kind {
    match text {
        "A" => Kind::A,
        "AAAA" => Kind::Aaaa,
        "SRV" => Kind::Srv,
        "HTTPS" => Kind::Binding,
        _ => Kind::Other,
    }
}

/// Asks for `question`, written `<kind> <name>`.
fn ask(mesh: &Snapshot, client: &str, settings: &Settings, question: &str) -> Answer {
    let (kind_text, name) = question.split_once(' ').unwrap();
    let client = mesh.workload(client).unwrap();
    answer(mesh, client, settings, Question { name, kind: kind(kind_text) }, 1)
}

/// Asserts the answer in short form: `not ours`, `nothing`, or the records in order of their texts: addresses, and services
/// as `<weight>/<port>/<target>`. In front there is `<alias>: ` if the name is one.
#[track_caller]
fn check(mesh: &Snapshot, client: &str, question: &str, expected: &str) {
    let name = question.split_once(' ').unwrap().1;
    let answer = short(&ask(mesh, client, &settings(), question), name);
    assert_eq!(answer, expected, "{client} asks for {question}");
}

/// Gives the short form of what is said about `name`, and asserts that nothing else is said and nothing twice.
#[track_caller]
fn short(answer: &Answer, name: &str) -> String {
    let records = match answer {
        Answer::NotOurs => return "not ours".to_owned(),
        Answer::Nothing => return "nothing".to_owned(),
        Answer::Records(records) => records.as_slice(),
    };
    let (alias, owner, records) = match records {
        [Record { owner, data: Data::Cname(target) }, rest @ ..] => {
            assert_eq!(owner, name);
            assert_ne!(target, name);
            (format!("{target}: "), target.as_str(), rest)
        }
        all => (String::new(), name, all),
    };
    let texts: BTreeSet<String> = records.iter().map(|record| text_of(record, owner)).collect();
    assert_eq!(texts.len(), records.len(), "{records:?}");
    assert!(!records.is_empty());
    alias + &Vec::from_iter(texts).join(" ")
}

#[track_caller]
fn text_of(record: &Record, owner: &str) -> String {
    assert_eq!(record.owner, owner);
    match &record.data {
        Data::Cname(target) => panic!("{owner} is an alias of {target} besides"),
        Data::Address(address) => address.to_string(),
        Data::Service { priority, weight, port, target } => {
            assert_eq!(*priority, 0);
            format!("{weight}/{port}/{target}")
        }
    }
}

#[test]
fn in_an_empty_mesh_every_name_is_somebody_elses() {
    let mesh = mesh(&[], &[]);
    for name in
        ["", "web", "web.ns1.svc.cluster.local", "cluster.local", "www.example.com", ".", "..", "a..b"]
    {
        check(&mesh, "ns1", &format!("A {name}"), "not ours");
    }
}

#[test]
fn strange_names_are_somebody_elses() {
    let mesh = mesh(&[], &[service("ns1", "web.ns1.svc.cluster.local", "nw1/10.1.0.1", "")]);
    let long = "a.".repeat(300);
    for name in ["", ".", "..", "web.", ".web", "web..ns1", "wéb", "*", &long, "é.svc.cluster.local"] {
        check(&mesh, "ns1", &format!("A {name}"), "not ours");
    }
}

/// A service entry must not hide the mail, text and service records that the owner of the name publishes.
#[test]
fn other_kinds_of_records_are_for_others_to_give_even_of_our_own_names() {
    let mesh = mesh(
        &[],
        &[
            service("ns1", "web.ns1.svc.cluster.local", "nw1/10.1.0.1", ""),
            service("ns1", "db.example.com", "nw1/10.1.0.2", ""),
            service("ns1", "*.example.org", "nw1/10.1.0.3", ""),
        ],
    );
    for name in ["web", "web.ns1.svc.cluster.local", "db.example.com", "db.example.com.ns1.svc.cluster.local"]
    {
        check(&mesh, "ns1", &format!("TXT {name}"), "not ours");
        check(&mesh, "ns1", &format!("SRV {name}"), "not ours");
        check(&mesh, "ns1", &format!("AAAA {name}"), "nothing");
    }
    check(&mesh, "ns1", "TXT x.example.org", "not ours");
    check(&mesh, "ns1", "SRV _mongodb._tcp.example.org", "not ours");
}

/// They would lead around the mesh.
#[test]
fn bindings_of_our_own_names_are_not_taken_from_others() {
    let mesh = mesh(
        &[
            "{uid: db-0, name: db-0, namespace: ns1, network: nw1, workloadIps: [10.0.0.5], services: {ns1/db.ns1.svc.cluster.local: {}}}",
        ],
        &[
            service("ns1", "web.ns1.svc.cluster.local", "nw1/10.1.0.1", ""),
            service("ns1", "db.ns1.svc.cluster.local", "", ""),
            service("ns1", "db.example.com", "nw1/10.1.0.2", ""),
            service("ns1", "*.example.org", "nw1/10.1.0.3", ""),
            service("ns1", "far.example.com", "nw2/10.1.0.4", ""),
        ],
    );
    for name in [
        "web",
        "db",
        "db-0.db.ns1",
        "db.example.com",
        "db.example.com.ns1.svc.cluster.local",
        "x.example.org",
    ] {
        check(&mesh, "ns1", &format!("HTTPS {name}"), "nothing");
    }
    for name in ["example.com", "far.example.com", "www.example.net"] {
        check(&mesh, "ns1", &format!("HTTPS {name}"), "not ours");
    }
}

/// Gives the addresses in the order of the answer.
fn order(mesh: &Snapshot, entropy: u64) -> Vec<IpAddr> {
    let question = Question { name: "web", kind: Kind::A };
    let Answer::Records(records) =
        answer(mesh, mesh.workload("ns1").unwrap(), &settings(), question, entropy)
    else {
        panic!("there are addresses");
    };
    let address = |record: Record| match record.data {
        Data::Address(address) => address,
        other @ (Data::Cname(_) | Data::Service { .. }) => panic!("{other:?}"),
    };
    records.into_iter().map(address).collect()
}

#[test]
fn every_order_of_addresses_is_as_likely_and_entropy_decides() {
    let vips = "nw1/10.1.0.1, nw1/10.1.0.2, nw1/10.1.0.3, nw1/10.1.0.4";
    let mesh = mesh(&[], &[service("ns1", "web.ns1.svc.cluster.local", vips, "")]);
    let mut counts = std::collections::BTreeMap::<Vec<IpAddr>, u32>::new();
    for entropy in 0..24_000 {
        assert_eq!(order(&mesh, entropy), order(&mesh, entropy));
        *counts.entry(order(&mesh, entropy)).or_default() += 1;
    }
    assert_eq!(counts.len(), 24);
    assert!(counts.values().all(|count| (800..1200).contains(count)), "{counts:?}");
}
