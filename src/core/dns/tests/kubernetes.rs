use super::*;

fn services() -> Snapshot {
    let remote = "nw1/10.2.0.1, nw1/10.2.0.2, nw1/10.2.0.3, nw1/10.2.0.4";
    mesh(
        &[],
        &[
            service("ns1", "web.ns1.svc.cluster.local", "nw1/10.1.0.1", ""),
            service("ns2", "api.ns2.svc.cluster.local", "nw1/10.1.0.2", ""),
            service("ns2", "details.ns2.svc.cluster.remote", remote, ""),
            service("ns2", "secret.ns2.svc.cluster.local", "nw1/10.1.0.3", "visibility: Namespace"),
        ],
    )
}

#[test]
fn a_service_is_known_by_every_form_of_its_name() {
    let mesh = services();
    for name in ["web", "web.ns1", "web.ns1.svc", "web.ns1.svc.cluster.local"] {
        check(&mesh, "ns1", &format!("A {name}"), "10.1.0.1");
        check(&mesh, "ns1", &format!("AAAA {name}"), "nothing");
    }
    for name in ["api.ns2", "api.ns2.svc", "api.ns2.svc.cluster.local"] {
        check(&mesh, "ns1", &format!("A {name}"), "10.1.0.2");
    }
}

#[test]
fn a_name_without_namespace_means_the_own_one() {
    let mesh = services();
    check(&mesh, "ns1", "A api", "not ours");
    check(&mesh, "ns2", "A api", "10.1.0.2");
    check(&mesh, "ns2", "A web", "not ours");
    check(&mesh, "ns1", "A api.ns1.svc.cluster.local", "not ours");
    check(&mesh, "ns1", "A web.ns1.not-svc", "not ours");
    check(&mesh, "ns1", "A web.ns1.svc.cluster", "not ours");
}

#[test]
fn a_short_name_with_a_search_domain_is_an_alias_of_the_full_name() {
    let mesh = services();
    let web = "web.ns1.svc.cluster.local: 10.1.0.1";
    check(&mesh, "ns1", "A web.ns1.ns1.svc.cluster.local", web);
    check(&mesh, "ns1", "AAAA web.ns1.ns1.svc.cluster.local", "nothing");
    check(&mesh, "ns1", "A web.ns1.svc.ns1.svc.cluster.local", web);
    check(&mesh, "ns1", "A web.ns1.svc.cluster.local.ns1.svc.cluster.local", web);
    check(&mesh, "ns1", "A web.ns1.svc.svc.cluster.local", web);
    check(&mesh, "ns1", "A web.ns1.cluster.local", web);
    check(&mesh, "ns1", "A web.cluster.local", web);
    check(&mesh, "ns1", "A web.svc.cluster.local", web);
    check(&mesh, "ns2", "A web.ns1.ns2.svc.cluster.local", web);
    check(&mesh, "ns1", "A api.ns2.ns1.svc.cluster.local", "api.ns2.svc.cluster.local: 10.1.0.2");
}

#[test]
fn search_domains_of_other_namespaces_mean_nothing() {
    let mesh = services();
    check(&mesh, "ns1", "A web.ns1.ns2.svc.cluster.local", "not ours");
    check(&mesh, "ns2", "A web.ns1.ns1.svc.cluster.local", "not ours");
}

#[test]
fn a_service_of_another_cluster_domain_is_known_by_its_full_name_alone() {
    let mesh = services();
    let all = "10.2.0.1 10.2.0.2 10.2.0.3 10.2.0.4";
    check(&mesh, "ns1", "A details.ns2.svc.cluster.remote", all);
    let searched = "A details.ns2.svc.cluster.remote.ns1.svc.cluster.local";
    check(&mesh, "ns1", searched, &format!("details.ns2.svc.cluster.remote: {all}"));
    for name in ["details", "details.ns2", "details.ns2.svc", "details.ns2.svc.cluster.local"] {
        check(&mesh, "ns1", &format!("A {name}"), "not ours");
        check(&mesh, "ns2", &format!("A {name}"), "not ours");
    }
}

#[test]
fn a_hidden_service_is_known_in_its_own_namespace_alone() {
    let mesh = services();
    check(&mesh, "ns2", "A secret", "10.1.0.3");
    check(&mesh, "ns2", "A secret.ns2.svc.cluster.local", "10.1.0.3");
    check(&mesh, "ns1", "A secret.ns2.svc.cluster.local", "not ours");
    check(&mesh, "ns1", "A secret.ns2.ns1.svc.cluster.local", "not ours");
}

#[test]
fn the_domain_is_that_of_the_cluster() {
    let mesh = services();
    let remote = Settings { cluster_domain: "cluster.remote".into(), ..settings() };
    let asked = |question| short(&ask(&mesh, "ns2", &remote, question), question.split_once(' ').unwrap().1);
    assert_eq!(asked("A details"), "10.2.0.1 10.2.0.2 10.2.0.3 10.2.0.4");
    assert_eq!(asked("A api"), "not ours");
    assert_eq!(asked("A api.ns2.svc.cluster.local"), "10.1.0.2");
    let searched = "A api.ns2.svc.cluster.local.svc.cluster.remote";
    assert_eq!(asked(searched), "api.ns2.svc.cluster.local: 10.1.0.2");
}
