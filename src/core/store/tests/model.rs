//! A model that keeps resources in lists and scans them for every answer.

use std::collections::BTreeMap;
use std::net::IpAddr;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::policy::Scope;
use crate::workload::Protocol;

#[derive(Default)]
struct Model {
    workloads: BTreeMap<Arc<str>, Workload>,
    services: BTreeMap<Arc<str>, Service>,
    policies: BTreeMap<Arc<str>, Policy>,
}

const NAMESPACES: [&str; 3] = ["a", "b", "c"];
const HOSTS: [&str; 4] = ["h1", "h2", "h3", "h4"];
const NETWORKS: [&str; 2] = ["", "west"];
const ADDRESSES: [&str; 6] = ["10.0.0.1", "10.0.0.2", "10.0.1.1", "10.1.0.1", "fd00::1", "fd00:1::1"];
const BLOCKS: [&str; 5] = ["10.0.0.0/8", "10.0.0.0/24", "10.1.0.0/16", "fd00::/16", "0.0.0.0/0"];

impl Model {
    fn insert(&mut self, resource: Resource) {
        let name = resource.name();
        match resource {
            Resource::Workload(workload) => drop(self.workloads.insert(name, workload)),
            Resource::Service(service) => drop(self.services.insert(name, service)),
            Resource::Policy(policy) => drop(self.policies.insert(name, policy)),
        }
    }

    fn remove_address(&mut self, name: &str) {
        if self.workloads.remove(name).is_none() {
            self.services.remove(name);
        }
    }

    fn workload_at(&self, network: &str, ip: IpAddr) -> Option<&Arc<str>> {
        let here = |it: &&Workload| {
            it.network_mode == NetworkMode::Standard && &*it.network == network && it.addresses.contains(&ip)
        };
        let rank = |it: &&Workload| match (it.uid.contains("//Pod/"), it.protocol) {
            (true, Protocol::Hbone) => 0,
            (true, Protocol::Tcp) => 1,
            (false, Protocol::Hbone) => 2,
            (false, Protocol::Tcp) => 3,
        };
        self.workloads.values().filter(here).min_by_key(rank).map(|it| &it.uid)
    }

    /// By virtual address: a list of preferences tried one after the other.
    fn service_at(&self, network: &str, ip: IpAddr, client: &str) -> Option<Arc<str>> {
        let visible = || self.services.values().filter(|it| it.visible_to(client));
        let exact: Vec<&Service> =
            visible().filter(|it| it.vips.iter().any(|v| &*v.network == network && v.ip == ip)).collect();
        preferred(&exact, client).or_else(|| {
            let length = |it: &Service| {
                let around =
                    |b: &&crate::address::NetworkBlock| &*b.network == network && b.block.contains(&ip);
                it.cidr_vips.iter().filter(around).map(|b| b.block.prefix_len()).max()
            };
            let mut around: Vec<&Service> = visible().filter(|it| length(it).is_some()).collect();
            let own = around.iter().any(|it| &*it.namespace == client);
            around.retain(|it| !own || &*it.namespace == client);
            let longest = around.iter().filter_map(|it| length(it)).max();
            around.retain(|it| length(it) == longest);
            preferred(&around, client)
        })
    }

    fn service_named(&self, hostname: &str, client: &str) -> Option<Arc<str>> {
        let named = self.services.values().filter(|it| it.visible_to(client) && &*it.hostname == hostname);
        preferred(&named.collect::<Vec<_>>(), client)
    }

    fn backends(&self, key: &str) -> Vec<&str> {
        let policy = self.services[key].load_balancer.health_policy;
        let counts = |it: &&Workload| it.services.get(key).is_some() && policy.admits(it.status);
        self.workloads.values().filter(counts).map(|it| &*it.uid).collect()
    }

