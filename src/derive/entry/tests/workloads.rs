//! Workloads of `ServiceEntries` and `WorkloadEntries`, and what they serve.

use std::collections::HashSet;

use culvert_core::address::NetworkAddress;
use culvert_core::workload::{
    GatewayAddress, GatewayDestination, Health, Locality, Memberships, PortMap, Protocol, Workload,
};

use crate::Settings;
use crate::gateway::{At as GatewayAt, NetworkGateway, Networks};

use super::*;

/// A cluster on network `west`, with a gateway to `east`.
fn networks() -> Networks {
    let gateway = NetworkGateway {
        network: "east".into(),
        namespace: "gw".into(),
        name: "east".into(),
        service_account: "east".into(),
        at: GatewayAt::Ip("192.0.2.1".parse().unwrap()),
        port: 15008,
    };
    Networks::new("west".into(), [&gateway])
}

fn to_east() -> GatewayAddress {
    let address = NetworkAddress::new("east", "192.0.2.1".parse().unwrap());
    GatewayAddress { destination: GatewayDestination::Address(address), port: 15008 }
}

fn workloads_of(entry: &ServiceEntry, won: &[&str]) -> Vec<Workload> {
    let (settings, networks) = (Settings::default(), networks());
    let around = Surroundings { settings: &settings, networks: &networks };
    let won: HashSet<_> = won.iter().map(|&host| host.into()).collect();
    let attached = Attached { waypoint: Some(to_east()), policies: vec!["shop/deny".into()] };
    entry.workloads(&won, &around, &attached)
}

fn ports(ports: &PortMap) -> Vec<(u16, u16)> {
    ports.iter().collect()
}

fn services(workload: &Workload) -> Vec<(String, Vec<(u16, u16)>)> {
    workload.services.iter().map(|(key, map)| (key.to_string(), ports(map))).collect()
}

#[test]
fn each_endpoint_is_a_workload_of_its_own() {
    let spec = json!({
        "hosts": ["api.example.com", "lost.example.com"], "resolution": "STATIC",
        "ports": [{"number": 80, "name": "http"}, {"number": 443, "name": "tls", "targetPort": 8443}],
        "endpoints": [
            {"address": "10.1.0.1", "network": "east", "weight": 7, "locality": "eu/eu-1/rack",
             "ports": {"tls": 9443, "other": 1}, "serviceAccount": "api",
             "labels": {"app": "mine", "version": "2", "networking.istio.io/tunnel": "none, http"}},
            {"address": "10.1.0.2", "locality": "eu/eu-2", "weight": 0, "ports": {"http": 8080}},
            {"address": "db.example.org", "locality": "eu"},
        ],
    });
    let labels = [("app.kubernetes.io/name", "the-api"), ("version", "1")];
    let entry = ServiceEntry::read(meta("api", &labels, &[]), &json!({"spec": spec}));
    let found = workloads_of(&entry, &["api.example.com"]);
    let uids: Vec<&str> = found.iter().map(|workload| &*workload.uid).collect();
    let uid = "Kubernetes/networking.istio.io/ServiceEntry/shop/api/";
    assert_eq!(uids, ["10.1.0.1", "10.1.0.2", "db.example.org"].map(|at| format!("{uid}{at}")));
    let [east, here, named] = &found[..] else { panic!("{found:?}") };

    assert_eq!((&*east.network, east.network_gateway.clone()), ("east", Some(to_east())));
    // What one endpoint says of its network is nothing about the next.
    assert_eq!((&*here.network, here.network_gateway.clone()), ("west", None));
    assert_eq!((&*named.network, named.network_gateway.clone()), ("west", None));

    let place = |region: &str, zone: &str, subzone: &str| Locality {
        region: region.into(),
        zone: zone.into(),
        subzone: subzone.into(),
    };
    let places: Vec<_> = found.iter().map(|it| it.place.locality.clone()).collect();
    assert_eq!(places, [place("eu", "eu-1", "rack"), place("eu", "eu-2", ""), place("eu", "", "")]);
    assert_eq!(found.iter().map(|it| it.capacity).collect::<Vec<_>>(), [7, 1, 1]);

    let service = |ports| vec![("shop/api.example.com".to_owned(), ports)];
    assert_eq!(services(east), service(vec![(80, 80), (443, 9443)]));
    assert_eq!(services(here), service(vec![(80, 8080), (443, 8443)]));
    assert_eq!(services(named), service(vec![(80, 80), (443, 8443)]));

    assert_eq!((&*named.hostname, named.addresses.len()), ("db.example.org", 0));
    assert_eq!((&*here.hostname, here.addresses.to_vec()), ("", vec!["10.1.0.2".parse().unwrap()]));
    assert_eq!((east.protocol, east.native_tunnel), (Protocol::Hbone, true));
    assert_eq!((here.protocol, here.native_tunnel), (Protocol::Tcp, false));
    let called = |it: &Workload| {
        [&it.workload_name, &it.canonical_name, &it.canonical_revision].map(ToString::to_string)
    };
    assert_eq!(called(east), ["api", "mine", "2"]);
    assert_eq!(called(here), ["api", "the-api", "1"]);
    assert_eq!(east.identity().unwrap().to_string(), "spiffe://cluster.local/ns/shop/sa/api");
    for workload in &found {
        assert_eq!((workload.name(), workload.status), ("api", Health::Healthy));
        assert_eq!((workload.waypoint.clone(), workload.authorization_policies.len()), (Some(to_east()), 1));
    }
}

