//! Sessions under steps of a client, and under random steps next to a model that is too simple to be wrong.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};

use culvert_core::address::NetworkAddress;
use culvert_core::policy::{Policy, Scope};
use culvert_core::service::Service;
use culvert_core::workload::{Place, Template, Workload};
use culvert_proto::rpc;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::catalog::{Change, Entry};

use super::*;

mod around;
mod stand_ins;

const ADDRESSES: Collection = Collection::Addresses;
const POLICIES: Collection = Collection::Policies;

fn workload(number: u8, revision: &str, node: &str, services: &[u8]) -> Change {
    let template = Template {
        namespace: "ns".into(),
        canonical_revision: revision.into(),
        services: services.iter().map(|it| (format!("ns/s{it}").into(), [].into_iter().collect())).collect(),
        ..Template::default()
    };
    Change::Put(Arc::new(Entry::workload(&Workload {
        uid: format!("w{number}").into(),
        place: Arc::new(Place { node: node.into(), ..Place::default() }),
        addresses: [ip(0, number)].into_iter().collect(),
        template: template.into(),
        ..Workload::default()
    })))
}

fn service(number: u8, revision: &str) -> Change {
    Change::Put(Arc::new(Entry::service(&Service {
        name: revision.into(),
        namespace: "ns".into(),
        hostname: format!("s{number}").into(),
        vips: vec![NetworkAddress::new("", ip(1, number))],
        ..Service::default()
    })))
}

fn policy(number: u8, dry_run: bool) -> Change {
    let key = format!("ns/p{number}").into();
    let policy = Policy::unusable(key, "ns".into(), Scope::Namespace, "why".into());
    Change::Put(Arc::new(Entry::policy(&Policy { dry_run, ..policy })))
}

fn gone(name: &str) -> Change {
    Change::Remove(ADDRESSES, name.into())
}

fn ip(kind: u8, number: u8) -> IpAddr {
    Ipv4Addr::new(10, kind, 0, number).into()
}

/// A client that believes what it is told.
struct Client {
    session: Session,
    has: HashMap<Collection, BTreeMap<String, String>>,
    aliases: BTreeSet<String>,
    /// What each response said: `+name` and `-name`.
    told: Vec<String>,
    nonces: Vec<String>,
    wildcard: bool,
}

impl Client {
    /// One that is on node `a`.
    fn new(catalog: &Catalog) -> Self {
        Self {
            session: Session::new(catalog, "a", &Reach::Everything),
            has: HashMap::new(),
            aliases: BTreeSet::new(),
            told: Vec::new(),
            nonces: Vec::new(),
            wildcard: false,
        }
    }

    /// Subscribes to everything.
    fn wildcard(catalog: &Catalog) -> Self {
        let mut client = Self::new(catalog);
        client.send(catalog, ADDRESSES, &[], &[]);
        client.send(catalog, POLICIES, &[], &[]);
        client.wildcard = true;
        client
    }

    /// Subscribes to addresses on demand.
    fn on_demand(catalog: &Catalog) -> Self {
        let mut client = Self::new(catalog);
        client.send(catalog, ADDRESSES, &["*"], &["*"]);
        client
    }

    fn send(&mut self, catalog: &Catalog, of: Collection, subscribe: &[&str], unsubscribe: &[&str]) {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        self.request(
            catalog,
            DeltaDiscoveryRequest {
                type_url: of.url().to_owned(),
                resource_names_subscribe: names(subscribe),
                resource_names_unsubscribe: names(unsubscribe),
                ..DeltaDiscoveryRequest::default()
            },
        );
    }

    fn request(&mut self, catalog: &Catalog, request: DeltaDiscoveryRequest) {
        assert_eq!(self.session.take(catalog, &request).unwrap(), None);
    }

    /// Comes back with all it has.
    fn reconnect(&mut self, catalog: &Catalog, wildcard: bool) {
        self.session = Session::new(catalog, "a", &Reach::Everything);
        let star = if wildcard { vec![] } else { vec!["*".to_owned()] };
        for of in [ADDRESSES, POLICIES] {
            self.request(
                catalog,
                DeltaDiscoveryRequest {
                    type_url: of.url().to_owned(),
                    resource_names_subscribe: star.clone(),
                    resource_names_unsubscribe: star.clone(),
                    initial_resource_versions: self.has.get(&of).cloned().unwrap_or_default(),
                    ..DeltaDiscoveryRequest::default()
                },
            );
        }
    }

