//! The same resources, out of a file, over the wire in order, and over the wire in any order, make the same mesh.
//!
//! In this process: what is compared is all answers of the mesh state, which no program shows as a whole.

use std::net::IpAddr;
use std::sync::Arc;

use culvert_core::intern::Interner;
use culvert_core::mesh_file;
use culvert_core::snapshot::Snapshot;
use culvert_core::store::{Locality, Resource, Store};
use culvert_core::workload::Workload;
use culvert_proto::xds;
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};

use crate::harness::ads::resources::of_yaml;

const NAMESPACES: [&str; 3] = ["a", "b", "c"];
const HOSTS: [&str; 4] = ["h1.example", "h2.example", "h3.example", "h4.example"];
const NETWORKS: [&str; 2] = ["", "west"];
const ADDRESSES: [&str; 7] =
    ["10.0.0.1", "10.0.0.2", "10.0.1.1", "10.1.0.1", "192.168.0.9", "fd00::1", "fd00:1::1"];
const BLOCKS: [&str; 4] = ["10.0.0.0/8", "10.0.0.0/24", "fd00::/16", "0.0.0.0/0"];

/// Makes up mesh files.
struct Author(SmallRng);

impl Author {
    fn one(&mut self, of: &[&'static str]) -> &'static str {
        of.choose(&mut self.0).unwrap()
    }

    fn some(&mut self, of: &[&'static str]) -> Vec<&'static str> {
        of.iter().copied().filter(|_| self.0.random_bool(0.3)).collect()
    }

    fn list(&mut self, of: &[&'static str]) -> String {
        self.some(of).iter().map(|item| format!("\"{item}\"")).collect::<Vec<_>>().join(", ")
    }

    fn keys(&mut self) -> Vec<String> {
        let mut keys: Vec<_> = (0..self.0.random_range(0..4))
            .map(|_| format!("{}/{}", self.one(&NAMESPACES), self.one(&HOSTS)))
            .collect();
        keys.sort();
        keys.dedup();
        keys
    }

    fn workload(&mut self, n: usize) -> String {
        let services: Vec<_> = self
            .keys()
            .iter()
            .map(|key| format!("\"{key}\": {{80: {}}}", self.0.random_range(1..9)))
            .collect();
        let kind = self.one(&["Pod", "Entry"]);
        format!(
            "- {{uid: k//{kind}/n/w{n}, name: w{n}, namespace: {}, serviceAccount: {}, trustDomain: {}, \
             network: \"{}\", node: {}, protocol: {}, networkMode: {}, status: {}, capacity: {}, hostname: \"{}\", \
             workloadIps: [{}], services: {{{}}}, authorizationPolicies: [{}], canonicalName: {}, \
             locality: {{region: {}, zone: z}}}}\n",
            self.one(&NAMESPACES),
            self.one(&["default", "shop"]),
            self.one(&["cluster.local", "other.example"]),
            self.one(&NETWORKS),
            self.one(&["here", "there"]),
            self.one(&["HBONE", "TCP"]),
            self.one(&["Standard", "Standard", "HostNetwork"]),
            self.one(&["Healthy", "Unhealthy"]),
            self.0.random_range(0..4),
            self.one(&["", "pod.example"]),
            self.list(&ADDRESSES),
            services.join(", "),
            self.keys().join(", "),
            self.one(&["one", "two"]),
            self.one(&["r1", "r2"]),
        )
    }

    fn service(&mut self, namespace: &str, host: &str) -> String {
        let network = self.one(&NETWORKS);
        let vips: Vec<_> = self.some(&ADDRESSES).iter().map(|ip| format!("\"{network}/{ip}\"")).collect();
        let blocks: Vec<_> = self
            .some(&BLOCKS)
            .iter()
            .map(|block| format!("{{network: \"{network}\", cidr: \"{block}\"}}"))
            .collect();
        format!(
            "- {{name: {host}, namespace: {namespace}, hostname: {host}, vips: [{}], cidrVips: [{}], \
             ports: {{80: {}}}, canonical: {}, visibility: {}, ipFamilies: {}, \
             subjectAltNames: [\"spiffe://cluster.local/ns/x/sa/y\"], \
             loadBalancer: {{routingPreferences: [Region, Zone], mode: {}, healthPolicy: {}}}}}\n",
            vips.join(", "),
            blocks.join(", "),
            self.one(&["0", "8080"]),
            self.0.random_bool(0.5),
            self.one(&["Public", "Namespace"]),
            self.one(&["Dual", "IPv4", "IPv6"]),
            self.one(&["Standard", "Strict", "Failover"]),
            self.one(&["OnlyHealthy", "AllowAll"]),
        )
    }

    fn policy(&mut self, namespace: &str, host: &str) -> String {
        let block = self.one(&BLOCKS);
        format!(
            "- {{name: {host}, namespace: {namespace}, scope: {}, action: {}, dryRun: {}, \
             rules: [[[{{namespaces: [Exact: {namespace}], sourceIps: [\"{block}\"], destinationPorts: [{}]}}]]]}}\n",
            self.one(&["Global", "Namespace", "WorkloadSelector"]),
            self.one(&["Allow", "Deny"]),
            self.0.random_bool(0.2),
            self.0.random_range(1..9),
        )
    }

    fn mesh(&mut self) -> String {
        let workloads: String = (0..40).map(|n| self.workload(n)).collect();
        let (mut services, mut policies) = (String::new(), String::new());
        for namespace in NAMESPACES {
            for host in HOSTS {
                if self.0.random_bool(0.7) {
                    services += &self.service(namespace, host);
                }
                if self.0.random_bool(0.5) {
                    policies += &self.policy(namespace, host);
                }
            }
        }
        format!("workloads:\n{workloads}services:\n{services}policies:\n{policies}")
    }
}

fn empty() -> Store {
    Store::new(Locality { network: "".into(), node: Some("here".into()) })
}

/// As a node does that reads a file.
fn from_file(text: &str) -> Store {
    let mesh = mesh_file::parse(text).unwrap();
    let mut store = empty();
    mesh.services.into_iter().map(Resource::Service).for_each(|it| store.insert(it));
    mesh.policies.into_iter().map(Resource::Policy).for_each(|it| store.insert(it));
    mesh.workloads.into_iter().map(Resource::Workload).for_each(|it| store.insert(it));
    store
}

/// As a node does that is told over the wire.
fn insert(store: &mut Store, resource: &xds::Resource, names: &mut Interner) {
    let payload = resource.resource.as_ref().unwrap();
    store.insert(if payload.type_url == culvert_wire::ADDRESS_TYPE {
        culvert_wire::decode_address(&resource.name, &payload.value, names).unwrap().into()
    } else {
        Resource::Policy(culvert_wire::decode_policy(&resource.name, &payload.value, names).unwrap())
    });
}

fn remove(store: &mut Store, resource: &xds::Resource) {
    if resource.resource.as_ref().unwrap().type_url == culvert_wire::ADDRESS_TYPE {
        store.remove_address(&resource.name);
    } else {
        store.remove_policy(&resource.name);
    }
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<_> = items.collect();
    items.sort();
    items
}

fn by_uid<'w>(workloads: impl Iterator<Item = &'w Arc<Workload>>) -> Vec<Workload> {
    let mut workloads: Vec<_> = workloads.map(|workload| Workload::clone(workload)).collect();
    workloads.sort_by(|one, other| one.uid.cmp(&other.uid));
    workloads
}

/// All that is to be known of a mesh, as the answers to all questions there are.
#[track_caller]
fn assert_same(one: &Snapshot, other: &Snapshot) {
    assert_eq!(by_uid(one.workloads()), by_uid(other.workloads()));
    assert_eq!(by_uid(one.local_workloads()), by_uid(other.local_workloads()));
    let services = sorted(one.services().map(|service| service.key()));
    assert_eq!(services, sorted(other.services().map(|service| service.key())));
    for key in &services {
        assert_eq!(one.service(key), other.service(key));
        assert_eq!(by_uid(one.endpoints(key)), by_uid(other.endpoints(key)), "of {key}");
    }
    let policies = |snapshot: &Snapshot| {
        let mut policies: Vec<_> = snapshot.policies().cloned().collect();
        policies.sort_by(|one, other| one.key.cmp(&other.key));
        policies
    };
    assert_eq!(policies(one), policies(other));
    for workload in one.workloads() {
        let governing = |snapshot: &Snapshot| {
            let set = snapshot.policies_for(workload);
            let unknown = sorted(set.unknown().cloned());
            (sorted(set.iter().map(|policy| Arc::clone(&policy.key))), unknown)
        };
        assert_eq!(governing(one), governing(other), "over {}", workload.uid);
        let (name, account) = (workload.name(), &*workload.service_account);
        assert_eq!(
            one.local_workload(&workload.namespace, name, account),
            other.local_workload(&workload.namespace, name, account)
        );
    }
    assert_same_lookups(one, other);
}

#[track_caller]
fn assert_same_lookups(one: &Snapshot, other: &Snapshot) {
    for network in NETWORKS {
        for ip in ADDRESSES.iter().chain(&["10.0.0.77", "172.16.0.1"]) {
            let ip: IpAddr = ip.parse().unwrap();
            assert_eq!(one.workload_by_address(network, ip), other.workload_by_address(network, ip));
            assert_eq!(one.has_vip(network, ip), other.has_vip(network, ip));
            for client in NAMESPACES {
                let found = one.service_by_vip(network, ip, client);
                assert_eq!(found, other.service_by_vip(network, ip, client), "{network}/{ip} from {client}");
            }
        }
    }
    for host in HOSTS.iter().chain(&["nobody.example"]) {
        assert_eq!(one.has_hostname(host), other.has_hostname(host));
        for client in NAMESPACES {
            assert_eq!(one.service_by_hostname(host, client), other.service_by_hostname(host, client));
        }
    }
    for namespace in NAMESPACES {
        let found = one.workload_by_hostname(namespace, "pod.example");
        assert_eq!(found, other.workload_by_hostname(namespace, "pod.example"));
    }
}

#[test]
fn a_file_and_a_control_plane_in_any_order_make_the_same_mesh() {
    let mut author = Author(SmallRng::seed_from_u64(3));
    for _ in 0..20 {
        let text = author.mesh();
        let told = of_yaml(&text);
        let mut resources = [told.addresses, told.policies].concat();
        let file = from_file(&text).snapshot();
        assert!(file.workloads().len() == 40 && file.services().len() > 2 && file.policies().len() > 1);

        let (mut in_order, mut names) = (empty(), Interner::default());
        resources.iter().for_each(|resource| insert(&mut in_order, resource, &mut names));
        assert_same(&file, &in_order.snapshot());

        let mut in_disorder = empty();
        resources.shuffle(&mut author.0);
        resources.iter().for_each(|resource| insert(&mut in_disorder, resource, &mut names));
        assert_same(&file, &in_disorder.snapshot());
    }
}

/// One mesh becomes another: by new text in the file, by changes and removals in any order.
#[test]
fn a_mesh_that_became_what_it_is_equals_one_that_always_was() {
    let mut author = Author(SmallRng::seed_from_u64(8));
    let (mut store, mut names) = (empty(), Interner::default());
    let mut before: Vec<xds::Resource> = Vec::new();
    for _ in 0..20 {
        let text = author.mesh();
        let told = of_yaml(&text);
        let now = [told.addresses, told.policies].concat();
        let is_gone = |old: &&xds::Resource| {
            let same = |new: &xds::Resource| {
                let type_of = |it: &xds::Resource| it.resource.as_ref().unwrap().type_url.clone();
                new.name == old.name && type_of(new) == type_of(old)
            };
            !now.iter().any(same)
        };
        let gone = before.iter().filter(is_gone).map(|resource| (resource, false));
        let mut steps: Vec<_> = now.iter().map(|resource| (resource, true)).chain(gone).collect();
        steps.shuffle(&mut author.0);
        for (resource, there) in steps {
            match there {
                true => insert(&mut store, resource, &mut names),
                false => remove(&mut store, resource),
            }
        }
        assert_same(&from_file(&text).snapshot(), &store.snapshot());
        before = now;
    }
}