#[test]
fn an_endpoint_without_address_is_behind_the_gateway_of_its_network() {
    let entry = entry(&json!({"hosts": ["a.b"], "resolution": "STATIC", "endpoints": [{"network": "east"}]}));
    let [workload] = &workloads_of(&entry, &["a.b"])[..] else { panic!() };
    assert!(workload.uid.ends_with("/api/east"), "{}", workload.uid);
    assert_eq!((workload.addresses.len(), &*workload.hostname), (0, ""));
    assert_eq!(workload.network_gateway, Some(to_east()));
}

#[test]
fn a_host_that_is_looked_up_is_its_own_endpoint_unless_others_are_given() {
    let (hosts, endpoints) = (json!(["a.b", "c.d", "*.e.f"]), json!([{"address": "10.0.0.1"}]));
    let selector = json!({"labels": {"app": "x"}});
    for (resolution, given, expected) in [
        ("DNS", json!({}), &["a.b", "c.d"][..]),
        ("DYNAMIC_DNS", json!({}), &["a.b", "c.d"]),
        ("STATIC", json!({}), &[]),
        ("NONE", json!({}), &[]),
        ("DNS", json!({"endpoints": endpoints}), &[""]),
        ("DNS", json!({"workloadSelector": selector}), &[]),
    ] {
        let mut spec = given.clone();
        spec["hosts"] = hosts.clone();
        spec["resolution"] = json!(resolution);
        let found = workloads_of(&entry(&spec), &["a.b", "c.d", "*.e.f"]);
        let names: Vec<&str> = found.iter().map(|workload| &*workload.hostname).collect();
        assert_eq!(names, expected, "{resolution} {given}");
        for workload in found.iter().filter(|workload| !workload.hostname.is_empty()) {
            let keys: Vec<_> = workload.services.keys().map(ToString::to_string).collect();
            assert_eq!(keys, [format!("shop/{}", workload.hostname)]);
        }
    }
}

#[test]
fn endpoints_of_a_name_that_was_lost_to_another_object_are_none() {
    let entry = entry(&json!({"hosts": ["a.b", "c.d"], "endpoints": [{"address": "10.0.0.1"}]}));
    let memberships = |won: &[&str]| -> Vec<String> {
        let found = workloads_of(&entry, won);
        found.iter().flat_map(|it| it.services.keys().map(ToString::to_string).collect::<Vec<_>>()).collect()
    };
    assert_eq!(memberships(&["a.b", "c.d"]), ["shop/a.b", "shop/c.d"]);
    assert_eq!(memberships(&["c.d"]), ["shop/c.d"]);
    assert!(workloads_of(&entry, &[]).is_empty());
    assert!(workloads_of(&entry, &["x.y"]).is_empty());
    let hidden =
        super::entry(&json!({"hosts": ["a.b"], "exportTo": ["~"], "endpoints": [{"address": "10.0.0.1"}]}));
    assert!(workloads_of(&hidden, &["a.b"]).is_empty());
}

