//! Putting together what the making of one object reads.

use std::collections::BTreeSet;
use std::sync::Arc;

use culvert_core::intern::Interner;
use culvert_core::service::Visibility;
use culvert_core::workload::{Health, PortMap, Workload};

use super::Id;
use super::indexed::service_of;
use super::made::{Endpoint, Output};
use super::world::World;
use crate::entry::{Attached, Front, ServiceEntry, Surroundings, WorkloadEntry};
use crate::facts::Facts;
use crate::gateway::Gateway;
use crate::load_balancing::Distribution;
use crate::pod::{self, Pod, Standing};
use crate::service::{self, Service};
use crate::slice::{self, Slice};
use crate::waypoint::{Resolution, Role, Says, Subject, resolve};
use crate::{Condition, Key, Labels, Meta, Problem};

mod policies;

/// Derives what one object makes.
pub(crate) struct Deriver<'a> {
    pub(crate) world: &'a World,
    pub(crate) names: &'a mut Interner,
}

impl<'a> Deriver<'a> {
    /// Gives what an object makes; nothing when it is gone.
    pub(crate) fn derive(&mut self, id: &Id) -> Output {
        match self.world.get(id) {
            Some(Facts::Pod(pod)) => self.pod(id, pod),
            Some(Facts::Service(service)) => self.service(id, service),
            Some(Facts::EndpointSlice(slice)) => self.slice(id, slice),
            Some(Facts::ServiceEntry(entry)) => self.service_entry(id, entry),
            Some(Facts::WorkloadEntry(entry)) => self.workload_entry(id, entry),
            Some(Facts::Gateway(gateway)) => self.gateway(id, gateway),
            Some(Facts::GatewayClass(class)) => said(&class.meta, &class.problems, None),
            Some(Facts::AuthorizationPolicy(policy)) => self.authorization(id, policy),
            Some(Facts::PeerAuthentication(policy)) => self.authentication(id, policy),
            None if *id == self.world.strict_id() => self.strict(),
            None | Some(Facts::Namespace(_) | Facts::Node(_)) => Output::default(),
        }
    }

    fn pod(&mut self, id: &Id, pod: &Pod) -> Output {
        if !pod.is_reachable() {
            return Output::default();
        }
        let labels = &pod.shape.labels;
        let says = Says { labels, annotations: &Labels::default() };
        let resolution = self.resolve(Role::Pod, id, says, Visibility::Public);
        let around = pod::Surroundings {
            locality: self.world.node(&pod.node).map(|node| node.locality.clone()).unwrap_or_default(),
            services: self.services_of_pod(id, pod),
            policies: self.policies_for(id, labels),
            waypoint: resolution.waypoint,
            application_tunnel: resolution.application_tunnel,
        };
        let workload = pod::workload(id, pod, around, &self.world.here(), self.names);
        Output {
            workloads: workload.map(|workload| (workload, pod.standing)).into_iter().collect(),
            conditions: resolution.condition.into_iter().collect(),
            used: resolution.used,
            uid: pod.uid.clone(),
            ..Output::default()
        }
    }

    fn service(&mut self, id: &Id, facts: &Service) -> Output {
        let waypoints = self.resolve(Role::Service, id, says(&facts.meta), Visibility::Public);
        let around = service::Surroundings { distribution: self.distribution(id), waypoints: &waypoints };
        let service = service::service(id, facts, around, &self.world.here(), self.names);
        // Nobody is behind a waypoint who is but another name.
        let condition = waypoints.condition.filter(|_| service.is_some());
        Output {
            services: service.into_iter().collect(),
            used: waypoints.used,
            ..said(&facts.meta, &[], condition)
        }
    }

    fn slice(&mut self, id: &Id, slice: &Slice) -> Output {
        let Some(service) = self.service_of_slice(id, slice) else { return Output::default() };
        let workloads = slice::workloads(id, slice, service, &self.world.here(), self.names);
        Output { workloads: workloads.into_iter().map(endpoint).collect(), ..Output::default() }
    }

    fn service_entry(&mut self, id: &Id, entry: &ServiceEntry) -> Output {
        let (meta, visibility) = (&entry.meta, entry.visibility.unwrap_or_default());
        let waypoints = self.resolve(Role::ServiceEntry, id, says(meta), visibility);
        let of_endpoints = self.resolve(Role::Endpoint, id, says(meta), visibility);
        let (hosts, here) = (&self.world.hosts, self.world.here());
        let won = entry.hosts.iter().filter(|host| hosts.is_won(host, id)).cloned().collect();
        let taken = self.world.allocation.taken(entry);
        let distribution = self.distribution(id);
        let front = Front { network: here.network(), waypoints: &waypoints, distribution, taken: &taken };
        let held = entry.hosts.iter().filter(|host| hosts.is_won(host, id));
        let services =
            held.filter_map(|host| entry.service(host, hosts.is_canonical(host, id), &front)).collect();
        let attached =
            Attached { waypoint: of_endpoints.waypoint, policies: self.policies_for(id, &meta.labels) };
        let around = Surroundings { settings: here.settings, networks: here.networks };
        let workloads = entry.workloads(&won, &around, &attached);
        let used = waypoints.used.iter().cloned().chain(of_endpoints.used);
        Output {
            services,
            workloads: workloads.into_iter().map(|workload| endpoint(self.shared(workload))).collect(),
            used: used.collect::<BTreeSet<Key>>().into_iter().collect(),
            ..said(meta, &entry.problems_without(&taken), waypoints.condition)
        }
    }

