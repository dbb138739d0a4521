//! A workload: one pod (or machine) of the mesh, as the control plane describes it.
//!
//! Plain data and what follows from it alone. Deliberately absent: lookups (see `snapshot`).

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use serde::Deserialize;

use crate::address::NetworkAddress;
use crate::identity::{NotAnIdentity, SpiffeId};

/// The trust domain of a workload that names none.
pub const DEFAULT_TRUST_DOMAIN: &str = "cluster.local";
/// The service account of a workload that names none.
pub const DEFAULT_SERVICE_ACCOUNT: &str = "default";
/// The cluster of a workload that names none.
pub const DEFAULT_CLUSTER: &str = "Kubernetes";

/// One workload of the mesh. Texts that are not known are empty.
///
/// There are many of these, so what pods of one owner agree on is kept once, in their [`Template`], and what pods of one
/// node agree on in their [`Place`]; a workload reads as if it had the fields of its template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// The primary key; `<cluster>//Pod/<namespace>/<name>` for pods.
    pub uid: Arc<str>,
    /// The name of the pod; see [`Self::name`].
    pub named: Name,
    /// Where it runs.
    pub place: Arc<Place>,
    /// Its addresses, canonical, in the order given.
    pub addresses: Addresses,
    /// Whether it can take traffic.
    pub status: Health,
    /// Which of those with this uid it is, one after the other; the store says so. Names and addresses are given again.
    pub incarnation: Incarnation,
    /// Its weight in load balancing.
    pub capacity: u32,
    /// What it has in common with the other pods of its owner.
    pub template: Arc<Template>,
}

/// A number that tells those apart that had one uid, one after the other. It is about the past, so it makes no difference between
/// two workloads that are the same otherwise; [`Self::number`] does.
#[derive(Debug, Clone, Copy, Default)]
pub struct Incarnation(u16);

impl Incarnation {
    /// Gives the nth, counted round and round.
    #[must_use]
    pub fn nth(number: u16) -> Self {
        Self(number)
    }

    /// Gives the number, to be compared.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }
}

impl PartialEq for Incarnation {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Incarnation {}

/// What the pods of one owner have in common. Texts that are not known are empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Template {
    /// The Kubernetes namespace.
    pub namespace: Arc<str>,
    /// The Kubernetes service account.
    pub service_account: Arc<str>,
    /// The trust domain of its identity; empty means [`DEFAULT_TRUST_DOMAIN`].
    pub trust_domain: Arc<str>,
    /// The network its addresses belong to.
    pub network: Arc<str>,
    /// The cluster it runs in.
    pub cluster_id: Arc<str>,
    /// The name of what owns it (the Deployment, for instance).
    pub workload_name: Arc<str>,
    /// The canonical service name, for telemetry.
    pub canonical_name: Arc<str>,
    /// The canonical revision, for telemetry.
    pub canonical_revision: Arc<str>,
    /// The name to resolve when there is no address.
    pub hostname: Arc<str>,
    /// What kind of object owns it.
    pub workload_type: WorkloadType,
    /// How it is reached.
    pub protocol: Protocol,
    /// Whether it shares the addresses of its node.
    pub network_mode: NetworkMode,
    /// The services it is an endpoint of, by `<namespace>/<hostname>`, with the ports that differ from the service's.
    pub services: Memberships,
    /// The keys (`<namespace>/<name>`) of the policies attached to it by selector.
    pub authorization_policies: Vec<Arc<str>>,
    /// The waypoint for traffic addressed to it directly.
    pub waypoint: Option<GatewayAddress>,
    /// The gateway to go through from other networks.
    pub network_gateway: Option<GatewayAddress>,
    /// Where its own tunnel ends inside the workload, for waypoints.
    pub application_tunnel: Option<ApplicationTunnel>,
    /// Whether it speaks HBONE by itself.
    pub native_tunnel: bool,
}

/// The name of a workload, within its uid when that ends with it: nearly every name does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(Written);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Written {
    /// What is left of the uid from here on.
    Rest(u32),
    Apart(Arc<str>),
}