#[test]
fn a_selected_pod_serves_at_its_own_port_of_the_name() {
    let entry = entry(&json!({"hosts": ["a.b"], "ports": [
        {"number": 80, "name": "http"}, {"number": 443, "name": "tls", "targetPort": 8443}, {"number": 9, "name": "x"},
    ]}));
    let named =
        |name: &str| [("http", 8080), ("tls", 9443)].into_iter().find(|it| it.0 == name).map(|it| it.1);
    assert_eq!(ports(&entry.ports_of_pod(named)), [(9, 9), (80, 8080), (443, 9443)]);
    assert_eq!(ports(&entry.ports_of_pod(|_| None)), [(9, 9), (80, 80), (443, 8443)]);
    let machine = |spec: Value| WorkloadEntry::read(meta("vm", &[], &[]), &json!({"spec": spec}));
    let vm = machine(json!({"address": "10.0.0.1", "ports": {"http": 8081}}));
    assert_eq!(ports(&entry.ports_of_entry(&vm)), [(9, 9), (80, 8081), (443, 8443)]);
}

#[test]
fn a_machine_serves_a_service_at_its_own_port_of_the_name_and_an_unknown_name_nowhere() {
    let spec = json!({"address": "10.0.0.1", "ports": {"http": 8081, "web": 3000}});
    let vm = WorkloadEntry::read(meta("vm", &[], &[]), &json!({"spec": spec}));
    let declared = [
        (80, "http", Target::Number(8080)),
        (81, "other", Target::Number(8080)),
        (82, "http", Target::Name("web")),
        (83, "http", Target::Name("unknown")),
        (84, "", Target::Number(84)),
    ];
    assert_eq!(
        ports(&vm.ports_of_service(declared.into_iter())),
        [(80, 8081), (81, 8080), (82, 3000), (84, 84)]
    );
}

fn machine(labels: Pairs<'_>, annotations: Pairs<'_>, object: &Value) -> Option<Workload> {
    let (settings, networks) = (Settings { trust_domain: "td".into(), ..Settings::default() }, networks());
    let around = Surroundings { settings: &settings, networks: &networks };
    let services: Memberships = [("shop/a.b".into(), PortMap::default())].into_iter().collect();
    let entry = WorkloadEntry::read(meta("vm", labels, annotations), object);
    entry.workload(services, &around, &Attached { policies: vec!["shop/p".into()], ..Attached::default() })
}

#[test]
fn a_machine_is_a_workload() {
    let object = json!({"spec": {
        "address": "::ffff:10.0.0.1", "network": "east", "serviceAccount": "vm", "weight": 3, "locality": "r/z/s",
        "labels": {"app": "db", "networking.istio.io/tunnel": "http"},
    }});
    let found = machine(&[("app", "overruled"), ("version", "7")], &[], &object).unwrap();
    assert_eq!(&*found.uid, "Kubernetes/networking.istio.io/WorkloadEntry/shop/vm");
    assert_eq!((found.name(), &*found.workload_name), ("vm", "vm"));
    assert_eq!((&*found.canonical_name, &*found.canonical_revision), ("db", "7"));
    assert_eq!(found.addresses.to_vec(), ["10.0.0.1".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(
        (&*found.network, found.network_gateway.clone(), found.capacity),
        ("east", Some(to_east()), 3)
    );
    assert_eq!((found.protocol, found.native_tunnel), (Protocol::Hbone, true));
    assert_eq!(found.identity().unwrap().to_string(), "spiffe://td/ns/shop/sa/vm");
    assert!(found.services.get("shop/a.b").is_some() && found.authorization_policies.len() == 1);

    assert_eq!(machine(&[], &[], &json!({"spec": {}})), None);
    let labelled = [("service.istio.io/workload-name", "labelled")];
    let group = [("istio.io/autoRegistrationGroup", "group")];
    let plain = json!({"spec": {"address": "10.0.0.1"}});
    let name = |labels, annotations| machine(labels, annotations, &plain).unwrap().workload_name.to_string();
    assert_eq!(
        [name(&labelled, &[]), name(&labelled, &group), name(&[], &group)],
        ["labelled", "group", "group"]
    );
}

#[test]
fn a_machine_whose_health_checks_fail_takes_no_traffic() {
    let condition = |kind: &str, status: &str| json!([{"type": "Other", "status": "False"}, {"type": kind, "status": status}]);
    for (conditions, expected) in [
        (json!([]), Health::Healthy),
        (condition("Healthy", "True"), Health::Healthy),
        (condition("Healthy", "Unknown"), Health::Healthy),
        (condition("Healthy", "False"), Health::Unhealthy),
        (json!("nonsense"), Health::Healthy),
    ] {
        let object = json!({"spec": {"address": "10.0.0.1"}, "status": {"conditions": conditions}});
        assert_eq!(machine(&[], &[], &object).unwrap().status, expected, "{conditions}");
    }
}
