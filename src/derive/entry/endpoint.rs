//! One endpoint as `ServiceEntries` list them and `WorkloadEntries` describe them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use culvert_core::workload::{Locality, Protocol};

use crate::Labels;
use crate::reading::Reading;

use super::host;

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it is.
    pub at: At,
    /// The ports it serves, by the names of the service's.
    pub ports: BTreeMap<Arc<str>, u16>,
    /// Its own labels.
    pub labels: Labels,
    /// The network of its address; empty for that of the cluster.
    pub network: Arc<str>,
    /// Where that is.
    pub locality: Locality,
    /// Its share of the connections.
    pub weight: u32,
    /// Its service account; empty when nobody says.
    pub service_account: Arc<str>,
}

/// Where an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum At {
    /// At an address.
    Ip(IpAddr),
    /// At the addresses of a name.
    Host(Arc<str>),
    /// Behind the gateway of its network.
    Abroad,
}

impl Endpoint {
    /// Reads an endpoint, unless it is nowhere.
    pub(super) fn read(reading: &Reading<'_>) -> Option<Self> {
        let network = reading.field("network").shared();
        Some(Self {
            at: at(&reading.field("address"), &network)?,
            ports: reading.field("ports").ports(),
            labels: reading.field("labels").labels(),
            locality: locality(&reading.field("locality")),
            weight: reading.field("weight").number().filter(|&weight| weight > 0).unwrap_or(1),
            service_account: reading.field("serviceAccount").shared(),
            network,
        })
    }

    /// Gives the endpoint that a host is by its name.
    pub(super) fn by_name(host: &Arc<str>) -> Self {
        Self {
            at: At::Host(host.clone()),
            ports: BTreeMap::new(),
            labels: Labels::default(),
            network: Arc::default(),
            locality: Locality::default(),
            weight: 1,
            service_account: Arc::default(),
        }
    }

    /// Gives what tells it from the other endpoints of its `ServiceEntry`.
    pub(super) fn name(&self) -> Arc<str> {
        match &self.at {
            At::Ip(ip) => ip.to_string().into(),
            At::Host(host) => host.clone(),
            At::Abroad => self.network.clone(),
        }
    }
}

/// Tells how an endpoint with these labels is reached: one that says so speaks HBONE itself.
pub(super) fn protocol(labels: &Labels) -> Protocol {
    let tunnels = labels.get("networking.istio.io/tunnel").unwrap_or_default();
    if tunnels.split(',').any(|tunnel| tunnel.trim() == "http") { Protocol::Hbone } else { Protocol::Tcp }
}

fn at(reading: &Reading<'_>, network: &str) -> Option<At> {
    let Some(text) = reading.text() else {
        if network.is_empty() {
            reading.note("says nowhere the endpoint is; write an IP address or a hostname, or a network");
            return None;
        }
        return Some(At::Abroad);
    };
    match text.parse::<IpAddr>() {
        Ok(ip) => Some(At::Ip(ip.to_canonical())),
        Err(_) => host::name(reading).map(At::Host),
    }
}

/// Reads `region/zone/subzone`, of which the last ones may be missing.
fn locality(reading: &Reading<'_>) -> Locality {
    let mut parts = reading.text().unwrap_or_default().splitn(3, '/').map(Arc::from);
    let mut part = || parts.next().unwrap_or_default();
    Locality { region: part(), zone: part(), subzone: part() }
}
