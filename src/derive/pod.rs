//! A pod: what is kept of it, and the workload it is.
//!
//! There are many pods, so what those of one owner have in common is a [`Shape`], which is kept once.

use std::sync::Arc;

use culvert_core::intern::Interner;
use culvert_core::workload::{
    Addresses, ApplicationTunnel, GatewayAddress, Health, Incarnation, Locality, Name, NetworkMode, Place,
    PortMap, Protocol, Template, Workload, WorkloadType,
};
use culvert_membership::{Life, Marks};

use crate::uid::Uid;
use crate::{Here, Key, Labels};

mod resident;
mod written;

pub use resident::Resident;
pub(crate) use written::Written;

/// A pod, as far as the mesh cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) uid: Uid,
    /// The node it runs on; empty while there is none.
    pub(crate) node: Arc<str>,
    /// Its addresses; none when it has none, has finished, or one of them makes no sense.
    pub(crate) addresses: Addresses,
    pub(crate) standing: Standing,
    /// Whether something may still run in it.
    pub(crate) life: Life,
    pub(crate) shape: Arc<Shape>,
}

/// Whether something takes connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It does.
    Ready,
    /// It does, and is about to go: it is called only when there is nobody else.
    Leaving,
    /// It does not.
    Unready,
}

/// What pods of one owner have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    pub(crate) labels: Labels,
    pub(crate) service_account: Arc<str>,
    /// The name of what owns it.
    pub(crate) workload_name: Arc<str>,
    /// Whether it shares the addresses of its node.
    pub(crate) host_network: bool,
    /// What keeps it from being captured.
    pub(crate) marks: Marks,
    pub(crate) protocol: Protocol,
    /// Whether it speaks HBONE by itself.
    pub(crate) native_tunnel: bool,
    /// The TCP ports that have names, in the order in which names are looked for.
    pub(crate) ports: Box<[(Arc<str>, u16)]>,
}

/// What other objects say about a pod.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    pub(crate) locality: Locality,
    /// The services it is an endpoint of.
    pub(crate) services: Vec<(Arc<str>, PortMap)>,
    /// The policies that select it.
    pub(crate) policies: Vec<Arc<str>>,
    pub(crate) waypoint: Option<GatewayAddress>,
    pub(crate) application_tunnel: Option<ApplicationTunnel>,
}

impl Pod {
    /// Tells whether it is there, as far as others can see.
    pub(crate) fn is_reachable(&self) -> bool {
        !self.addresses.is_empty()
    }

    /// Tells whether a node stands in front of it, or it speaks for itself.
    pub(crate) fn is_in_mesh(&self) -> bool {
        self.shape.protocol == Protocol::Hbone
    }

    pub(crate) fn shared(self, names: &mut Interner) -> Self {
        Self { node: names.text(&self.node), ..self }
    }
}

impl Shape {
    /// The port of this name.
    pub(crate) fn port(&self, name: &str) -> Option<u16> {
        self.ports.iter().find(|(known, _)| **known == *name).map(|&(_, number)| number)
    }

    pub(crate) fn shared(&self, names: &mut Interner) -> Self {
        Self {
            labels: self.labels.shared(names),
            service_account: names.text(&self.service_account),
            workload_name: names.text(&self.workload_name),
            ports: self.ports.iter().map(|(name, number)| (names.text(name), *number)).collect(),
            ..*self
        }
    }
}

/// Gives the workload that a pod is; none while it cannot be reached.
///
/// One that is about to go is unhealthy; whether it is called all the same depends on who else is there, which is not known here.
pub(crate) fn workload(
    key: &Key,
    pod: &Pod,
    around: Surroundings,
    here: &Here<'_>,
    names: &mut Interner,
) -> Option<Workload> {
    if !pod.is_reachable() {
        return None;
    }
    let uid: Arc<str> = format!("{}//Pod/{}/{}", here.settings.cluster, key.namespace, key.name).into();
    Some(Workload {
        named: Name::of(&uid, &key.name),
        uid,
        place: names.place(Place { node: pod.node.clone(), locality: around.locality.clone() }),
        addresses: pod.addresses.clone(),
        status: match pod.standing {
            Standing::Ready => Health::Healthy,
            Standing::Leaving | Standing::Unready => Health::Unhealthy,
        },
        incarnation: Incarnation::default(),
        capacity: 1,
        template: template(key, &pod.shape, around, here, names),
    })
}

fn template(
    key: &Key,
    shape: &Shape,
    around: Surroundings,
    here: &Here<'_>,
    names: &mut Interner,
) -> Arc<Template> {
    let template = Template {
        namespace: key.namespace.clone(),
        service_account: shape.service_account.clone(),
        trust_domain: here.settings.trust_domain_if_special(),
        network: here.network().clone(),
        cluster_id: here.settings.cluster.clone(),
        workload_name: shape.workload_name.clone(),
        canonical_name: names.text(canonical_name(&shape.labels).unwrap_or(&shape.workload_name)),
        canonical_revision: names.text(canonical_revision(&shape.labels)),
        hostname: Arc::default(),
        workload_type: WorkloadType::Pod,
        protocol: shape.protocol,
        network_mode: if shape.host_network { NetworkMode::HostNetwork } else { NetworkMode::Standard },
        services: around.services.into_iter().collect(),
        authorization_policies: around.policies,
        waypoint: around.waypoint,
        network_gateway: here.networks.gateway(here.network()).cloned(),
        application_tunnel: around.application_tunnel,
        native_tunnel: shape.native_tunnel,
    };
    names.template(template)
}

/// Gives the name telemetry knows a workload by, if its labels say one.
pub(crate) fn canonical_name(labels: &Labels) -> Option<&str> {
    CANONICAL_NAME.iter().find_map(|key| labels.filled(key))
}

/// Gives the version telemetry knows a workload by.
pub(crate) fn canonical_revision(labels: &Labels) -> &str {
    CANONICAL_REVISION.iter().find_map(|key| labels.filled(key)).unwrap_or("latest")
}

const CANONICAL_NAME: [&str; 3] = ["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"];
const CANONICAL_REVISION: [&str; 3] =
    ["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"];
