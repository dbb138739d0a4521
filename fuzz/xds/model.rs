//! The mesh as maps by name: what is there is what was said last under each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use culvert_core::intern::Interner;
use culvert_core::policy::{Denial, Peer, Policy, Scope, Verdict, judge};
use culvert_core::snapshot::Snapshot;
use culvert_core::store::{Locality, Resource, Store};
use culvert_core::workload::{Template, Workload};
use culvert_core::xds::{Kind, Version};
use culvert_proto::xds as proto;

type Name = Arc<str>;

#[derive(Default)]
pub(super) struct Model {
    addresses: BTreeMap<Name, Resource>,
    /// `None`: it cannot be understood.
    policies: BTreeMap<Name, Option<Policy>>,
    claims: BTreeMap<(&'static str, Name), Version>,
}

impl Model {
    /// What a response says; whether anything of it has to be refused.
    pub(super) fn take(&mut self, kind: Kind, response: &proto::DeltaDiscoveryResponse) -> bool {
        let names: BTreeSet<&str> = response.resources.iter().map(|it| it.name.as_str()).collect();
        let mut refused = false;
        for resource in &response.resources {
            let Some(payload) = &resource.resource else { continue };
            let name = Name::from(resource.name.as_str());
            let is_valid = match kind {
                Kind::Address => self.take_address(&name, &payload.value),
                Kind::Authorization => self.take_policy(&name, &payload.value),
            };
            refused |= !is_valid;
            let version = if is_valid { Version::from(resource.version.as_str()) } else { "rejected".into() };
            if is_valid || kind == Kind::Authorization {
                self.claims.insert((kind.url(), name), version);
            }
        }
        for name in response.removed_resources.iter().filter(|name| !names.contains(name.as_str())) {
            let name = Name::from(name.as_str());
            match kind {
                Kind::Address => drop(self.addresses.remove(&name)),
                Kind::Authorization => drop(self.policies.remove(&name)),
            }
            self.claims.remove(&(kind.url(), name));
        }
        refused
    }

    fn take_address(&mut self, name: &Name, payload: &[u8]) -> bool {
        let Ok(address) = culvert_wire::decode_address(name, payload, &mut Interner::default()) else {
            return false;
        };
        let resource = Resource::from(address.clone());
        let said = match &resource {
            Resource::Workload(workload) => culvert_wire::encode_workload(workload),
            Resource::Service(service) => culvert_wire::encode_service(service),
            Resource::Policy(_) => panic!("an address is no policy"),
        };
        let again = culvert_wire::decode_address(name, &said, &mut Interner::default());
        assert_eq!(again.as_ref(), Ok(&address), "it is not what is said of it");
        self.addresses.insert(name.clone(), resource);
        true
    }

    fn take_policy(&mut self, name: &Name, payload: &[u8]) -> bool {
        let policy = culvert_wire::decode_policy(name, payload, &mut Interner::default()).ok();
        if let Some(policy) = &policy {
            let said = culvert_wire::encode_policy(policy);
            let again = culvert_wire::decode_policy(name, &said, &mut Interner::default());
            // One without a name that says nothing comes to no bytes, which nobody takes for a policy.
            assert!(
                again.as_ref() == Ok(policy) || said.is_empty(),
                "{policy:?} is not what is said of it: {again:?}"
            );
        }
        let is_valid = policy.is_some();
        // Nobody could ever take away what has no name.
        if is_valid || !name.is_empty() {
            self.policies.insert(name.clone(), policy);
        }
        is_valid
    }

    pub(super) fn names(&self, kind: Kind) -> Vec<String> {
        match kind {
            Kind::Address => self.addresses.keys().map(ToString::to_string).collect(),
            Kind::Authorization => self.policies.keys().map(ToString::to_string).collect(),
        }
    }

    /// The mesh has what is here, and nothing else.
    pub(super) fn check(&self, mesh: &Snapshot) {
        let workloads = mesh.workloads().map(|it| Resource::Workload(alike(it)));
        let services = mesh.services().map(|it| Resource::Service((**it).clone()));
        let addresses = workloads.chain(services).map(|it| (it.name(), it)).collect::<Vec<_>>();
        assert_eq!(addresses.len(), self.addresses.len(), "{addresses:?}");
        for (name, resource) in &addresses {
            assert_eq!(self.addresses.get(name), Some(resource));
        }
        assert_eq!(mesh.policies().len(), self.policies.len());
        for policy in mesh.policies() {
            match self.policies.get(&policy.key) {
                Some(Some(said)) => assert_eq!(**policy, *said),
                Some(None) => assert!(policy.unusable.is_some(), "{} is in force", policy.key),
                None => panic!("{} was never there", policy.key),
            }
        }
        mesh.policies()
            .filter(|it| it.unusable.is_some() && !it.dry_run)
            .for_each(|it| check_denies(mesh, it));
    }