    /// Takes at most this many responses.
    fn receive(&mut self, catalog: &Catalog, most: usize) -> usize {
        for count in 0..most {
            let Some(response) = self.session.respond(catalog) else { return count };
            self.believe(&response);
        }
        most
    }

    fn believe(&mut self, response: &DeltaDiscoveryResponse) {
        let has = self.has.entry(Collection::of_url(&response.type_url).unwrap()).or_default();
        for resource in &response.resources {
            self.told.push(format!("+{}", resource.name));
            let before = has.insert(resource.name.clone(), resource.version.clone());
            assert!(
                !self.wildcard || before.as_ref() != Some(&resource.version),
                "{} is sent twice",
                resource.name
            );
            self.aliases.extend(resource.aliases.iter().cloned());
        }
        for name in &response.removed_resources {
            self.told.push(format!("-{name}"));
            has.remove(name);
        }
        self.nonces.push(response.nonce.clone());
    }

    /// Takes all responses; gives what they said, one text each.
    fn heard(&mut self, catalog: &Catalog) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(response) = self.session.respond(catalog) {
            self.told.clear();
            self.believe(&response);
            said.push(self.told.join(" "));
        }
        assert!(!self.session.is_pending());
        said
    }
}

fn catalog(changes: impl IntoIterator<Item = Change>) -> Catalog {
    let mut catalog = Catalog::default();
    catalog.apply(changes);
    catalog
}

/// What a client with everything has.
fn all(catalog: &Catalog, of: Collection) -> BTreeMap<String, String> {
    catalog.all(of).map(|(_, entry)| (entry.name.to_string(), entry.version.to_string())).collect()
}

#[test]
fn everything_comes_in_an_order_that_is_safe_to_use() {
    let mut catalog = catalog([workload(1, "", "a", &[1]), service(1, ""), policy(1, false)]);
    let mut client = Client::wildcard(&catalog);
    assert_eq!(client.heard(&catalog), ["+ns/p1", "+ns/s1 +w1"]);
    assert!(client.aliases.is_empty(), "they are of no use to somebody who has everything");
    catalog.apply([
        gone("w1"),
        gone("ns/s1"),
        Change::Remove(POLICIES, "ns/p1".into()),
        policy(2, false),
        service(2, ""),
    ]);
    assert_eq!(client.heard(&catalog), ["+ns/p2", "+ns/s2 -ns/s1 -w1", "-ns/p1"]);
}

#[test]
fn nothing_is_an_answer_once() {
    let mut catalog = Catalog::default();
    let mut client = Client::wildcard(&catalog);
    assert_eq!(client.heard(&catalog), ["", ""]);
    assert_eq!(client.nonces, ["a1", "p1"]);
    client.send(&catalog, ADDRESSES, &[], &[]);
    assert_eq!(client.heard(&catalog), [""; 0]);
    catalog.apply([service(1, "")]);
    catalog.apply([gone("ns/s1")]);
    assert_eq!(client.heard(&catalog), [""; 0], "what came and went was never there");
}

#[test]
fn who_comes_back_is_told_the_difference() {
    let mut catalog = catalog([service(1, ""), service(2, ""), service(3, ""), policy(1, false)]);
    let mut client = Client::wildcard(&catalog);
    client.heard(&catalog);
    client.reconnect(&catalog, true);
    assert_eq!(client.heard(&catalog), ["", ""], "an empty answer to each request");
    catalog.apply([service(2, "new"), gone("ns/s3"), service(4, "")]);
    client.reconnect(&catalog, true);
    assert_eq!(client.heard(&catalog), ["+ns/s2 +ns/s4 -ns/s3", ""]);
}

