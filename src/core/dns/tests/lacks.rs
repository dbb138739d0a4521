//! What has to be asked for when the snapshot has only what was asked for before.

use super::*;

/// Asserts what the client lacks for `question`.
#[track_caller]
fn check_lacking(mesh: &Snapshot, question: &str, expected: &[&str]) {
    let (kind_text, name) = question.split_once(' ').unwrap();
    let question = Question { name, kind: kind(kind_text) };
    let lacking = lacking(mesh, mesh.workload("ns1").unwrap(), &settings(), question);
    assert_eq!(lacking.iter().map(|name| &**name).collect::<Vec<_>>(), expected, "{name}");
}

#[test]
fn a_name_of_the_cluster_is_asked_for_in_its_own_namespace_in_every_form() {
    let mesh = mesh(&[], &[]);
    let web = "ns2/web.ns2.svc.cluster.local";
    for name in ["web.ns2.svc.cluster.local", "db-0.web.ns2.svc.cluster.local"] {
        check_lacking(&mesh, &format!("A {name}"), &[web]);
    }
    check_lacking(&mesh, "A web", &["ns1/web.ns1.svc.cluster.local", "ns1/web"]);
    check_lacking(&mesh, "A web.ns1.svc.cluster.local", &["ns1/web.ns1.svc.cluster.local", "ns1/web"]);
    // `web` may be a pod of a service `ns2`, too, or a host.
    let pod = "ns1/ns2.ns1.svc.cluster.local";
    check_lacking(&mesh, "A web.ns2", &[web, pod, "ns1/web.ns2"]);
    check_lacking(&mesh, "A web.ns2.ns1.svc.cluster.local", &[pod, web, "ns1/web.ns2"]);
    check_lacking(
        &mesh,
        "A web.ns2.svc",
        &[web, "svc/ns2.svc.svc.cluster.local", "ns1/web.ns2.svc", "ns1/*.ns2.svc"],
    );
}

#[test]
fn a_host_is_asked_for_from_the_namespace_of_the_client_with_its_wildcards() {
    let mesh = mesh(&[], &[]);
    let cluster = "com/example.com.svc.cluster.local";
    let asked = [cluster, "ns1/www.example.com", "ns1/*.example.com"];
    check_lacking(&mesh, "A www.example.com", &asked);
    check_lacking(&mesh, "A www.example.com.ns1.svc.cluster.local", &asked);
    // What is asked for next by a search list is known to be asked for by then.
    check_lacking(&mesh, "A www.example.com.svc.cluster.local", &[cluster]);
    check_lacking(&mesh, "A www.example.com.cluster.local", &[]);
    check_lacking(
        &mesh,
        "A web.ns2.svc.cluster.far",
        &[
            "ns2/web.ns2.svc.cluster.far",
            "ns2/*.ns2.svc.cluster.far",
            "ns1/*.svc.cluster.far",
            "ns1/*.cluster.far",
        ],
    );
}

#[test]
fn one_question_leads_to_a_bounded_number_of_names() {
    let mesh = mesh(&[], &[]);
    let name = "a.b.c.d.e.f.g.h.i.j.k.example.com";
    let lacking =
        lacking(&mesh, mesh.workload("ns1").unwrap(), &settings(), Question { name, kind: Kind::A });
    assert_eq!(lacking.len(), MOST_LACKING);
    assert_eq!(*lacking[0], *format!("ns1/{name}"));
}

#[test]
fn what_cannot_be_a_host_of_the_mesh_is_not_asked_for() {
    let mesh = mesh(&[], &[]);
    let long = "a.".repeat(130) + "com";
    let label = "a".repeat(64) + ".com";
    for name in [
        "",
        ".",
        "a..b",
        "10.0.0.1",
        "1.0.0.10.in-addr.arpa",
        "localhost",
        "x.localhost",
        "_http._tcp.web.ns1",
        "wéb.com",
        "*.com",
        &long,
        &label,
    ] {
        check_lacking(&mesh, &format!("A {name}"), &[]);
    }
    check_lacking(&mesh, "TXT www.example.com", &[]);
}

#[test]
fn what_is_known_is_not_asked_for() {
    let mesh = mesh(
        &[],
        &[
            service("ns1", "web.ns1.svc.cluster.local", "nw1/10.1.0.1", ""),
            service("ns1", "db.example.com", "nw1/10.1.0.2", ""),
            service("ns1", "*.example.org", "nw1/10.1.0.3", ""),
            service("ns2", "shared.example.com", "nw1/10.1.0.4", ""),
            service("ns2", "web.ns2.svc.cluster.local", "nw1/10.1.0.5", ""),
            service("ns1", "far.example.net", "nw2/10.1.0.6", ""),
        ],
    );
    for name in [
        "web",
        "web.ns1.svc.cluster.local",
        "db.example.com",
        "db.example.com.ns1.svc.cluster.local",
        "web.ns2.svc.cluster.local",
    ] {
        check_lacking(&mesh, &format!("A {name}"), &[]);
    }
    // A nearer one may exist.
    check_lacking(&mesh, "A x.example.org", &["org/example.org.svc.cluster.local", "ns1/x.example.org"]);
    // One of its own would be preferred to that of another namespace.
    check_lacking(&mesh, "A shared.example.com", &["ns1/shared.example.com"]);
    // It is there, and of no use here.
    check_lacking(&mesh, "A far.example.net", &["net/example.net.svc.cluster.local", "ns1/*.example.net"]);
}
