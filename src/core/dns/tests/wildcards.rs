use super::*;

fn wildcards(more: &[(&str, &str)]) -> Snapshot {
    let fixed = [
        ("*.example.com", "nw1/10.1.0.1"),
        ("*.deep.example.com", "nw1/10.1.0.2"),
        ("www.example.com", "nw1/10.1.0.3"),
        ("*.db.ns2.svc.cluster.local", "nw1/10.1.0.4"),
        ("web.ns2.svc.cluster.local", "nw1/10.1.0.5"),
    ];
    let all = fixed.iter().chain(more);
    mesh(&[], &all.map(|(hostname, vip)| service("ns2", hostname, vip, "")).collect::<Vec<_>>())
}

#[test]
fn a_wildcard_stands_for_any_depth_and_the_nearest_counts() {
    let mesh = wildcards(&[]);
    for (name, expected) in [
        ("x.example.com", "10.1.0.1"),
        ("x.y.z.example.com", "10.1.0.1"),
        ("deep.example.com", "10.1.0.1"),
        ("x.deep.example.com", "10.1.0.2"),
        ("x.y.deep.example.com", "10.1.0.2"),
        ("www.example.com", "10.1.0.3"),
        ("x.www.example.com", "10.1.0.1"),
        ("example.com", "not ours"),
        ("xexample.com", "not ours"),
        ("*.example.com", "10.1.0.1"),
    ] {
        check(&mesh, "ns1", &format!("A {name}"), expected);
    }
}

#[test]
fn a_wildcard_below_the_cluster_domain_takes_what_is_below_it() {
    let mesh = wildcards(&[]);
    check(&mesh, "ns1", "A one.db.ns2.svc.cluster.local", "10.1.0.4");
    check(&mesh, "ns1", "A one.two.db.ns2.svc.cluster.local", "10.1.0.4");
    check(&mesh, "ns1", "A one.db.ns2", "10.1.0.4");
    check(&mesh, "ns2", "A one.db", "10.1.0.4");
    check(&mesh, "ns1", "A one.db.ns2.ns1.svc.cluster.local", "one.db.ns2.svc.cluster.local: 10.1.0.4");
    check(&mesh, "ns1", "A db.ns2.svc.cluster.local", "not ours");
}

#[test]
fn a_name_with_a_search_domain_is_an_alias_of_the_name_the_wildcard_stands_for() {
    let mesh = wildcards(&[]);
    check(&mesh, "ns1", "A x.example.com.ns1.svc.cluster.local", "x.example.com: 10.1.0.1");
    check(&mesh, "ns1", "A x.deep.example.com.cluster.local", "x.deep.example.com: 10.1.0.2");
    check(&mesh, "ns1", "AAAA x.example.com.ns1.svc.cluster.local", "nothing");
    check(&mesh, "ns1", "A example.com.ns1.svc.cluster.local", "not ours");
}

#[test]
fn a_wildcard_above_a_search_domain_does_not_take_every_name_of_the_world() {
    for wildcard in ["*.local", "*.cluster.local", "*.svc.cluster.local", "*.ns1.svc.cluster.local"] {
        let mesh = wildcards(&[(wildcard, "nw1/10.9.0.1")]);
        for domain in ["ns1.svc.cluster.local", "svc.cluster.local", "cluster.local"] {
            check(&mesh, "ns1", &format!("A www.google.com.{domain}"), "not ours");
            check(&mesh, "ns1", &format!("A google.com.{domain}"), "not ours");
            check(&mesh, "ns1", &format!("A www.example.com.{domain}"), "www.example.com: 10.1.0.3");
            check(&mesh, "ns1", &format!("A x.example.com.{domain}"), "x.example.com: 10.1.0.1");
        }
    }
}

#[test]
fn a_wildcard_for_a_search_domain_takes_one_label() {
    for (wildcard, name) in [
        ("*.cluster.local", "printer.cluster.local"),
        ("*.svc.cluster.local", "printer.svc.cluster.local"),
        ("*.ns1.svc.cluster.local", "printer.ns1.svc.cluster.local"),
        ("*.local", "printer.local"),
        ("*.local", "printer.office.local"),
    ] {
        let mesh = wildcards(&[(wildcard, "nw1/10.9.0.1")]);
        check(&mesh, "ns1", &format!("A {name}"), "10.9.0.1");
    }
}

#[test]
fn a_service_is_meant_before_a_wildcard_is() {
    let mesh = wildcards(&[("*.ns2", "nw1/10.9.0.1"), ("*.ns2.svc.cluster.local", "nw1/10.9.0.2")]);
    check(&mesh, "ns1", "A web.ns2", "10.1.0.5");
    check(&mesh, "ns1", "A web.ns2.ns1.svc.cluster.local", "web.ns2.svc.cluster.local: 10.1.0.5");
    check(&mesh, "ns2", "A web", "10.1.0.5");
    check(&mesh, "ns1", "A other.ns2", "10.9.0.1");
    check(&mesh, "ns1", "A other.ns2.svc.cluster.local", "10.9.0.2");
}

#[test]
fn a_name_is_never_an_alias_of_one_too_long_to_be_written() {
    let [pod, service, label] = ["p", "s", "d"].map(|letter| letter.repeat(63));
    let domain = format!("{label}.{}", "d".repeat(58));
    let end = format!("{service}.ns1.svc.{domain}");
    let mesh = wildcards(&[(&format!("*.{end}"), "nw1/10.9.0.1")]);
    let settings = Settings { cluster_domain: domain.as_str().into(), ..settings() };
    let answer = |name: &str| short(&ask(&mesh, "ns1", &settings, &format!("A {name}")), name);
    assert_eq!(answer(&format!("p.{end}")), "10.9.0.1");
    assert_eq!(answer(&format!("p.{service}.{domain}")), format!("p.{end}: 10.9.0.1"));
    assert_eq!(answer(&format!("{pod}.{service}.{domain}")), "not ours");
}
