//! Endpoints of `ServiceEntries`, and `WorkloadEntries` → core's workloads.

use std::collections::HashSet;
use std::sync::Arc;

use culvert_core::workload::{
    Addresses, DEFAULT_SERVICE_ACCOUNT, GatewayAddress, Health, Memberships, Name, Place, Protocol, Template,
    Workload, WorkloadType,
};

use crate::gateway::Networks;
use crate::{Labels, Settings};

use super::endpoint::{At, Endpoint, protocol};
use super::host;
use super::service_entry::{ServiceEntry, Way};
use super::workload_entry::WorkloadEntry;

/// What holds for all workloads of the cluster.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// What holds for the mesh.
    pub settings: &'a Settings,
    /// The cluster's own network, and the ways to others.
    pub networks: &'a Networks,
}

/// What other objects have for a workload.
#[derive(Debug, Clone, Default)]
pub struct Attached {
    /// The waypoint for traffic addressed to it directly.
    pub waypoint: Option<GatewayAddress>,
    /// The keys of the policies that select it.
    pub policies: Vec<Arc<str>>,
}

/// What telemetry calls a workload.
struct Called<'a> {
    /// The name of what it belongs to.
    workload: &'a Arc<str>,
    /// Labels, those that count most first.
    by: [&'a Labels; 2],
}

impl ServiceEntry {
    /// Gives the endpoints that are in the entry itself: those listed, or the hosts themselves when they are to be looked up and
    /// nothing else is said. Of its hosts only those count that it has `won`; without any, nothing is an endpoint of anything.
    ///
    /// They are always healthy: nobody checks them.
    #[must_use]
    pub fn workloads(
        &self,
        won: &HashSet<Arc<str>>,
        around: &Surroundings<'_>,
        attached: &Attached,
    ) -> Vec<Workload> {
        let won: Vec<&Arc<str>> = self.hosts.iter().filter(|host| won.contains(*host)).collect();
        if won.is_empty() || self.visibility.is_none() {
            return Vec::new();
        }
        let of = |endpoint: &Endpoint, hosts: &[&Arc<str>]| {
            let service = |host: &&Arc<str>| (self.key_of(host), self.own_ports(Some(&endpoint.ports)));
            self.workload(endpoint, hosts.iter().map(service).collect(), around, attached)
        };
        if !self.is_looked_up() {
            return self.endpoints.iter().map(|endpoint| of(endpoint, &won)).collect();
        }
        let single = won.iter().filter(|host| !host::is_wildcard(host));
        single.map(|&host| of(&Endpoint::by_name(host), &[host])).collect()
    }

    fn is_looked_up(&self) -> bool {
        let by_name = match self.way {
            Way::Dns | Way::DynamicDns => true,
            Way::Passthrough | Way::Static => false,
        };
        by_name && self.endpoints.is_empty() && self.selector.is_none()
    }

    fn workload(
        &self,
        endpoint: &Endpoint,
        services: Memberships,
        around: &Surroundings<'_>,
        attached: &Attached,
    ) -> Workload {
        let (meta, cluster) = (&self.meta, &around.settings.cluster);
        let (namespace, name, address) = (&meta.namespace, &meta.name, endpoint.name());
        let uid = format!("{cluster}/networking.istio.io/ServiceEntry/{namespace}/{name}/{address}");
        let called = Called { workload: name, by: [&endpoint.labels, &meta.labels] };
        let template = Template { namespace: namespace.clone(), services, ..attached.template() };
        Workload {
            named: Name::of(&uid, name),
            uid: uid.into(),
            ..endpoint.workload(template, &called, around)
        }
    }
}

impl WorkloadEntry {
    /// Gives the workload, a member of `services`; nothing when it is nowhere.
    #[must_use]
    pub fn workload(
        &self,
        services: Memberships,
        around: &Surroundings<'_>,
        attached: &Attached,
    ) -> Option<Workload> {
        let (meta, cluster) = (&self.meta, &around.settings.cluster);
        let (namespace, name) = (&meta.namespace, &meta.name);
        let uid = format!("{cluster}/networking.istio.io/WorkloadEntry/{namespace}/{name}");
        let group = meta.annotations.filled("istio.io/autoRegistrationGroup");
        let belongs_to = group.or(self.labels.filled("service.istio.io/workload-name")).map(Arc::from);
        let called =
            Called { workload: belongs_to.as_ref().unwrap_or(name), by: [&self.labels, &meta.labels] };
        let template = Template { namespace: namespace.clone(), services, ..attached.template() };
        Some(Workload {
            named: Name::of(&uid, name),
            uid: uid.into(),
            status: self.health,
            ..self.endpoint.as_ref()?.workload(template, &called, around)
        })
    }
}

impl Attached {
    fn template(&self) -> Template {
        Template {
            waypoint: self.waypoint.clone(),
            authorization_policies: self.policies.clone(),
            ..Template::default()
        }
    }
}

impl Endpoint {
    /// Gives a workload of which only what tells it from others is missing.
    fn workload(&self, known: Template, called: &Called<'_>, around: &Surroundings<'_>) -> Workload {
        let Surroundings { settings, networks } = around;
        // Each endpoint by itself: what one says of its network is nothing about the next.
        let network = if self.network.is_empty() { networks.own() } else { &self.network };
        let protocol = protocol(called.by[0]);
        let template = Template {
            service_account: or(&self.service_account, DEFAULT_SERVICE_ACCOUNT),
            trust_domain: settings.trust_domain_if_special(),
            network: network.clone(),
            cluster_id: settings.cluster.clone(),
            workload_name: called.workload.clone(),
            canonical_name: called.first(&CANONICAL_NAME).unwrap_or_else(|| called.workload.clone()),
            canonical_revision: called.first(&CANONICAL_REVISION).unwrap_or_else(|| "latest".into()),
            hostname: self.hostname(),
            workload_type: WorkloadType::Pod,
            protocol,
            network_gateway: networks.gateway(network).cloned(),
            native_tunnel: protocol == Protocol::Hbone,
            ..known
        };
        Workload {
            place: Arc::new(Place { node: Arc::default(), locality: self.locality.clone() }),
            addresses: self.addresses(),
            status: Health::Healthy,
            capacity: self.weight,
            template: Arc::new(template),
            ..Workload::default()
        }
    }

    fn hostname(&self) -> Arc<str> {
        match &self.at {
            At::Host(host) => host.clone(),
            At::Ip(_) | At::Abroad => Arc::default(),
        }
    }

    fn addresses(&self) -> Addresses {
        match &self.at {
            At::Ip(ip) => [*ip].into_iter().collect(),
            At::Host(_) | At::Abroad => Addresses::default(),
        }
    }
}

const CANONICAL_NAME: [&str; 3] = ["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"];
const CANONICAL_REVISION: [&str; 3] =
    ["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"];

impl Called<'_> {
    fn first(&self, keys: &[&str]) -> Option<Arc<str>> {
        let find = |labels: &&Labels| keys.iter().find_map(|key| labels.filled(key)).map(Arc::from);
        self.by.iter().find_map(find)
    }
}

fn or(text: &Arc<str>, default: &str) -> Arc<str> {
    if text.is_empty() { default.into() } else { text.clone() }
}