    fn workload_entry(&mut self, id: &Id, entry: &WorkloadEntry) -> Output {
        let says = Says { labels: &entry.labels, annotations: &entry.meta.annotations };
        let resolution = self.resolve(Role::WorkloadEntry, id, says, Visibility::Public);
        let services = self.services_of_entry(id, entry).into_iter().collect();
        let policies = self.policies_for(id, &entry.labels);
        let attached = Attached { waypoint: resolution.waypoint, policies };
        let here = self.world.here();
        let around = Surroundings { settings: here.settings, networks: here.networks };
        let workload = entry.workload(services, &around, &attached);
        Output {
            workloads: workload.into_iter().map(|workload| endpoint(self.shared(workload))).collect(),
            used: resolution.used,
            ..said(&entry.meta, &entry.problems, resolution.condition)
        }
    }

    fn gateway(&mut self, id: &Id, gateway: &Gateway) -> Output {
        let leading = &self.world.network_gateways;
        let workload = leading.get(id).map(|it| it.workload(&self.world.settings));
        // Several may say the same, and one of them is enough.
        let is_first = |uid: &Arc<str>| {
            let mut same = leading.iter().filter(|(_, it)| it.workload(&self.world.settings).uid == *uid);
            same.next().is_some_and(|(first, _)| first == id)
        };
        let workload = workload.filter(|workload| is_first(&workload.uid));
        Output {
            workloads: workload.into_iter().map(endpoint).collect(),
            ..said(&gateway.meta, &gateway.problems, None)
        }
    }

    fn services_of_pod(&mut self, id: &Id, pod: &Pod) -> Vec<(Arc<str>, PortMap)> {
        let (world, shape) = (self.world, &pod.shape);
        let mut services = Vec::new();
        for selecting in world.selecting.selecting(&id.namespace, &shape.labels) {
            if let Some(service) = world.service(selecting) {
                services.push((self.membership(selecting), service.ports.of_pod(shape)));
            } else if let Some(entry) = world.service_entry(selecting) {
                let ports = entry.ports_of_pod(|name| shape.port(name));
                services.extend(self.memberships_of_entry(selecting, entry, &ports));
            }
        }
        for slice_id in world.named.of(&**id) {
            let slice = world.slice(slice_id).filter(|slice| slice.names(id, &pod.uid));
            services.extend(slice.and_then(|slice| self.service_of_slice(slice_id, slice)));
        }
        services
    }

    fn services_of_entry(&mut self, id: &Id, workload: &WorkloadEntry) -> Vec<(Arc<str>, PortMap)> {
        let world = self.world;
        let mut services = Vec::new();
        for selecting in world.selecting.selecting(&id.namespace, &workload.labels) {
            if let Some(service) = world.service(selecting) {
                services.push((self.membership(selecting), workload.ports_of_service(service.ports.tcp())));
            } else if let Some(entry) = world.service_entry(selecting) {
                let ports = entry.ports_of_entry(workload);
                services.extend(self.memberships_of_entry(selecting, entry, &ports));
            }
        }
        services
    }

    fn memberships_of_entry(
        &mut self,
        id: &Key,
        entry: &ServiceEntry,
        ports: &PortMap,
    ) -> Vec<(Arc<str>, PortMap)> {
        let held = entry.hosts.iter().filter(|host| self.world.hosts.is_won(host, id));
        held.map(|host| (self.names.text(&entry.key_of(host)), ports.clone())).collect()
    }

    /// The Service of a slice, and the ports at which its endpoints serve it.
    fn service_of_slice(&mut self, id: &Key, slice: &Slice) -> Option<(Arc<str>, PortMap)> {
        let key = service_of(id, slice)?;
        let service = self.world.service(&key).filter(|service| !service.is_external_name)?;
        Some((self.membership(&key), slice.ports_for(&service.ports)))
    }

    fn membership(&mut self, service: &Key) -> Arc<str> {
        service::membership(service, &self.world.settings, self.names)
    }

    fn distribution(&self, id: &Key) -> Option<Distribution> {
        self.world.namespace_called(&id.namespace)?.distribution()
    }

    fn resolve(&self, role: Role, id: &Key, says: Says<'_>, visibility: Visibility) -> Resolution {
        let Key { namespace, name, .. } = id;
        resolve(&Subject { role, namespace, name, says, visibility }, self.world, &self.world.settings)
    }

    fn shared(&mut self, mut workload: Workload) -> Workload {
        workload.template = self.names.template(Arc::unwrap_or_clone(workload.template));
        workload.place = self.names.place(Arc::unwrap_or_clone(workload.place));
        workload
    }
}

/// What an object says about waypoints.
fn says(meta: &Meta) -> Says<'_> {
    Says { labels: &meta.labels, annotations: &meta.annotations }
}

/// What is said of an object that makes nothing.
fn said(meta: &Meta, problems: &[Problem], condition: Option<Condition>) -> Output {
    let conditions = condition.into_iter().chain(Problem::condition(problems)).collect();
    Output { conditions, uid: meta.uid.as_ref().into(), generation: meta.generation, ..Output::default() }
}

/// What is no pod says nothing of being about to go.
fn endpoint(workload: Workload) -> Endpoint {
    let standing = match workload.status {
        Health::Healthy => Standing::Ready,
        Health::Unhealthy => Standing::Unready,
    };
    (workload, standing)
}
