//! An `EndpointSlice`: which pods are behind a Service that selects none, and what is behind it that is no pod.
//!
//! What a slice says about the pods of a Service that selects them is not needed: it follows from the pods.

use std::net::IpAddr;
use std::sync::Arc;

use culvert_core::intern::Interner;
use culvert_core::workload::{
    Health, Incarnation, Name, NetworkMode, Place, PortMap, Template, Workload, WorkloadType,
};

use crate::service::Ports;
use crate::uid::Uid;
use crate::{Here, Key};

mod written;

pub(crate) use written::Written;

/// An `EndpointSlice`, as far as the mesh cares.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Slice {
    /// The Service it belongs to, in its namespace.
    pub(crate) service: Option<Arc<str>>,
    /// The TCP ports, by the names of the Service's ports.
    pub(crate) ports: Box<[(Arc<str>, u16)]>,
    /// The endpoints that are pods.
    pub(crate) pods: Box<[(Arc<Key>, Uid)]>,
    /// Those that are not, each address once.
    pub(crate) others: Box<[Endpoint]>,
}

/// An endpoint that is no pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) ip: IpAddr,
    pub(crate) health: Health,
}

impl Slice {
    /// Tells whether a pod is among the endpoints. One that is written without a uid is any pod of that name.
    pub(crate) fn names(&self, pod: &Key, uid: &Uid) -> bool {
        self.pods
            .iter()
            .any(|(known, known_uid)| **known == *pod && (known_uid.is_empty() || known_uid == uid))
    }

    /// Names its pods as they are named elsewhere, where they are: a name is kept once.
    pub(crate) fn name_pods_as(&mut self, known: impl Fn(&Key) -> Option<Arc<Key>>) {
        for (pod, _) in &mut self.pods {
            if let Some(known) = known(pod) {
                *pod = known;
            }
        }
    }

    /// Gives the ports at which its endpoints serve a Service: ports are the same when they have the same name.
    pub(crate) fn ports_for(&self, service: &Ports) -> PortMap {
        let target =
            |name: &str| self.ports.iter().find(|(known, _)| **known == *name).map(|&(_, number)| number);
        let tcp = service.iter().filter(|port| port.is_tcp);
        tcp.filter_map(|port| Some((port.number, target(&port.name)?))).collect()
    }
}

/// Gives the workloads that the endpoints of a slice are which are no pods; `service` is what they belong to.
///
/// Anybody who may write slices may write any address into them, so an address here never tells who somebody is: these are like
/// workloads on the network of a node, they have no identity, and what else has the address keeps it.
pub(crate) fn workloads(
    key: &Key,
    slice: &Slice,
    service: (Arc<str>, PortMap),
    here: &Here<'_>,
    names: &mut Interner,
) -> Vec<Workload> {
    let template = names.template(Template {
        namespace: key.namespace.clone(),
        network: here.network().clone(),
        cluster_id: here.settings.cluster.clone(),
        workload_type: WorkloadType::Pod,
        network_mode: NetworkMode::HostNetwork,
        services: [service].into_iter().collect(),
        ..Template::default()
    });
    let place = names.place(Place::default());
    let workload = |endpoint: &Endpoint| {
        let name = format!("{}/{}", key.name, endpoint.ip);
        let uid =
            format!("{}/discovery.k8s.io/EndpointSlice/{}/{name}", here.settings.cluster, key.namespace);
        Workload {
            named: Name::of(&uid, &name),
            uid: uid.into(),
            place: place.clone(),
            addresses: [endpoint.ip].into_iter().collect(),
            status: endpoint.health,
            incarnation: Incarnation::default(),
            capacity: 1,
            template: template.clone(),
        }
    };
    slice.others.iter().map(workload).collect()
}
