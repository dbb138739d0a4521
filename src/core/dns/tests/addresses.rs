use super::*;

fn families() -> Snapshot {
    let both = "nw1/10.1.0.1, 'nw1/fd00::1'";
    mesh(
        &[],
        &[
            service("ns1", "v4.ns1.svc.cluster.local", "nw1/10.1.0.1", ""),
            service("ns1", "v6.ns1.svc.cluster.local", "'nw1/fd00::1'", ""),
            service("ns1", "both.ns1.svc.cluster.local", both, ""),
            service("ns1", "dual.ns1.svc.cluster.local", both, "ipFamilies: Dual"),
            service("ns1", "only-v4.ns1.svc.cluster.local", both, "ipFamilies: IPv4"),
            service("ns1", "only-v6.ns1.svc.cluster.local", both, "ipFamilies: IPv6"),
        ],
    )
}

#[test]
fn addresses_are_of_the_family_asked_for_if_the_service_has_it() {
    let mesh = families();
    for (name, v4, v6) in [
        ("v4", "10.1.0.1", "nothing"),
        ("v6", "nothing", "fd00::1"),
        ("both", "10.1.0.1", "fd00::1"),
        ("dual", "10.1.0.1", "fd00::1"),
        ("only-v4", "10.1.0.1", "nothing"),
        ("only-v6", "nothing", "fd00::1"),
    ] {
        check(&mesh, "ns1", &format!("A {name}"), v4);
        check(&mesh, "ns1", &format!("AAAA {name}"), v6);
    }
}

#[test]
fn without_ipv6_there_are_no_ipv6_addresses_of_our_names() {
    let (mesh, settings) = (families(), Settings { ipv6: false, ..settings() });
    for name in ["v4", "v6", "both", "dual", "only-v6"] {
        assert_eq!(ask(&mesh, "ns1", &settings, &format!("AAAA {name}")), Answer::Nothing, "{name}");
    }
    assert_eq!(ask(&mesh, "ns1", &settings, "AAAA www.google.com"), Answer::NotOurs);
    assert_eq!(short(&ask(&mesh, "ns1", &settings, "A both"), "both"), "10.1.0.1");
}

#[test]
fn virtual_addresses_are_those_of_the_clients_network() {
    let mesh = mesh(
        &[],
        &[
            service("ns1", "both.ns1.svc.cluster.local", "nw1/10.1.0.1, nw2/10.2.0.1, /10.3.0.1", ""),
            service("ns1", "split.ns1.svc.cluster.local", "nw1/10.1.0.2, 'nw2/fd00::2'", ""),
        ],
    );
    check(&mesh, "ns1", "A both", "10.1.0.1");
    check(&mesh, "far", "A both", "10.2.0.1");
    check(&mesh, "ns1", "A split", "10.1.0.2");
    check(&mesh, "ns1", "AAAA split", "nothing");
    check(&mesh, "far", "A split", "nothing");
    check(&mesh, "far", "AAAA split", "fd00::2");
}

/// The cluster's DNS, or the world, may know an address that leads somewhere; the mesh knows it does not.
#[test]
fn a_service_with_addresses_on_other_networks_alone_is_for_others_to_know() {
    let mesh = mesh(
        &[],
        &[
            service("ns1", "web.ns1.svc.cluster.local", "nw2/10.1.0.1", ""),
            service("ns1", "www.example.com", "nw2/10.1.0.2", ""),
        ],
    );
    for name in
        ["web", "web.ns1.svc.cluster.local", "www.example.com", "www.example.com.ns1.svc.cluster.local"]
    {
        check(&mesh, "ns1", &format!("A {name}"), "not ours");
        check(&mesh, "ns1", &format!("AAAA {name}"), "not ours");
    }
    check(&mesh, "far", "A web", "10.1.0.1");
}
