use super::*;

fn workload(trust_domain: &str, namespace: &str) -> Workload {
    Workload::default().with(|it| {
        it.trust_domain = trust_domain.into();
        it.namespace = namespace.into();
        it.service_account = "web".into();
    })
}

#[test]
fn addresses_are_what_was_collected() {
    for list in [&["10.0.0.1"][..], &[], &["10.0.0.1", "fd00::1"], &["10.0.0.1", "fd00::1", "10.0.0.2"]] {
        let list: Vec<IpAddr> = list.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(*list.iter().copied().collect::<Addresses>(), *list);
    }
}

#[test]
fn a_name_is_what_was_given() {
    for (uid, name) in
        [("c//Pod/n/web-1", "web-1"), ("c//Pod/n/web-1", "other"), ("c", ""), ("", "x"), ("x", "x")]
    {
        let workload = Workload { uid: uid.into(), named: Name::of(uid, name), ..Workload::default() };
        assert_eq!(workload.name(), name);
    }
}

#[test]
fn a_workload_is_small() {
    assert!(size_of::<Workload>() <= 88, "{}", size_of::<Workload>());
}

#[test]
fn an_empty_trust_domain_is_the_default_one() {
    let identity = |trust_domain: &str| workload(trust_domain, "shop").identity().unwrap().to_string();
    assert_eq!(identity(""), "spiffe://cluster.local/ns/shop/sa/web");
    assert_eq!(identity("other"), "spiffe://other/ns/shop/sa/web");
}

#[test]
fn a_namespace_with_a_slash_has_no_identity() {
    workload("", "a/sa/b").identity().unwrap_err();
}

#[test]
fn ports_are_found_and_the_last_of_two_counts() {
    let ports: PortMap = [(443, 8443), (80, 8080), (80, 0)].into_iter().collect();
    assert_eq!((ports.target(80), ports.target(443), ports.target(81)), (Some(0), Some(8443), None));
    assert_eq!(ports.iter().collect::<Vec<_>>(), [(80, 0), (443, 8443)]);
}
