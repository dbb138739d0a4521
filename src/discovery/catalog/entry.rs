//! One resource: its name, its version, its bytes, and what else it is found by.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use culvert_core::identity::SpiffeId;
use culvert_core::policy::{Policy, Scope};
use culvert_core::service::Service;
use culvert_core::workload::Workload;

/// The two kinds of lists a client subscribes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Collection {
    /// Workloads and services.
    Addresses,
    /// Policies.
    Policies,
}

/// A hash of the bytes: the same in every process and every release that writes the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version(u64);

/// One resource.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in its collection.
    pub name: Arc<str>,
    /// What of its bytes clients compare.
    pub version: Version,
    pub(crate) payload: Bytes,
    /// The addresses it answers to, `<network>/<ip>` or `<network>/<ip>/<length>`.
    pub(crate) aliases: Box<[Arc<str>]>,
    pub(crate) kind: Kind,
}

/// What it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Policy(Governs),
    Service(Host),
    Workload(Place),
}

/// Whom a policy may govern.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Governs {
    Everything,
    /// Workloads of this namespace, or those that refer to it.
    Namespace(Arc<str>),
}

/// Whether a service is the one its hostname stands for outside its namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Host {
    Canonical,
    Another,
}

/// Where a workload is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Empty when it is on none.
    pub(crate) node: Arc<str>,
    /// The services it is an endpoint of.
    pub(crate) services: Box<[Arc<str>]>,
    /// Its own namespace, and those of the policies it refers to.
    pub(crate) namespaces: Box<[Arc<str>]>,
    /// None when it can have none.
    pub(crate) identity: Option<SpiffeId>,
}

impl Collection {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Addresses, Self::Policies];

    /// The type URL on the wire.
    pub fn url(self) -> &'static str {
        match self {
            Self::Addresses => culvert_wire::ADDRESS_TYPE,
            Self::Policies => culvert_wire::AUTHORIZATION_TYPE,
        }
    }

    /// The collection with this type URL.
    pub fn of_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|collection| collection.url() == url)
    }
}

impl Entry {
    /// A workload.
    pub fn workload(workload: &Workload) -> Self {
        let place = Place {
            node: workload.place.node.clone(),
            services: workload.services.keys().cloned().collect(),
            namespaces: namespaces(workload),
            identity: workload.identity().ok(),
        };
        Self::new(workload.uid.clone(), culvert_wire::encode_workload(workload), Kind::Workload(place))
            .answering(culvert_wire::workload_aliases(workload))
    }

    /// A service.
    pub fn service(service: &Service) -> Self {
        let host = if service.canonical { Host::Canonical } else { Host::Another };
        Self::new(service.key(), culvert_wire::encode_service(service), Kind::Service(host))
            .answering(culvert_wire::service_aliases(service))
    }

    /// A policy.
    pub fn policy(policy: &Policy) -> Self {
        let governs = match policy.scope {
            Scope::Global => Governs::Everything,
            Scope::Namespace | Scope::WorkloadSelector => Governs::Namespace(policy.namespace.clone()),
        };
        Self::new(policy.key.clone(), culvert_wire::encode_policy(policy), Kind::Policy(governs))
    }

    fn new(name: Arc<str>, payload: Bytes, kind: Kind) -> Self {
        Self { name, version: Version::of(&payload), payload, aliases: [].into(), kind }
    }

    fn answering(mut self, aliases: Vec<String>) -> Self {
        self.aliases = aliases.into_iter().map(Arc::from).collect();
        self
    }

    /// Which of the two it is in.
    pub fn collection(&self) -> Collection {
        match self.kind {
            Kind::Policy(_) => Collection::Policies,
            Kind::Service(_) | Kind::Workload(_) => Collection::Addresses,
        }
    }

    /// Where it is, if it is a workload.
    pub(crate) fn place(&self) -> Option<&Place> {
        match &self.kind {
            Kind::Workload(place) => Some(place),
            Kind::Policy(_) | Kind::Service(_) => None,
        }
    }
}

/// The namespaces whose policies a workload has to do with.
fn namespaces(workload: &Workload) -> Box<[Arc<str>]> {
    let mut namespaces = vec![workload.namespace.clone()];
    for policy in &workload.authorization_policies {
        let Some((namespace, _)) = policy.split_once('/') else { continue };
        if namespaces.iter().all(|known| **known != *namespace) {
            namespaces.push(namespace.into());
        }
    }
    namespaces.into()
}

impl Version {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let digest = digest(&SHA256, bytes);
        let first = digest.as_ref().first_chunk().expect("SHA-256 is longer than eight bytes");
        Self(u64::from_be_bytes(*first))
    }

    /// Reads what [`fmt::Display`] writes; anything else is no version of ours.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let ours = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        ours.then(|| u64::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
