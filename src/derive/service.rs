//! A Kubernetes Service: what is kept of it, the service of the mesh it is, and the ports at which pods serve it.

use std::net::IpAddr;
use std::sync::Arc;

use culvert_core::address::NetworkAddress;
use culvert_core::intern::Interner;
use culvert_core::service::{IpFamilies, Service as Derived, Visibility};
use culvert_core::workload::PortMap;

use crate::entry;
use crate::load_balancing::{Distribution, Wishes, load_balancer};
use crate::pod::Shape;
use crate::waypoint::Resolution;
use crate::{Here, Key, Meta, Selector, Settings};

mod written;

pub(crate) use written::Written;

/// A Kubernetes Service, as far as the mesh cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    /// What all objects have; of annotations those that matter.
    pub(crate) meta: Meta,
    /// Which pods belong to it; none when somebody else writes down its endpoints.
    pub(crate) selector: Option<Selector>,
    /// Whether it is but another name for something outside.
    pub(crate) is_external_name: bool,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) ports: Ports,
    /// Whether clients are to stay on their node.
    pub(crate) stays_on_node: bool,
    pub(crate) distribution: Option<Distribution>,
    /// Whether endpoints count that are not ready.
    pub(crate) counts_unready: bool,
    pub(crate) ip_families: IpFamilies,
}

/// The ports of a Service, each number once. Connections are TCP, so of ports for several protocols with one number the TCP one counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ports(Vec<Port>);

/// One port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) name: Arc<str>,
    pub(crate) number: u16,
    pub(crate) is_tcp: bool,
    pub(crate) target: Target,
}

/// Where a port leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// To this port of each pod.
    Number(u16),
    /// To the port each pod calls by this name.
    Name(Arc<str>),
}

/// What other objects say about a Service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    /// Which endpoints its namespace prefers.
    pub(crate) distribution: Option<Distribution>,
    pub(crate) waypoints: &'a Resolution,
}

/// Gives the name in DNS of the Service with this key.
pub(crate) fn hostname(key: &Key, settings: &Settings) -> String {
    format!("{}.{}.svc.{}", key.name, key.namespace, settings.domain)
}

/// Gives what workloads call the Service with this key by.
pub(crate) fn membership(key: &Key, settings: &Settings, names: &mut Interner) -> Arc<str> {
    names.text(&format!("{}/{}", key.namespace, hostname(key, settings)))
}

/// Gives the service of the mesh that a Service is; none for one that is but another name.
pub(crate) fn service(
    key: &Key,
    service: &Service,
    around: Surroundings<'_>,
    here: &Here<'_>,
    names: &mut Interner,
) -> Option<Derived> {
    if service.is_external_name {
        return None;
    }
    let vip = |&ip| NetworkAddress::new(here.network().clone(), ip);
    Some(Derived {
        name: key.name.clone(),
        namespace: key.namespace.clone(),
        hostname: names.text(&hostname(key, here.settings)),
        vips: service.addresses.iter().map(vip).collect(),
        cidr_vips: Vec::new(),
        ports: service.declared_ports(),
        load_balancer: load_balancer(&service.wishes(around.distribution)),
        ip_families: service.ip_families,
        waypoint: around.waypoints.waypoint.clone(),
        weighted_waypoints: around.waypoints.weighted.clone(),
        subject_alt_names: Vec::new(),
        visibility: Visibility::Public,
        canonical: true,
    })
}

impl Service {
    /// Tells whether its endpoints are what somebody has written into its slices.
    pub(crate) fn is_by_hand(&self) -> bool {
        !self.is_external_name && self.selector.is_none()
    }

    /// Tells whether pods and slices would belong to both in the same way.
    pub(crate) fn has_endpoints_of(&self, other: &Self) -> bool {
        let told = |it: &Self| (it.is_external_name, it.selector.is_none());
        self.selector == other.selector
            && told(self) == told(other)
            && if self.is_by_hand() {
                self.ports == other.ports
            } else {
                self.ports.named().eq(other.ports.named())
            }
    }

    fn wishes(&self, of_namespace: Option<Distribution>) -> Wishes<'_> {
        Wishes {
            stays_on_node: self.stays_on_node,
            own: self.distribution,
            annotations: &self.meta.annotations,
            of_namespace,
            counts_unready: self.counts_unready,
        }
    }

    /// Ports whose targets each endpoint knows for itself have none here: named ones, and those of a Service by hand, whose slices
    /// say the targets.
    fn declared_ports(&self) -> PortMap {
        let target = |port: &Port| match port.target {
            Target::Number(number) if !self.is_by_hand() => number,
            Target::Number(_) | Target::Name(_) => 0,
        };
        self.ports.iter().map(|port| (port.number, target(port))).collect()
    }
}

impl Ports {
    /// Gives the ports at which a pod serves those that are not the same for all pods. One the pod has no name for is not served.
    pub(crate) fn of_pod(&self, shape: &Shape) -> PortMap {
        self.named().filter_map(|(number, name)| Some((number, shape.port(name)?))).collect()
    }

    /// The TCP ports, by number, name and target.
    pub(crate) fn tcp(&self) -> impl Iterator<Item = (u16, &str, entry::Target<'_>)> {
        self.0.iter().filter(|port| port.is_tcp).map(|port| {
            let target = match &port.target {
                Target::Number(number) => entry::Target::Number(*number),
                Target::Name(name) => entry::Target::Name(name),
            };
            (port.number, &*port.name, target)
        })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Port> {
        self.0.iter()
    }

    /// The ports whose targets have names. The names of pods' ports are those of TCP ports.
    fn named(&self) -> impl Iterator<Item = (u16, &Arc<str>)> {
        self.0.iter().filter(|port| port.is_tcp).filter_map(|port| match &port.target {
            Target::Name(name) => Some((port.number, name)),
            Target::Number(_) => None,
        })
    }
}

impl FromIterator<Port> for Ports {
    fn from_iter<I: IntoIterator<Item = Port>>(ports: I) -> Self {
        let mut known: Vec<Port> = Vec::new();
        for port in ports {
            match known.iter_mut().find(|known| known.number == port.number) {
                None => known.push(port),
                Some(known) if port.is_tcp && !known.is_tcp => *known = port,
                Some(_) => {}
            }
        }
        Self(known)
    }
}