#[test]
fn claims_may_come_in_parts_even_late() {
    let catalog = catalog([service(1, ""), service(2, "")]);
    let versions = all(&catalog, ADDRESSES);
    let claim = |name: &str, version: &str| DeltaDiscoveryRequest {
        type_url: ADDRESSES.url().to_owned(),
        initial_resource_versions: [(name.to_owned(), version.to_owned())].into(),
        ..DeltaDiscoveryRequest::default()
    };
    let mut client = Client::new(&catalog);
    client.request(&catalog, claim("ns/s1", &versions["ns/s1"]));
    client.request(&catalog, claim("ns/s2", &versions["ns/s2"]));
    client.request(&catalog, claim("ns/s3", "0123456789abcdef"));
    assert_eq!(client.heard(&catalog), ["-ns/s3"]);
    client.request(&catalog, claim("ns/s1", "what was sent counts"));
    client.request(&catalog, claim("ns/s4", ""));
    assert_eq!(client.heard(&catalog), ["-ns/s4"]);
}

#[test]
fn on_demand_means_own_workloads_and_what_is_named() {
    let mut catalog = catalog([
        workload(1, "", "a", &[]),
        workload(2, "", "b", &[1]),
        workload(3, "", "b", &[]),
        service(1, ""),
    ]);
    let mut client = Client::on_demand(&catalog);
    assert_eq!(client.heard(&catalog), ["+w1"]);
    assert!(client.aliases.contains("/10.0.0.1"));
    client.send(&catalog, ADDRESSES, &["/10.1.0.1"], &[]);
    assert_eq!(client.heard(&catalog), ["+ns/s1 +w2"]);
    assert!(client.aliases.contains("/10.1.0.1"));
    client.send(&catalog, ADDRESSES, &["ns/s2", "/10.0.0.3", "w9"], &[]);
    assert_eq!(client.heard(&catalog), ["+w3 -ns/s2 -w9"]);
    client.send(&catalog, ADDRESSES, &["/10.0.0.3"], &[]);
    assert_eq!(client.heard(&catalog), ["+w3"], "who asks again waits again");

    catalog.apply([
        service(2, ""),
        workload(4, "", "b", &[2]),
        workload(5, "", "b", &[1]),
        workload(6, "", "b", &[]),
    ]);
    assert_eq!(
        client.heard(&catalog),
        ["+ns/s2 +w4 +w5"],
        "what was named and was not there, and what joined"
    );
    client.send(&catalog, ADDRESSES, &[], &["/10.1.0.1"]);
    catalog.apply([workload(2, "new", "b", &[1]), service(1, "new"), workload(4, "new", "b", &[2])]);
    assert_eq!(client.heard(&catalog), ["+w4"], "what is not named any more is not told");
    catalog.apply([gone("w1"), gone("w2")]);
    assert_eq!(client.heard(&catalog), ["-w1"]);
}

#[test]
fn on_demand_survives_a_reconnect() {
    let mut catalog = catalog([workload(2, "", "b", &[1]), service(1, "")]);
    let mut client = Client::on_demand(&catalog);
    client.send(&catalog, ADDRESSES, &["/10.1.0.1", "ns/s9"], &[]);
    client.heard(&catalog);
    catalog.apply([workload(3, "", "b", &[1]), gone("w2")]);
    // What was asked for and not answered is claimed without a version.
    client
        .has
        .entry(ADDRESSES)
        .or_default()
        .extend([("ns/s8".to_owned(), String::new()), ("/10.0.0.3".to_owned(), String::new())]);
    client.reconnect(&catalog, false);
    assert_eq!(client.heard(&catalog), ["+w3 -ns/s8 -w2", ""]);
    catalog.apply([service(1, "new"), workload(4, "", "b", &[1])]);
    assert_eq!(client.heard(&catalog), ["+ns/s1 +w4"], "the service is still followed");
}

#[test]
fn a_refused_response_is_not_repeated() {
    let mut catalog = catalog([service(1, "")]);
    let mut client = Client::wildcard(&catalog);
    client.heard(&catalog);
    let refuse = |nonce: &str| DeltaDiscoveryRequest {
        type_url: ADDRESSES.url().to_owned(),
        response_nonce: nonce.to_owned(),
        error_detail: Some(rpc::Status { code: 0, message: "ns/s1: no".to_owned() }),
        ..DeltaDiscoveryRequest::default()
    };
    let refused = client.session.take(&catalog, &refuse("a1")).unwrap().unwrap();
    assert_eq!((refused.reason.as_str(), refused.nonce.as_str()), ("ns/s1: no", "a1"));
    for stale in ["a1", "a2", "p1x", "x"] {
        client.request(&catalog, refuse(stale));
    }
    assert_eq!(client.heard(&catalog), [""; 0]);
    catalog.apply([service(1, "new")]);
    assert_eq!(client.heard(&catalog), ["+ns/s1"]);
}

