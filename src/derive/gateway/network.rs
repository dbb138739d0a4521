//! Gateways that lead to other networks.

use std::collections::BTreeMap;
use std::sync::Arc;

use culvert_core::address::NetworkAddress;
use culvert_core::workload::{
    GatewayAddress, GatewayDestination, Name, Protocol, Template, Workload, WorkloadType,
};

use crate::Settings;

use super::class::{GatewayClass, Part};
use super::facts::{At, Gateway};

/// The cluster's own network, and the ways to others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks {
    own: Arc<str>,
    gateways: BTreeMap<Arc<str>, GatewayAddress>,
}

/// A gateway that leads to a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkGateway {
    /// The network.
    pub network: Arc<str>,
    /// The namespace of the gateway.
    pub namespace: Arc<str>,
    /// The name of the gateway.
    pub name: Arc<str>,
    /// The service account it runs under.
    pub service_account: Arc<str>,
    /// Where it is.
    pub at: At,
    /// Its port for tunnels.
    pub port: u16,
}

impl Networks {
    /// Puts them together. Of several gateways of one network the first by namespace and name leads there.
    pub fn new<'a>(own: Arc<str>, gateways: impl IntoIterator<Item = &'a NetworkGateway>) -> Self {
        let mut first: BTreeMap<&Arc<str>, &NetworkGateway> = BTreeMap::new();
        for gateway in gateways {
            let known = first.entry(&gateway.network).or_insert(gateway);
            if (&gateway.namespace, &gateway.name) < (&known.namespace, &known.name) {
                *known = gateway;
            }
        }
        let gateways = first.into_iter().map(|(network, it)| (network.clone(), it.address())).collect();
        Self { own, gateways }
    }

    /// The network of the cluster; the default one has the empty name.
    #[must_use]
    pub fn own(&self) -> &Arc<str> {
        &self.own
    }

    /// Gives the gateway that leads to a network, if there is one.
    #[must_use]
    pub fn gateway(&self, network: &str) -> Option<&GatewayAddress> {
        self.gateways.get(network)
    }
}

impl NetworkGateway {
    /// Gives the network gateway that a Gateway stands for: one of class `istio-remote`, with the label of a network, and a listener
    /// for tunnels. Where nobody writes a status, it is where it is said to be.
    #[must_use]
    pub fn of(gateway: &Gateway, class: Option<&GatewayClass>) -> Option<Self> {
        if Part::of_class(&gateway.class, class) != Part::Remote {
            return None;
        }
        let network = gateway.meta.labels.filled("topology.istio.io/network")?;
        let listener = gateway.listeners.iter().find(|it| it.is_hbone() && it.port != 0)?;
        let account = gateway.meta.annotations.filled("gateway.istio.io/service-account");
        Some(Self {
            network: network.into(),
            namespace: gateway.meta.namespace.clone(),
            name: gateway.meta.name.clone(),
            service_account: account.unwrap_or(&gateway.meta.name).into(),
            at: gateway.addresses.iter().chain(&gateway.asked).next()?.clone(),
            port: listener.port,
        })
    }

    /// Gives how it is referred to.
    #[must_use]
    pub fn address(&self) -> GatewayAddress {
        let destination = match &self.at {
            At::Ip(ip) => GatewayDestination::Address(NetworkAddress::new(self.network.clone(), *ip)),
            At::Host(hostname) => {
                GatewayDestination::Hostname { namespace: self.namespace.clone(), hostname: hostname.clone() }
            }
        };
        GatewayAddress { destination, port: self.port }
    }

    /// Gives the workload that it is.
    #[must_use]
    pub fn workload(&self, settings: &Settings) -> Workload {
        let (text, hostname, ip) = match &self.at {
            At::Ip(ip) => (ip.to_string(), Arc::default(), Some(*ip)),
            At::Host(hostname) => (hostname.to_string(), hostname.clone(), None),
        };
        let uid = format!("NetworkGateway/{}/{text}/{}", self.network, self.port);
        let template = Template {
            namespace: self.namespace.clone(),
            service_account: self.service_account.clone(),
            trust_domain: settings.trust_domain_if_special(),
            network: self.network.clone(),
            cluster_id: settings.cluster.clone(),
            workload_name: self.name.clone(),
            canonical_name: self.name.clone(),
            canonical_revision: "latest".into(),
            hostname,
            workload_type: WorkloadType::Pod,
            protocol: Protocol::Hbone,
            ..Template::default()
        };
        Workload {
            named: Name::of(&uid, &self.name),
            uid: uid.into(),
            addresses: ip.into_iter().collect(),
            template: Arc::new(template),
            ..Workload::default()
        }
    }
}
