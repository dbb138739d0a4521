//! Looking at Gateways, classes and namespaces, and remembering at which.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use culvert_core::address::NetworkAddress;
use culvert_core::route::HBONE_PORT;
use culvert_core::service::Visibility;
use culvert_core::workload::{ApplicationTunnel, GatewayAddress, GatewayDestination};

use crate::gateway::{Allowed, At, Gateway, GatewayClass};
use crate::{Key, Kind, Settings};

use super::obstacle::Obstacle;
use super::{Named, Role, Says, Subject, World};

/// Looks at objects, and remembers at which.
pub(super) struct Look<'w> {
    world: &'w dyn World,
    pub(super) settings: &'w Settings,
    used: RefCell<BTreeSet<Key>>,
}

/// What there is to say about a waypoint's own pod or service.
pub(super) struct Instance {
    pub(super) tunnel: Option<ApplicationTunnel>,
}

impl<'w> Look<'w> {
    pub(super) fn new(world: &'w dyn World, settings: &'w Settings) -> Self {
        Self { world, settings, used: RefCell::default() }
    }

    pub(super) fn used(self) -> Vec<Key> {
        self.used.into_inner().into_iter().collect()
    }

    pub(super) fn namespace(&self, name: &str) -> Option<Says<'w>> {
        self.note(Kind::Namespace, "", name);
        self.world.namespace(name)
    }

    /// Gives a Gateway with its class.
    fn gateway(&self, namespace: &str, name: &str) -> Option<(&'w Gateway, Option<&'w GatewayClass>)> {
        self.note(Kind::Gateway, namespace, name);
        let gateway = self.world.gateway(namespace, name)?;
        self.note(Kind::GatewayClass, "", &gateway.class);
        Some((gateway, self.world.class(&gateway.class)))
    }

    fn note(&self, kind: Kind, namespace: &str, name: &str) {
        self.used.borrow_mut().insert(Key { kind, namespace: namespace.into(), name: name.into() });
    }

    /// Tells whether an object belongs to a gateway tunnels end at: that is never behind a waypoint, not even itself.
    pub(super) fn instance(&self, subject: &Subject<'_>) -> Option<Instance> {
        match subject.role {
            Role::Service | Role::Pod => {}
            Role::ServiceEntry | Role::Endpoint | Role::WorkloadEntry => return None,
        }
        let labels = subject.says.labels;
        let managed = labels.get("gateway.istio.io/managed");
        let managed = matches!(managed, Some("istio.io-mesh-controller" | "istio.io-eastwest-controller"));
        let name = labels.filled("gateway.networking.k8s.io/gateway-name");
        let found = name.and_then(|name| self.gateway(subject.namespace, name));
        let of = found.filter(|(gateway, class)| gateway.ends_tunnels(*class));
        let wants_tunnel = |&(gateway, class): &(&Gateway, _)| {
            Some(gateway).filter(|_| subject.role == Role::Pod)?.tunnel(class)
        };
        (managed || of.is_some()).then(|| Instance { tunnel: of.as_ref().and_then(wants_tunnel) })
    }

    /// Finds the waypoint of this name for an object, or what is in the way.
    pub(super) fn find(&self, subject: &Subject<'_>, waypoint: &Named) -> Result<GatewayAddress, Obstacle> {
        let Named { namespace, name } = waypoint;
        let (gateway, class) = self.gateway(namespace, name).ok_or(Obstacle::Missing)?;
        let (is_for, wanted) = (gateway.is_for(class), subject.role.traffic());
        if !is_for.takes(wanted) {
            return Err(Obstacle::OtherTraffic { is_for, wanted });
        }
        let own = subject.namespace;
        if subject.visibility == Visibility::Namespace && namespace != own {
            return Err(Obstacle::Unseen);
        }
        if !self.is_allowed(gateway.allowed(class), namespace, own) {
            return Err(Obstacle::Denied { to: own.clone() });
        }
        self.address(gateway).ok_or(Obstacle::NotReady)
    }

    fn is_allowed(&self, allowed: &Allowed, of: &str, from: &str) -> bool {
        match allowed {
            Allowed::Same => of == from,
            Allowed::All => true,
            Allowed::Nobody => false,
            Allowed::Selected(requirements) => self
                .namespace(from)
                .is_some_and(|namespace| requirements.iter().all(|it| it.is_met_by(namespace.labels))),
        }
    }

    /// A name is better than an address: it leads to whoever is ready.
    fn address(&self, gateway: &Gateway) -> Option<GatewayAddress> {
        let host = gateway.addresses.iter().find(|at| matches!(at, At::Host(_)));
        let destination = match host.or(gateway.addresses.first())? {
            At::Host(hostname) => GatewayDestination::Hostname {
                namespace: gateway.meta.namespace.clone(),
                hostname: hostname.clone(),
            },
            At::Ip(ip) => GatewayDestination::Address(NetworkAddress::new(self.network(), *ip)),
        };
        Some(GatewayAddress { destination, port: HBONE_PORT })
    }

    /// The network of the cluster.
    fn network(&self) -> Arc<str> {
        let root = self.namespace(&self.settings.root_namespace);
        root.and_then(|root| root.labels.filled("topology.istio.io/network")).unwrap_or_default().into()
    }
}