/// A few addresses; a single one, the usual case, needs no memory of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Addresses(Few);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Few {
    #[default]
    None,
    One(IpAddr),
    More(Box<[IpAddr]>),
}

/// The kind of object that owns a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkloadType {
    /// A Deployment, and anything not listed here.
    #[default]
    Deployment,
    /// A CronJob.
    CronJob,
    /// A bare pod.
    Pod,
    /// A Job.
    Job,
}

/// How a workload is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// Plain TCP: it is not part of the mesh.
    #[default]
    Tcp,
    /// Through an HBONE tunnel.
    Hbone,
}

/// Whether a workload has addresses of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
pub enum NetworkMode {
    /// It has.
    #[default]
    Standard,
    /// It uses the addresses of its node, so that an address does not tell which workload is meant.
    HostNetwork,
}

/// Whether a workload, as endpoint, can take traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Health {
    /// It can.
    #[default]
    Healthy,
    /// It cannot.
    Unhealthy,
}

/// Where a workload runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Place {
    /// The Kubernetes node.
    pub node: Arc<str>,
    /// Where the node is.
    pub locality: Locality,
}

/// A place in the world, from large to small.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Locality {
    /// The region.
    pub region: Arc<str>,
    /// The zone within the region.
    pub zone: Arc<str>,
    /// The part of the zone.
    pub subzone: Arc<str>,
}

/// A waypoint or network gateway by reference.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GatewayAddress {
    /// Which gateway.
    pub destination: GatewayDestination,
    /// Its HBONE port.
    pub port: u16,
}

/// The two ways to name a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum GatewayDestination {
    /// By address.
    Address(NetworkAddress),
    /// By the hostname of a service or workload.
    Hostname {
        /// The namespace of the service or workload.
        namespace: Arc<str>,
        /// Its hostname.
        hostname: Arc<str>,
    },
}

/// The tunnel that ends inside a workload, used by waypoints behind our own tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ApplicationTunnel {
    /// What the workload expects in front of the bytes.
    pub protocol: ApplicationProtocol,
    /// The port that takes the tunnel; `None` means the port that was asked for.
    pub port: Option<u16>,
}

/// What an application tunnel starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ApplicationProtocol {
    /// Nothing.
    None,
    /// A PROXY protocol header.
    Proxy,
}

/// The services a workload is an endpoint of, by key, with the ports it serves on other targets than they declare.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Memberships(Box<[(Arc<str>, PortMap)]>);

/// Service ports and the ports they are served on.
///
/// A target of 0 means that each endpoint knows its own (a named port in Kubernetes).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct PortMap(Box<[(u16, u16)]>);

impl Workload {
    /// Gives the name of the pod.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.named.0 {
            Written::Rest(start) => self.uid.get(*start as usize..).unwrap_or_default(),
            Written::Apart(name) => name,
        }
    }

    /// Gives the identity of the workload.
    ///
    /// # Errors
    /// When namespace, service account or trust domain cannot be part of an identity.
    pub fn identity(&self) -> Result<SpiffeId, NotAnIdentity> {
        let trust_domain =
            if self.trust_domain.is_empty() { DEFAULT_TRUST_DOMAIN } else { &self.trust_domain };
        SpiffeId::new(trust_domain, &self.namespace, &self.service_account)
    }

    /// Gives the workload with another template.
    #[cfg(test)]
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Template)) -> Self {
        change(Arc::make_mut(&mut self.template));
        self
    }

    /// Tells whether the workload is a pod rather than a registered machine or an external endpoint.
    #[must_use]
    pub fn is_pod(&self) -> bool {
        self.uid.contains("//Pod/")
    }
}

impl Default for Workload {
    /// Gives a workload about which nothing is known; it has weight 1 like every workload that does not say otherwise.
    fn default() -> Self {
        Self {
            uid: Arc::default(),
            named: Name::default(),
            place: Arc::default(),
            addresses: Addresses::default(),
            status: Health::default(),
            incarnation: Incarnation::default(),
            capacity: 1,
            template: Arc::default(),
        }
    }
}