    /// What the node tells that it has.
    pub(super) fn check_claims<'c>(&self, kind: Kind, claims: impl Iterator<Item = &'c (Name, Version)>) {
        let claimed: BTreeSet<&Name> = claims.map(|(name, _)| name).collect();
        let there: BTreeSet<&Name> =
            self.claims.keys().filter(|(url, _)| *url == kind.url()).map(|(_, name)| name).collect();
        assert_eq!(claimed, there, "{kind:?}");
        if kind == Kind::Address {
            assert!(there.iter().all(|name| self.addresses.contains_key(*name)), "claimed, and not there");
        }
    }

    /// A mesh that is made anew, the other way round, answers as this one does.
    pub(super) fn check_at_once(&self, mesh: &Snapshot) {
        let mut store = Store::new(Locality::default());
        for policy in mesh.policies() {
            store.insert(Resource::Policy((**policy).clone()));
        }
        self.addresses.values().rev().for_each(|resource| store.insert(resource.clone()));
        let other = store.snapshot();
        self.check(&other);
        for workload in other.workloads() {
            for ip in workload.addresses.iter() {
                let uid = |mesh: &Snapshot| {
                    mesh.workload_by_address(&workload.network, *ip).map(|it| it.uid.clone())
                };
                assert_eq!(uid(mesh), uid(&other), "{ip}");
            }
            let hosted = |mesh: &Snapshot| {
                mesh.workload_by_hostname(&workload.namespace, &workload.hostname).map(|it| it.uid.clone())
            };
            assert_eq!(hosted(mesh), hosted(&other));
            for peer in peers() {
                let verdict = |mesh: &Snapshot| judge(&mesh.policies_for(workload), &peer).is_allowed();
                assert_eq!(verdict(mesh), verdict(&other), "{}", workload.uid);
            }
        }
        for service in other.services() {
            let named = |mesh: &Snapshot| {
                mesh.service_by_hostname(&service.hostname, &service.namespace).map(|it| it.key())
            };
            assert_eq!(named(mesh), named(&other));
            let behind = |mesh: &Snapshot| -> BTreeSet<Name> {
                mesh.endpoints(&service.key()).map(|it| it.uid.clone()).collect()
            };
            assert_eq!(behind(mesh), behind(&other), "{}", service.key());
        }
    }
}

/// A workload as it was told, whichever of its name it is.
fn alike(workload: &Workload) -> Workload {
    Workload { incarnation: Workload::default().incarnation, ..workload.clone() }
}

/// A policy that cannot be understood lets nobody in to what it governs.
fn check_denies(mesh: &Snapshot, policy: &Policy) {
    let of_namespace = |namespace: &Name| {
        let template = Template { namespace: namespace.clone(), ..Template::default() };
        Workload { template: template.into(), ..Workload::default() }
    };
    let mut governed: Vec<Workload> = match policy.scope {
        Scope::Global => vec![of_namespace(&"anywhere".into()), of_namespace(&policy.namespace)],
        Scope::Namespace => vec![of_namespace(&policy.namespace)],
        Scope::WorkloadSelector => Vec::new(),
    };
    let refers = |it: &&Arc<Workload>| it.authorization_policies.contains(&policy.key);
    governed.extend(mesh.workloads().filter(refers).map(|it| (**it).clone()));
    for workload in governed {
        for peer in peers() {
            let verdict = judge(&mesh.policies_for(&workload), &peer);
            let closes =
                matches!(verdict, Verdict::Deny(Denial::UnusablePolicy { .. } | Denial::Explicit { .. }));
            assert!(closes, "{verdict:?}, though {policy:?} governs it");
        }
    }
}

fn peers() -> [Peer; 3] {
    let peer = |identity: Option<&str>, source: &str| Peer {
        identity: identity.map(|text| text.parse().expect("it is an identity")),
        source: source.parse().expect("it is an address"),
        destination: "10.0.0.9:80".parse().expect("it is an address"),
    };
    [
        peer(None, "10.0.0.1:1000"),
        peer(Some("spiffe://cluster.local/ns/ns/sa/web"), "10.0.0.2:1000"),
        peer(Some("spiffe://other/ns/shop/sa/client"), "[fd00::1]:1000"),
    ]
}
