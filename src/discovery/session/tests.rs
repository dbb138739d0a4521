//! Sessions under steps of a client.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};

use culvert_core::address::NetworkAddress;
use culvert_core::policy::{Policy, Scope};
use culvert_core::service::Service;
use culvert_core::workload::{Place, Template, Workload};
use culvert_proto::rpc;

use crate::catalog::{Change, Entry};

use super::*;

mod around;
mod blocks;
mod everything;
mod near;
mod on_demand;
mod random;
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

/// One that may have what is near it: on node `a`, and the policies of two namespaces.
fn near() -> Reach {
    Reach::Near { node: "a".into(), namespaces: ["ns".to_owned(), "root".to_owned()].into() }
}