#[test]
fn much_comes_in_parts() {
    let name = |n: usize| format!("ns/{n:05}");
    let service = |n| {
        Change::Put(Arc::new(Entry::service(&Service {
            namespace: "ns".into(),
            hostname: format!("{n:05}").into(),
            ..Service::default()
        })))
    };
    let mut catalog = catalog((0..9000).map(service));
    let mut client = Client::wildcard(&catalog);
    let said = client.heard(&catalog);
    let counts: Vec<_> = said.iter().map(|text| text.split_whitespace().count()).collect();
    assert_eq!(counts, [[500; 18].as_slice(), &[0]].concat());
    assert_eq!(client.nonces.last().unwrap(), "p1");
    assert_eq!(client.nonces[17], "a18");
    assert_eq!(client.has[&ADDRESSES], all(&catalog, ADDRESSES));

    // However many changes come before they are looked at, none is lost.
    for _ in 0..2 {
        catalog.apply((0..9000).map(|n| gone(&name(n))));
        catalog.apply((100..9000).map(service));
    }
    assert_eq!(client.session.moment.later().count(), 9000 + 3 * 8900);
    client.heard(&catalog);
    assert_eq!(client.has[&ADDRESSES], all(&catalog, ADDRESSES));
}

#[test]
fn large_resources_share_no_response() {
    let large = |n: u8| {
        let service = Service {
            name: "x".repeat(64 * 1024 + 1).into(),
            namespace: "ns".into(),
            hostname: format!("s{n}").into(),
            ..Service::default()
        };
        Change::Put(Arc::new(Entry::service(&service)))
    };
    let catalog = catalog([large(1), large(2), service(3, "")]);
    let mut client = Client::wildcard(&catalog);
    assert_eq!(client.heard(&catalog), ["+ns/s1", "+ns/s2 +ns/s3", ""]);
}

/// One that may have what is near it: on node `a`, and the policies of two namespaces.
fn near() -> Reach {
    Reach::Near { node: "a".into(), namespaces: ["ns".to_owned(), "root".to_owned()].into() }
}

#[test]
fn the_proxy_of_one_workload_gets_what_it_names_and_what_is_on_its_node() {
    let mut catalog =
        catalog([workload(1, "", "a", &[]), workload(2, "", "b", &[1]), service(1, ""), service(2, "")]);
    let mut client = Client::on_demand(&catalog);
    client.session = Session::new(&catalog, "a", &near());
    client.send(&catalog, ADDRESSES, &["*"], &["*"]);
    assert_eq!(client.heard(&catalog), ["+w1"]);
    client.send(&catalog, ADDRESSES, &["ns/s1"], &[]);
    assert_eq!(client.heard(&catalog), ["+ns/s1 +w2"]);
    catalog.apply([workload(3, "", "a", &[]), workload(4, "", "b", &[])]);
    assert_eq!(client.heard(&catalog), ["+w3"]);
}

#[test]
fn the_proxy_of_one_workload_gets_no_list_of_everything() {
    let catalog = catalog([service(1, "")]);
    let request = |type_url: Collection, subscribe: &[&str]| DeltaDiscoveryRequest {
        type_url: type_url.url().to_owned(),
        resource_names_subscribe: subscribe.iter().map(ToString::to_string).collect(),
        ..DeltaDiscoveryRequest::default()
    };
    for wanted in [&[][..], &["*"], &["ns/s1", "*"]] {
        let mut session = Session::new(&catalog, "a", &near());
        assert_eq!(session.take(&catalog, &request(ADDRESSES, wanted)), Err(Error::Everything));
    }
    let mut later = Session::new(&catalog, "a", &near());
    assert_eq!(later.take(&catalog, &request(ADDRESSES, &["ns/s1"])).unwrap(), None);
    assert!(later.take(&catalog, &request(ADDRESSES, &["*"])).is_err());
}

