use super::*;

fn entries() -> Snapshot {
    mesh(
        &[
            "{uid: entry, namespace: ns1, network: nw1, workloadIps: [192.0.2.1], services: {ns1/bare.example.com: {}}}",
        ],
        &[
            service("ns1", "www.example.com", "nw1/10.1.0.1", ""),
            service("ns1", "single", "nw1/10.1.0.2", ""),
            service("ns1", "bare.example.com", "", ""),
            service("ns1", "empty.example.com", "", ""),
            service("ns1", "block.example.com", "", "cidrVips: [{network: nw1, cidr: 10.9.0.0/16}]"),
            service("ns2", "secret.example.com", "nw1/10.1.0.3", "visibility: Namespace"),
        ],
    )
}

#[test]
fn an_external_name_is_ours_only_with_an_entry() {
    let mesh = entries();
    check(&mesh, "ns1", "A www.example.com", "10.1.0.1");
    check(&mesh, "ns2", "A www.example.com", "10.1.0.1");
    check(&mesh, "ns1", "A single", "10.1.0.2");
    check(&mesh, "ns2", "A single", "10.1.0.2");
    check(&mesh, "ns1", "A www.google.com", "not ours");
    check(&mesh, "ns1", "A example.com", "not ours");
    check(&mesh, "ns1", "A x.www.example.com", "not ours");
    check(&mesh, "ns2", "A secret.example.com", "10.1.0.3");
    check(&mesh, "ns1", "A secret.example.com", "not ours");
}

#[test]
fn an_external_name_with_a_search_domain_is_an_alias_of_the_name_without() {
    let mesh = entries();
    for domain in ["ns1.svc.cluster.local", "svc.cluster.local", "cluster.local"] {
        check(&mesh, "ns1", &format!("A www.example.com.{domain}"), "www.example.com: 10.1.0.1");
        check(&mesh, "ns1", &format!("A single.{domain}"), "single: 10.1.0.2");
        check(&mesh, "ns1", &format!("AAAA www.example.com.{domain}"), "nothing");
        check(&mesh, "ns1", &format!("A www.google.com.{domain}"), "not ours");
    }
    check(&mesh, "ns2", "A www.example.com.ns1.svc.cluster.local", "not ours");
}

#[test]
fn an_entry_without_virtual_address_leaves_the_name_to_the_world() {
    let mesh = entries();
    for name in ["bare.example.com", "empty.example.com", "block.example.com"] {
        check(&mesh, "ns1", &format!("A {name}"), "not ours");
        check(&mesh, "ns1", &format!("SRV {name}"), "not ours");
        check(&mesh, "ns1", &format!("A {name}.ns1.svc.cluster.local"), "not ours");
    }
}
