//! From what is known about the mesh to the indexed snapshot.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use crate::mesh_file::Mesh;
use crate::policy::{Policy, Scope};
use crate::service::{Endpoint, Service};
use crate::workload::{NetworkMode, Protocol, Workload};

use super::Snapshot;
use super::backed::Backed;

pub(super) fn snapshot(mesh: Mesh, local_network: &str) -> Snapshot {
    let mut snapshot = Snapshot { local_network: local_network.into(), ..Snapshot::default() };
    let mut endpoints = Endpoints::new();
    for workload in latest(mesh.workloads, |workload| workload.uid.clone()) {
        for (service, ports) in &workload.services {
            let endpoint = Endpoint { ports: ports.clone(), health: workload.status };
            endpoints.entry(service.clone()).or_default().push((workload.uid.clone(), endpoint));
        }
        add_workload(&mut snapshot, Arc::new(workload));
    }
    prefer_the_best(&mut snapshot);
    for mut service in latest(mesh.services, Service::key) {
        let key = service.key();
        // A workload knows its own ports and health better than the service does.
        service.endpoints.extend(endpoints.remove(&key).into_iter().flatten());
        let backed = Arc::new(Backed::new(Arc::new(service), &snapshot.workloads));
        add_service(&mut snapshot, key, &backed);
    }
    for policy in latest(mesh.policies, |policy| policy.key.clone()) {
        add_policy(&mut snapshot, Arc::new(policy));
    }
    snapshot
}

/// What workloads say about being endpoints, by service.
type Endpoints = HashMap<Arc<str>, Vec<(Arc<str>, Endpoint)>>;

/// Gives `items` in order, with only the last of those that share a key, in the place of the first.
fn latest<T>(items: Vec<T>, key: impl Fn(&T) -> Arc<str>) -> Vec<T> {
    let mut places: HashMap<Arc<str>, usize> = HashMap::new();
    let mut kept: Vec<T> = Vec::with_capacity(items.len());
    for item in items {
        let place = *places.entry(key(&item)).or_insert(kept.len());
        match kept.get_mut(place) {
            Some(earlier) => *earlier = item,
            None => kept.push(item),
        }
    }
    kept
}

fn add_workload(snapshot: &mut Snapshot, workload: Arc<Workload>) {
    if workload.network_mode == NetworkMode::Standard {
        for ip in &workload.addresses {
            let sharing = snapshot.workloads_by_address.entry(ip.to_canonical()).or_default();
            sharing.push(workload.clone());
        }
    }
    snapshot.workloads_by_name.entry(workload.name.clone()).or_default().push(workload.clone());
    snapshot.workloads.insert(workload.uid.clone(), workload);
}

fn prefer_the_best(snapshot: &mut Snapshot) {
    for sharing in snapshot.workloads_by_address.values_mut() {
        sharing.sort_by_key(|it| Reverse((it.is_pod(), it.protocol == Protocol::Hbone)));
    }
}

fn add_service(snapshot: &mut Snapshot, key: Arc<str>, backed: &Arc<Backed>) {
    let service = &backed.service;
    for vip in &service.vips {
        let sharing = snapshot.services_by_vip.entry(vip.ip.to_canonical()).or_default();
        sharing.push((vip.network.clone(), backed.clone()));
    }
    for block in &service.cidr_vips {
        snapshot.services_by_block.insert(block, backed.clone());
    }
    snapshot.services_by_hostname.entry(service.hostname.clone()).or_default().push(backed.clone());
    snapshot.services.insert(key, backed.clone());
}

fn add_policy(snapshot: &mut Snapshot, policy: Arc<Policy>) {
    match policy.scope {
        Scope::Global => snapshot.global_policies.push(policy.clone()),
        Scope::Namespace => {
            let namespace = policy.namespace.clone();
            snapshot.policies_by_namespace.entry(namespace).or_default().push(policy.clone());
        }
        Scope::WorkloadSelector => {}
    }
    snapshot.policies.insert(policy.key.clone(), policy);
}