#[test]
fn the_proxy_of_one_workload_names_little_at_a_time() {
    let catalog = catalog([service(1, "")]);
    let request = |names: Vec<String>| DeltaDiscoveryRequest {
        type_url: ADDRESSES.url().to_owned(),
        resource_names_subscribe: names,
        ..DeltaDiscoveryRequest::default()
    };
    // The same again is no less to look at.
    let again = request(vec!["ns/s1".to_owned(); 1001]);
    let refused = Session::new(&catalog, "a", &near()).take(&catalog, &again).unwrap_err();
    assert_eq!(refused, Error::Names { most: 1000 });
    let claims = (0..2003).map(|number| (format!("ns/{number}"), String::new())).collect();
    let claiming = DeltaDiscoveryRequest { initial_resource_versions: claims, ..request(Vec::new()) };
    let refused = Session::new(&catalog, "a", &near()).take(&catalog, &claiming).unwrap_err();
    assert_eq!(refused, Error::Unknown);
    assert!(
        Session::new(&catalog, "a", &near()).take(&catalog, &request(vec!["ns/s1".into(); 1000])).is_ok()
    );
}

#[test]
fn whatever_is_asked_a_stream_holds_on_to_no_changes() {
    let mut catalog = catalog([service(1, "")]);
    let mut session = Session::new(&catalog, "a", &near());
    catalog.apply([service(1, "new")]);
    let unknown = DeltaDiscoveryRequest { type_url: "of/nobody".into(), ..DeltaDiscoveryRequest::default() };
    assert_eq!(session.take(&catalog, &unknown).unwrap(), None);
    assert_eq!(session.generation(), catalog.generation());
}

#[test]
fn the_proxy_of_one_workload_gets_the_policies_that_may_govern_it() {
    let of = |key: &str| {
        let (namespace, _) = key.split_once('/').unwrap();
        let policy = Policy::unusable(key.into(), namespace.into(), Scope::Namespace, "why".into());
        Change::Put(Arc::new(Entry::policy(&policy)))
    };
    let mut catalog = catalog([of("ns/p"), of("root/p"), of("other/p"), of("n/p")]);
    let mut client = Client::on_demand(&catalog);
    client.session = Session::new(&catalog, "a", &near());
    client.send(&catalog, POLICIES, &[], &[]);
    assert_eq!(client.heard(&catalog), ["+ns/p +root/p"]);
    catalog.apply([of("ns/q"), of("other/q")]);
    assert_eq!(client.heard(&catalog), ["+ns/q"]);
    client.send(&catalog, POLICIES, &["other/q"], &[]);
    assert_eq!(client.heard(&catalog), ["+other/q"]);
}

#[test]
fn strange_requests_change_nothing_or_end_the_stream() {
    let catalog = catalog([service(1, "")]);
    let mut session = Session::new(&catalog, "", &Reach::Everything);
    let of = |type_url: &str, names: Vec<String>| DeltaDiscoveryRequest {
        type_url: type_url.to_owned(),
        resource_names_subscribe: names,
        ..DeltaDiscoveryRequest::default()
    };
    assert_eq!(session.take(&catalog, &of("type.googleapis.com/other", vec![])).unwrap(), None);
    assert!(!session.is_pending());
    let long = session.take(&catalog, &of(ADDRESSES.url(), vec!["x".repeat(1025)])).unwrap_err();
    assert_eq!(long, Error::LongName);
    let many = (0..60_000).map(|n| n.to_string()).collect();
    let many = session.take(&catalog, &of(ADDRESSES.url(), many)).unwrap_err();
    assert_eq!(many, Error::Unknown);
}

/// A random change among few names, so that things come back under their old names.
fn random_change(random: &mut StdRng) -> Change {
    let number = random.random_range(0..8);
    let revision = ["", "new", "newer"][random.random_range(0..3)];
    match random.random_range(0..6) {
        0 => gone(&format!("w{number}")),
        1 => gone(&format!("ns/s{number}")),
        2 => service(number, revision),
        3 => policy(number, random.random()),
        4 => Change::Remove(POLICIES, format!("ns/p{number}").into()),
        _ => {
            let node = ["a", "b"][random.random_range(0..2)];
            let services: Vec<u8> = (0..8).filter(|_| random.random_range(0..4) == 0).collect();
            workload(number, revision, node, &services)
        }
    }
}

