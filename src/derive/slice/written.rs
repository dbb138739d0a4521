//! An `EndpointSlice`, as the API server writes it.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use culvert_core::workload::Health;
use serde::Deserialize;

use super::{Endpoint, Slice};
use crate::lenient::or_default;
use crate::uid::Uid;
use crate::{Key, Kind, Labels};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Written {
    metadata: Metadata,
    address_type: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    ports: Vec<Port>,
    #[serde(default, deserialize_with = "or_default")]
    endpoints: Vec<EndpointWritten>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    name: Arc<str>,
    #[serde(default)]
    namespace: Arc<str>,
    #[serde(default)]
    labels: Labels,
}

#[derive(Deserialize)]
struct Port {
    name: Option<String>,
    port: Option<u16>,
    protocol: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EndpointWritten {
    #[serde(default, deserialize_with = "or_default")]
    addresses: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    conditions: Conditions,
    target_ref: Option<Target>,
}

#[derive(Deserialize, Default)]
struct Conditions {
    ready: Option<bool>,
}

#[derive(Deserialize)]
struct Target {
    kind: Option<String>,
    namespace: Option<String>,
    #[serde(default)]
    name: Arc<str>,
    #[serde(default)]
    uid: Uid,
}

const SERVICE: &str = "kubernetes.io/service-name";

impl Written {
    pub(crate) fn key(&self) -> Key {
        let Metadata { name, namespace, .. } = &self.metadata;
        Key { kind: Kind::EndpointSlice, namespace: namespace.clone(), name: name.clone() }
    }
}

impl From<Written> for Slice {
    fn from(written: Written) -> Self {
        let Metadata { namespace, labels, .. } = &written.metadata;
        let service = labels.filled(SERVICE).map(Into::into);
        // Names are resolved by nobody here.
        if service.is_none() || written.address_type.as_deref() == Some("FQDN") {
            return Self::default();
        }
        let (pods, others): (Vec<_>, Vec<_>) = written.endpoints.iter().partition(|it| it.is_pod());
        let mut known = HashSet::new();
        Self {
            service,
            ports: written.ports.into_iter().filter_map(Port::named).collect(),
            pods: pods.into_iter().filter_map(|it| it.pod(namespace)).collect(),
            others: others
                .into_iter()
                .filter_map(EndpointWritten::other)
                .filter(|it| known.insert(it.ip))
                .collect(),
        }
    }
}

impl Port {
    fn named(self) -> Option<(Arc<str>, u16)> {
        let is_tcp = self.protocol.is_none_or(|protocol| protocol == "TCP");
        Some((self.name.unwrap_or_default().into(), self.port.filter(|_| is_tcp)?))
    }
}

impl EndpointWritten {
    fn is_pod(&self) -> bool {
        self.target_ref.as_ref().is_some_and(|target| target.kind.as_deref() == Some("Pod"))
    }

    /// A pod of another namespace is nobody a slice could speak for.
    fn pod(&self, namespace: &Arc<str>) -> Option<(Arc<Key>, Uid)> {
        let target = self.target_ref.as_ref()?;
        let is_here = target.namespace.as_deref().is_none_or(|it| it.is_empty() || *it == **namespace);
        let key = Key { kind: Kind::Pod, namespace: namespace.clone(), name: target.name.clone() };
        is_here.then(|| (key.into(), target.uid.clone()))
    }

    fn other(&self) -> Option<Endpoint> {
        let ip: IpAddr = self.addresses.first()?.parse().ok()?;
        let health = if self.conditions.ready == Some(false) { Health::Unhealthy } else { Health::Healthy };
        Some(Endpoint { ip: ip.to_canonical(), health })
    }
}