    fn policies(&self, workload: &Workload) -> Vec<&str> {
        let governs = |it: &&Policy| match it.scope {
            Scope::Global => true,
            Scope::Namespace => it.namespace == workload.namespace,
            Scope::WorkloadSelector => false,
        };
        let attached = workload.authorization_policies.iter().filter_map(|key| self.policies.get(key));
        let mut keys: Vec<&str> =
            self.policies.values().filter(governs).chain(attached).map(|it| &*it.key).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

/// The own namespace, else canonical, else the first by key.
fn preferred(services: &[&Service], client: &str) -> Option<Arc<str>> {
    let own = services.iter().filter(|it| &*it.namespace == client);
    let canonical = services.iter().filter(|it| it.canonical);
    // Within the own namespace, too, the canonical one comes first.
    let both = services.iter().filter(|it| it.canonical && &*it.namespace == client);
    let first = |mut keys: Vec<Arc<str>>| {
        keys.sort_unstable();
        keys.into_iter().next()
    };
    first(both.map(|it| it.key()).collect())
        .or_else(|| first(own.map(|it| it.key()).collect()))
        .or_else(|| first(canonical.map(|it| it.key()).collect()))
        .or_else(|| first(services.iter().map(|it| it.key()).collect()))
}

struct Dice(SmallRng);

impl Dice {
    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        *of.choose(&mut self.0).unwrap()
    }

    fn some<T: Copy>(&mut self, of: &[T]) -> Vec<T> {
        of.iter().copied().filter(|_| self.0.random_bool(0.3)).collect()
    }

    fn coin(&mut self) -> bool {
        self.0.random_bool(0.5)
    }

    fn key(&mut self) -> String {
        format!("{}/{}", self.one(&NAMESPACES), self.one(&HOSTS))
    }

    fn workload(&mut self) -> Workload {
        let namespace = self.one(&NAMESPACES);
        let uid = format!("k//{}/{namespace}/{}", self.one(&["Pod", "Entry"]), self.one(&HOSTS));
        let workload = Workload {
            named: Name::of(&uid, self.one(&HOSTS)),
            place: on(self.one(&[HERE, "there"])),
            addresses: self.some(&ADDRESSES).iter().map(|ip| ip.parse().unwrap()).collect(),
            status: self.one(&[Health::Healthy, Health::Unhealthy]),
            ..workload(&uid, &[])
        };
        let references = (0..self.0.random_range(0..3)).map(|_| self.key().into()).collect();
        let services = (0..self.0.random_range(0..4))
            .map(|_| (self.key().into(), [(80, self.0.random_range(1..9))].into_iter().collect()))
            .collect();
        workload.with(|it| {
            it.namespace = namespace.into();
            it.network = self.one(&NETWORKS).into();
            it.hostname = self.one(&["", "x.example"]).into();
            it.protocol = self.one(&[Protocol::Hbone, Protocol::Tcp]);
            it.network_mode =
                self.one(&[NetworkMode::Standard, NetworkMode::Standard, NetworkMode::HostNetwork]);
            it.authorization_policies = references;
            it.services = services;
        })
    }

    fn service(&mut self) -> Service {
        let network = self.one(&NETWORKS);
        let mut service = service(self.one(&HOSTS), &self.some(&ADDRESSES), &self.some(&BLOCKS));
        service.namespace = self.one(&NAMESPACES).into();
        service.vips.iter_mut().for_each(|vip| vip.network = network.into());
        service.cidr_vips.iter_mut().for_each(|block| block.network = network.into());
        service.canonical = self.coin();
        service.visibility =
            self.one(&[crate::service::Visibility::Public, crate::service::Visibility::Namespace]);
        service.load_balancer.health_policy = self.one(&[HealthPolicy::OnlyHealthy, HealthPolicy::AllowAll]);
        service
    }

    fn policy(&mut self) -> Policy {
        let (namespace, key) = (self.one(&NAMESPACES), self.key());
        let scope = self.one(&[Scope::Global, Scope::Namespace, Scope::WorkloadSelector]);
        Policy::unusable(key.into(), namespace.into(), scope, self.one(&["one", "two"]).into())
    }
}

fn assert_agree(store: &Store, model: &Model) {
    let snapshot = store.snapshot();
    let sorted = |mut keys: Vec<Arc<str>>| {
        keys.sort_unstable();
        keys
    };
    let uids = sorted(snapshot.workloads().map(|it| it.uid.clone()).collect());
    assert_eq!(uids, model.workloads.keys().cloned().collect::<Vec<_>>());
    for network in NETWORKS {
        for ip in ADDRESSES.map(|ip| ip.parse().unwrap()) {
            let found = snapshot.workload_by_address(network, ip).map(|it| &it.uid);
            assert_eq!(found, model.workload_at(network, ip));
            for client in NAMESPACES {
                let found = snapshot.service_by_vip(network, ip, client).map(|it| it.key());
                assert_eq!(found, model.service_at(network, ip, client), "{network}/{ip} from {client}");
            }
        }
    }
    for host in HOSTS {
        for client in NAMESPACES {
            let found = snapshot.service_by_hostname(host, client).map(|it| it.key());
            assert_eq!(found, model.service_named(host, client));
        }
    }
    for (key, service) in &model.services {
        assert_eq!(snapshot.service(key).map(|it| &**it), Some(service));
        let backed = snapshot.services.get(&**key).unwrap();
        let mut backends: Vec<&str> = backed.backends().map(|(workload, _)| &*workload.uid).collect();
        backends.sort_unstable();
        assert_eq!(backends, model.backends(key));
    }
    for workload in model.workloads.values() {
        assert_eq!(snapshot.workload(&workload.uid).map(|it| &**it), Some(workload));
        let set = snapshot.policies_for(workload);
        let mut keys: Vec<&str> = set.iter().map(|it| &*it.key).collect();
        keys.sort_unstable();
        assert_eq!(keys, model.policies(workload));
        let local = snapshot.local_workloads().any(|it| it.uid == workload.uid);
        assert_eq!(local, &*workload.place.node == HERE);
        let hosted = snapshot.by_hostname.find(&workload.hostname).any(|it| it.0.uid == workload.uid);
        assert_eq!(hosted, !workload.hostname.is_empty());
    }
}

#[test]
fn the_store_agrees_with_the_model_after_every_step() {
    let mut dice = Dice(SmallRng::seed_from_u64(11));
    let (mut store, mut model) = (store(), Model::default());
    for _ in 0..4000 {
        match dice.0.random_range(0..10) {
            0..=3 => {
                let resource = Resource::Workload(dice.workload());
                model.insert(resource.clone());
                store.insert(resource);
            }
            4 | 5 => {
                let resource = Resource::Service(dice.service());
                model.insert(resource.clone());
                store.insert(resource);
            }
            6 => {
                let resource = Resource::Policy(dice.policy());
                model.insert(resource.clone());
                store.insert(resource);
            }
            7 => {
                let key = dice.key();
                model.policies.remove(&*key);
                store.remove_policy(&key);
            }
            _ => {
                let uids: Vec<Arc<str>> = model.workloads.keys().cloned().collect();
                let uid = uids.choose(&mut dice.0).filter(|_| dice.0.clone().random_bool(0.5));
                let name = uid.cloned().unwrap_or_else(|| dice.key().into());
                model.remove_address(&name);
                store.remove_address(&name);
            }
        }
        assert_agree(&store, &model);
    }
    for name in model.workloads.keys().chain(model.services.keys()) {
        store.remove_address(name);
    }
    for key in model.policies.keys() {
        store.remove_policy(key);
    }
    assert_empty(&store);
}

#[test]
fn the_order_of_changes_does_not_matter() {
    let mut dice = Dice(SmallRng::seed_from_u64(5));
    for _ in 0..30 {
        let mut model = Model::default();
        for _ in 0..20 {
            model.insert(Resource::Workload(dice.workload()));
            model.insert(Resource::Service(dice.service()));
            model.insert(Resource::Policy(dice.policy()));
        }
        let workloads = model.workloads.values().cloned().map(Resource::Workload);
        let services = model.services.values().cloned().map(Resource::Service);
        let policies = model.policies.values().cloned().map(Resource::Policy);
        let mut resources: Vec<Resource> = workloads.chain(services).chain(policies).collect();
        rand::seq::SliceRandom::shuffle(&mut resources[..], &mut dice.0);
        let mut store = store();
        resources.into_iter().for_each(|resource| store.insert(resource));
        assert_agree(&store, &model);
    }
}