fn random_changes(random: &mut StdRng, catalog: &mut Catalog) {
    let count = random.random_range(1..4);
    catalog.apply((0..count).map(|_| random_change(random)).collect::<Vec<_>>());
}

#[test]
fn a_client_with_everything_ends_up_with_what_there_is() {
    for seed in 0..200 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut catalog = Catalog::default();
        random_changes(&mut random, &mut catalog);
        let mut client = Client::wildcard(&catalog);
        for _ in 0..60 {
            match random.random_range(0..10) {
                0 => client.reconnect(&catalog, true),
                1..5 => {
                    client.receive(&catalog, random.random_range(0..3));
                }
                _ => random_changes(&mut random, &mut catalog),
            }
        }
        let generation = client.session.generation();
        client.receive(&catalog, usize::MAX);
        assert!(client.session.generation() >= generation && !client.session.is_pending());
        for of in [ADDRESSES, POLICIES] {
            assert_eq!(client.has.remove(&of).unwrap_or_default(), all(&catalog, of), "seed {seed}");
        }
    }
}

#[test]
fn a_client_on_demand_ends_up_with_what_it_wants_and_nothing_old() {
    for seed in 0..200 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut catalog = Catalog::default();
        random_changes(&mut random, &mut catalog);
        let mut client = Client::on_demand(&catalog);
        let mut keys = BTreeSet::new();
        for _ in 0..60 {
            match random.random_range(0..10) {
                0..3 => {
                    let number: u8 = random.random_range(0..8);
                    let key = match random.random_range(0..4) {
                        0 => format!("w{number}"),
                        1 => format!("ns/s{number}"),
                        kind => format!("/{}", ip(kind - 2, number)),
                    };
                    client.send(&catalog, ADDRESSES, &[&key], &[]);
                    keys.insert(key);
                }
                3..5 => {
                    client.receive(&catalog, random.random_range(0..3));
                }
                _ => random_changes(&mut random, &mut catalog),
            }
        }
        client.receive(&catalog, usize::MAX);
        let (has, there) = (client.has.remove(&ADDRESSES).unwrap_or_default(), all(&catalog, ADDRESSES));
        for (name, version) in &has {
            assert_eq!(there.get(name), Some(version), "seed {seed}: {name} is old");
        }
        for name in wanted(&catalog, &keys) {
            assert!(has.contains_key(&*name), "seed {seed}: {name} is wanted, keys {keys:?}");
        }
    }
}

/// What somebody on node `a` who named these keys wants, looked up one by one.
fn wanted(catalog: &Catalog, keys: &BTreeSet<String>) -> BTreeSet<Arc<str>> {
    let is_named =
        |entry: &Entry| keys.contains(&*entry.name) || entry.aliases.iter().any(|it| keys.contains(&**it));
    let named: Vec<_> =
        catalog.all(ADDRESSES).map(|(_, entry)| entry).filter(|entry| is_named(entry)).collect();
    let comes_along = |entry: &Entry| {
        let Some(place) = entry.place() else { return false };
        &*place.node == "a" || named.iter().any(|service| place.services.contains(&service.name))
    };
    let all = catalog.all(ADDRESSES).map(|(_, entry)| entry);
    all.filter(|it| is_named(it) || comes_along(it)).map(|it| it.name.clone()).collect()
}

#[test]
fn what_is_dropped_while_it_changes_is_told_first() {
    let mut catalog = Catalog::default();
    catalog.apply([workload(1, "old", "b", &[])]);
    let mut client = Client::on_demand(&catalog);
    client.send(&catalog, ADDRESSES, &["/10.0.0.1"], &[]);
    client.receive(&catalog, 10);
    catalog.apply([workload(1, "new", "b", &[])]);
    client.session.follow(&catalog);
    client.send(&catalog, ADDRESSES, &[], &["/10.0.0.1"]);
    client.receive(&catalog, 10);
    let newest = catalog.find(ADDRESSES, "w1").unwrap().version.to_string();
    assert_eq!(client.has[&ADDRESSES]["w1"], newest);
}
