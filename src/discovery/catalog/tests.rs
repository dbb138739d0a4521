//! Names, addresses, services and nodes lead to the right resources, and changes are told.

use std::net::IpAddr;

use culvert_core::policy::{Policy, Scope};
use culvert_core::service::Service;
use culvert_core::workload::{Place as NodePlace, Template, Workload};

use super::*;

const ADDRESSES: Collection = Collection::Addresses;

/// A workload of node `a`, in the service `ns/<service>` unless that is empty.
fn workload(uid: &str, ip: &str, service: &str) -> Change {
    let services = Some(service).filter(|it| !it.is_empty());
    let template = Template {
        namespace: "ns".into(),
        service_account: "default".into(),
        services: services
            .map(|name| (format!("ns/{name}").into(), [].into_iter().collect()))
            .into_iter()
            .collect(),
        ..Template::default()
    };
    let place = NodePlace { node: "a".into(), ..NodePlace::default() };
    Change::Put(Arc::new(Entry::workload(&Workload {
        uid: uid.into(),
        place: place.into(),
        addresses: [ip.parse::<IpAddr>().unwrap()].into_iter().collect(),
        template: template.into(),
        ..Workload::default()
    })))
}

/// The service `ns/<name>` with these addresses, single ones or blocks.
fn service(name: &str, addresses: &[&str]) -> Change {
    let network: Arc<str> = "".into();
    let blocks = addresses.iter().filter_map(|text| text.parse::<IpNet>().ok());
    let singles = addresses.iter().filter_map(|text| text.parse::<IpAddr>().ok());
    Change::Put(Arc::new(Entry::service(&Service {
        namespace: "ns".into(),
        hostname: name.into(),
        vips: singles.map(|ip| NetworkAddress::new(network.clone(), ip)).collect(),
        cidr_vips: blocks.map(|block| NetworkBlock { network: network.clone(), block }).collect(),
        ..Service::default()
    })))
}

fn gone(name: &str) -> Change {
    Change::Remove(ADDRESSES, name.into())
}

fn names<'a>(entries: impl IntoIterator<Item = &'a Arc<Entry>>) -> Vec<&'a str> {
    entries.into_iter().map(|entry| &*entry.name).collect()
}

#[test]
fn keys_lead_to_all_that_may_be_meant() {
    let mut catalog = Catalog::default();
    catalog.apply([
        workload("one", "10.0.0.1", "web"),
        workload("two", "10.0.0.2", "web"),
        service("web", &["10.9.0.1", "fd00::1"]),
        service("twin", &["10.9.0.1"]),
        service("wide", &["10.9.0.0/16"]),
        service("narrow", &["10.9.8.0/24"]),
    ]);
    let check = |key: &str, expected: &[&str]| {
        assert_eq!(names(catalog.resolve(ADDRESSES, key)), expected, "{key}");
    };
    check("one", &["one"]);
    check("/10.0.0.1", &["one"]);
    check("ns/web", &["ns/web"]);
    check("/10.9.0.1", &["ns/twin", "ns/web"]);
    check("/fd00::1", &["ns/web"]);
    check("/10.9.0.0/16", &["ns/wide"]);
    check("/10.9.7.1", &["ns/wide"]);
    check("/10.9.8.1", &["ns/narrow", "ns/wide"]);
    for nothing in ["/10.0.0.3", "west/10.9.8.1", "/fd00::2", "three", "", "/"] {
        check(nothing, &[]);
    }
    assert_eq!(names(catalog.members("ns/web")), ["one", "two"]);
    assert_eq!(names(catalog.on_node("a")), ["one", "two"]);
    let identities: Vec<_> = catalog.identities_on("a").into_iter().map(ToString::to_string).collect();
    assert_eq!(identities, ["spiffe://cluster.local/ns/ns/sa/default"]);
    assert!(catalog.identities_on("b").is_empty() && catalog.identities_on("").is_empty());
}

#[test]
fn what_is_replaced_or_gone_leaves_nothing_behind() {
    let mut catalog = Catalog::default();
    catalog.apply([workload("one", "10.0.0.1", "web"), service("web", &["10.9.0.0/16"])]);
    catalog.apply([workload("one", "10.0.0.2", ""), service("web", &["10.9.0.1"])]);
    for key in ["/10.0.0.1", "/10.9.0.0/16", "/10.9.0.2"] {
        assert!(catalog.resolve(ADDRESSES, key).is_empty(), "{key}");
    }
    assert_eq!(names(catalog.resolve(ADDRESSES, "/10.0.0.2")), ["one"]);
    assert_eq!(catalog.members("ns/web").count(), 0);
    catalog.apply([gone("one"), gone("ns/web"), gone("never there")]);
    let Catalog { addresses, policies, aliases, members, nodes, hosts, blocks, log: _ } = &catalog;
    assert!(addresses.len() == 0 && policies.len() == 0 && *blocks == 0);
    assert!([aliases, members, nodes, hosts].into_iter().all(Names::is_empty));
}

#[test]
fn a_generation_is_something_different() {
    let mut catalog = Catalog::default();
    catalog.apply([workload("one", "10.0.0.1", "web")]);
    catalog.apply([workload("one", "10.0.0.1", "web"), gone("two")]);
    assert_eq!(catalog.generation(), 1);
    let before = catalog.moment().clone();
    catalog.apply([workload("one", "10.0.0.2", "web")]);
    let changes: Vec<_> = before.later().collect();
    assert_eq!(changes.len(), 1);
    assert_eq!(&*changes[0].name, "one");
    assert_eq!(*changes[0].aliases, ["/10.0.0.1".into(), "/10.0.0.2".into()], "the old one and the new one");
}

#[test]
fn a_version_is_that_of_the_bytes() {
    let policy = |name: &str| {
        Entry::policy(&Policy::unusable(name.into(), "ns".into(), Scope::Namespace, "why".into()))
    };
    let (one, same, other) = (policy("ns/one"), policy("ns/one"), policy("ns/other"));
    assert_eq!(one.version, same.version);
    assert_ne!(one.version, other.version);
    let text = one.version.to_string();
    assert_eq!((text.len(), Version::parse(&text)), (16, Some(one.version)));
    for strange in ["", "1", "+000000000000001", "000000000000000G", "00000000000000000"] {
        assert_eq!(Version::parse(strange), None, "{strange}");
    }
    // The same in every release: nodes that come back after an update of the control plane are sent nothing.
    assert_eq!(Version::of(b"culvert").to_string(), "8a1e376072bca07a");
}

#[test]
fn the_alias_of_a_block_says_which_one() {
    for (network, text) in [("", "10.2.0.0/24"), ("west", "fd00::/16"), ("a/b", "0.0.0.0/0")] {
        let block = NetworkBlock { network: network.into(), block: text.parse().unwrap() };
        assert_eq!(as_block(&block.to_string()), Some(block), "{text}");
    }
    for other in ["/10.2.0.7", "/fd00::1", "ns/s1", "/10.2.0.0/33", "/x/24", "10.2.0.0/24", "w//ns/1", ""] {
        assert_eq!(as_block(other), None, "{other}");
    }
}