impl Name {
    /// Gives the name of the workload with this uid.
    #[must_use]
    pub fn of(uid: &str, name: &str) -> Self {
        if name.is_empty() {
            return Self::default();
        }
        let start = uid.strip_suffix(name).and_then(|before| u32::try_from(before.len()).ok());
        Self(start.map_or_else(|| Written::Apart(name.into()), Written::Rest))
    }
}

impl Default for Name {
    fn default() -> Self {
        Self(Written::Apart(Arc::default()))
    }
}

impl Deref for Workload {
    type Target = Template;

    fn deref(&self) -> &Template {
        &self.template
    }
}

impl Deref for Addresses {
    type Target = [IpAddr];

    fn deref(&self) -> &[IpAddr] {
        match &self.0 {
            Few::None => &[],
            Few::One(one) => std::slice::from_ref(one),
            Few::More(more) => more,
        }
    }
}

impl FromIterator<IpAddr> for Addresses {
    fn from_iter<I: IntoIterator<Item = IpAddr>>(addresses: I) -> Self {
        let mut addresses = addresses.into_iter();
        Self(match (addresses.next(), addresses.next()) {
            (None, _) => Few::None,
            (Some(one), None) => Few::One(one),
            (Some(one), Some(two)) => Few::More([one, two].into_iter().chain(addresses).collect()),
        })
    }
}

impl WorkloadType {
    /// Every kind, in wire order.
    pub const ALL: [Self; 4] = [Self::Deployment, Self::CronJob, Self::Pod, Self::Job];

    /// Gives the name used in baggage and in files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::CronJob => "cronjob",
            Self::Pod => "pod",
            Self::Job => "job",
        }
    }
}

impl fmt::Display for GatewayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.destination {
            GatewayDestination::Address(address) => write!(f, "{address}"),
            GatewayDestination::Hostname { namespace, hostname } => write!(f, "{namespace}/{hostname}"),
        }?;
        write!(f, " port {}", self.port)
    }
}

impl Memberships {
    /// Gives the ports for a service; `None` when the workload is no endpoint of it.
    #[must_use]
    pub fn get(&self, service: &str) -> Option<&PortMap> {
        let at = self.0.binary_search_by_key(&service, |(key, _)| key).ok()?;
        Some(&self.0[at].1)
    }

    /// Gives the keys of the services, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter().map(|(key, _)| key)
    }

    /// Gives all pairs of service and ports, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &PortMap)> {
        self.0.iter().map(|(key, ports)| (key, ports))
    }
}

impl FromIterator<(Arc<str>, PortMap)> for Memberships {
    /// Collects pairs; of two pairs with one key the last counts.
    fn from_iter<I: IntoIterator<Item = (Arc<str>, PortMap)>>(pairs: I) -> Self {
        let sorted: BTreeMap<Arc<str>, PortMap> = pairs.into_iter().collect();
        Self(sorted.into_iter().collect())
    }
}

impl PortMap {
    /// Gives the target of a service port: `Some(0)` when declared without one, `None` when not declared.
    #[must_use]
    pub fn target(&self, service_port: u16) -> Option<u16> {
        let at = self.0.binary_search_by_key(&service_port, |&(port, _)| port).ok()?;
        Some(self.0[at].1)
    }

    /// Gives the target of a service port where one is named; [`Self::target`] tells a missing one from an undeclared port.
    #[must_use]
    pub fn named_target(&self, service_port: u16) -> Option<u16> {
        self.target(service_port).filter(|&target| target != 0)
    }

    /// Gives all pairs of service port and target, by service port.
    pub fn iter(&self) -> impl Iterator<Item = (u16, u16)> + '_ {
        self.0.iter().copied()
    }

    /// Tells whether there is no port at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(u16, u16)> for PortMap {
    /// Collects pairs; of two pairs with one service port the last counts.
    fn from_iter<I: IntoIterator<Item = (u16, u16)>>(pairs: I) -> Self {
        let sorted: BTreeMap<u16, u16> = pairs.into_iter().collect();
        Self(sorted.into_iter().collect())
    }
}

#[cfg(test)]
mod tests;
