//! Putting together what the making of one object reads.

use std::sync::Arc;

use culvert_core::intern::Interner;
use culvert_core::workload::{Health, PortMap};

use super::Id;
use super::made::Output;
use super::world::{World, service_of};
use crate::object::Facts;
use crate::pod::{self, Pod, Standing};
use crate::service::{self, Service};
use crate::slice::{self, Slice};
use crate::{Here, Key, Kind};

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
            None | Some(Facts::Namespace(_) | Facts::Node(_)) => Output::default(),
        }
    }

    fn pod(&mut self, id: &Id, pod: &Pod) -> Output {
        let around = pod::Surroundings {
            locality: self.world.node(&pod.node).map(|node| node.locality.clone()).unwrap_or_default(),
            services: self.services_of(id, pod),
            policies: Vec::new(),
            waypoint: None,
            application_tunnel: None,
        };
        let here = self.here();
        let workload = pod::workload(id, pod, around, &here, self.names);
        let workloads = workload.map(|workload| (workload, pod.standing)).into_iter().collect();
        Output { workloads, ..Output::default() }
    }

    fn services_of(&mut self, id: &Id, pod: &Pod) -> Vec<(Arc<str>, PortMap)> {
        let world = self.world;
        let selecting = world.selecting.selecting(&id.namespace, &pod.shape.labels);
        let selecting = selecting.into_iter().filter(|id| id.kind == Kind::Service);
        let selected =
            selecting.filter_map(|key| Some((&**key, world.service(key)?.ports.of_pod(&pod.shape))));
        let mut services: Vec<(Arc<str>, PortMap)> =
            selected.map(|(key, ports)| (self.membership(key), ports)).collect();
        for slice_id in world.named.of(&**id) {
            let Some(slice) = world.slice(slice_id).filter(|slice| slice.names(id, &pod.uid)) else {
                continue;
            };
            services.extend(self.service_of_slice(slice_id, slice));
        }
        services
    }

    fn service(&mut self, id: &Id, facts: &Service) -> Output {
        let around = service::Surroundings {
            distribution: self.world.namespace(&id.namespace).and_then(|it| it.distribution),
            waypoint: None,
            weighted_waypoints: Vec::new(),
        };
        let here = self.here();
        let service = service::service(id, facts, around, &here, self.names);
        Output { services: service.into_iter().collect(), generation: facts.generation, ..Output::default() }
    }

    fn slice(&mut self, id: &Id, slice: &Slice) -> Output {
        let Some(service) = self.service_of_slice(id, slice) else { return Output::default() };
        let here = self.here();
        let workloads = slice::workloads(id, slice, service, &here, self.names);
        let standing = |health| match health {
            Health::Healthy => Standing::Ready,
            Health::Unhealthy => Standing::Unready,
        };
        let workloads = workloads.into_iter().map(|workload| {
            let standing = standing(workload.status);
            (workload, standing)
        });
        Output { workloads: workloads.collect(), ..Output::default() }
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

    /// The namespace of the installation names the network of the cluster.
    fn here(&mut self) -> Here<'a> {
        let settings = &self.world.settings;
        let root = self.world.namespace(&settings.root_namespace);
        Here { settings, network: self.names.text(root.map_or("", |namespace| namespace.network())) }
    }
}
