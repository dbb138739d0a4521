//! What all objects have in common, which kinds there are, and reading one.
//!
//! An object is read once, and what is of no interest to a mesh is dropped while it is read: there may be 100,000 of them.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::Value;

use crate::Labels;
use crate::entry::{ServiceEntry, WorkloadEntry};
use crate::gateway::{Gateway, GatewayClass};
use crate::namespace::{self, Namespace};
use crate::node::{self, Node};
use crate::pod::{self, Pod};
use crate::policy::{AuthorizationPolicy, PeerAuthentication};
use crate::service::{self, Service};
use crate::slice::{self, Slice};
use crate::uid::Uid;

/// What all objects have in common.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// The name.
    pub name: Arc<str>,
    /// The namespace; empty for what is in none.
    pub namespace: Arc<str>,
    /// Tells objects apart that had one name, one after the other.
    pub uid: Arc<str>,
    /// How often what is wanted has changed.
    pub generation: i64,
    /// When it was made, as RFC 3339 in UTC: in the order of texts.
    pub creation_timestamp: Option<Arc<str>>,
    /// Since when it is being deleted.
    pub deletion_timestamp: Option<Arc<str>>,
    /// Its labels.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: Labels,
}

/// A kind of objects that a mesh is derived from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `v1` Namespace.
    Namespace,
    /// `v1` Node.
    Node,
    /// `v1` Pod.
    Pod,
    /// `v1` Service.
    Service,
    /// `discovery.k8s.io/v1` `EndpointSlice`.
    EndpointSlice,
    /// `networking.istio.io/v1` `ServiceEntry`.
    ServiceEntry,
    /// `networking.istio.io/v1` `WorkloadEntry`.
    WorkloadEntry,
    /// `gateway.networking.k8s.io/v1` Gateway.
    Gateway,
    /// `gateway.networking.k8s.io/v1` `GatewayClass`.
    GatewayClass,
    /// `security.istio.io/v1` `AuthorizationPolicy`.
    AuthorizationPolicy,
    /// `security.istio.io/v1` `PeerAuthentication`.
    PeerAuthentication,
}

/// Names one object among all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What it is.
    pub kind: Kind,
    /// Where it is; empty for what is in no namespace.
    pub namespace: Arc<str>,
    /// What it is called.
    pub name: Arc<str>,
}

/// An object, as far as the mesh cares.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    pub(crate) key: Key,
    pub(crate) facts: Facts,
}

/// What an object says. Of most kinds there are few; of pods there are many, and they need no memory of their own.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Facts {
    Namespace(Box<Namespace>),
    Node(Box<Node>),
    Pod(Pod),
    Service(Box<Service>),
    EndpointSlice(Box<Slice>),
    ServiceEntry(Box<ServiceEntry>),
    WorkloadEntry(Box<WorkloadEntry>),
    Gateway(Box<Gateway>),
    GatewayClass(Box<GatewayClass>),
    AuthorizationPolicy(Box<Dated<AuthorizationPolicy>>),
    PeerAuthentication(Box<Dated<PeerAuthentication>>),
}

/// What an object of a generation says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dated<T> {
    pub(crate) uid: Uid,
    pub(crate) generation: i64,
    pub(crate) says: T,
}

impl Object {
    /// Reads an object of a kind. What nobody here knows is skipped.
    ///
    /// # Errors
    /// When what is of interest is not of the type it has to be, or the object has no name.
    pub fn read<'de, D: Deserializer<'de>>(kind: Kind, from: D) -> Result<Self, D::Error> {
        let object: Self = match kind {
            Kind::Namespace => namespace::Written::deserialize(from)?.into(),
            Kind::Node => node::Written::deserialize(from)?.into(),
            Kind::Pod => pod::Written::deserialize(from)?.into(),
            Kind::Service => service::Written::deserialize(from)?.into(),
            Kind::EndpointSlice => slice::Written::deserialize(from)?.into(),
            Kind::ServiceEntry => Self::of_users(kind, from, |meta, value| {
                Facts::ServiceEntry(Box::new(ServiceEntry::read(meta, value)))
            })?,
            Kind::WorkloadEntry => Self::of_users(kind, from, |meta, value| {
                Facts::WorkloadEntry(Box::new(WorkloadEntry::read(meta, value)))
            })?,
            Kind::Gateway => Self::of_users(kind, from, |meta, value| {
                Facts::Gateway(Box::new(Gateway::read(meta, value)))
            })?,
            Kind::GatewayClass => Self::of_users(kind, from, |meta, value| {
                Facts::GatewayClass(Box::new(GatewayClass::read(meta, value)))
            })?,
            Kind::AuthorizationPolicy => Self::of_users(kind, from, |meta, value| {
                Facts::authorization(&meta, AuthorizationPolicy::read(value))
            })?,
            Kind::PeerAuthentication => Self::of_users(kind, from, |meta, value| {
                Facts::authentication(&meta, PeerAuthentication::read(value))
            })?,
        };
        if object.key.name.is_empty() {
            return Err(D::Error::custom("the object has no name"));
        }
        Ok(object)
    }

    /// Reads an object of a kind from the text the API server sends.
    ///
    /// # Errors
    /// When the text is no JSON, or the object cannot be read.
    pub fn parse(kind: Kind, json: &[u8]) -> Result<Self, serde_json::Error> {
        let mut text = serde_json::Deserializer::from_slice(json);
        let object = Self::read(kind, &mut text)?;
        text.end()?;
        Ok(object)
    }

    /// Reads what users write: whatever is wrong with it is said in its status.
    fn of_users<'de, D: Deserializer<'de>>(
        kind: Kind,
        from: D,
        read: impl FnOnce(Meta, &Value) -> Facts,
    ) -> Result<Self, D::Error> {
        let value = Value::deserialize(from)?;
        let meta = value.get("metadata").map(Meta::deserialize).transpose().map_err(D::Error::custom)?;
        let meta = meta.unwrap_or_default();
        Ok(Self { key: meta.key(kind), facts: read(meta, &value) })
    }

    /// Gives what counts of an object that cannot be read, if anything does: a policy denies what it could govern.
    pub(crate) fn unreadable(key: &Key, why: &str) -> Option<Self> {
        let facts = match key.kind {
            Kind::AuthorizationPolicy => Facts::authorization(
                &Meta::default(),
                AuthorizationPolicy::unreadable(&key.namespace, &key.name, why),
            ),
            Kind::PeerAuthentication => Facts::authentication(
                &Meta::default(),
                PeerAuthentication::unreadable(&key.namespace, &key.name, why),
            ),
            Kind::Namespace
            | Kind::Node
            | Kind::Pod
            | Kind::Service
            | Kind::EndpointSlice
            | Kind::ServiceEntry
            | Kind::WorkloadEntry
            | Kind::Gateway
            | Kind::GatewayClass => return None,
        };
        Some(Self { key: key.clone(), facts })
    }

    /// Gives what names the object.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }
}

impl Facts {
    pub(crate) fn as_pod(&self) -> Option<&Pod> {
        if let Self::Pod(pod) = self { Some(pod) } else { None }
    }

    fn authorization(meta: &Meta, says: AuthorizationPolicy) -> Self {
        Self::AuthorizationPolicy(Box::new(Dated {
            uid: meta.uid.as_ref().into(),
            generation: meta.generation,
            says,
        }))
    }

    fn authentication(meta: &Meta, says: PeerAuthentication) -> Self {
        Self::PeerAuthentication(Box::new(Dated {
            uid: meta.uid.as_ref().into(),
            generation: meta.generation,
            says,
        }))
    }
}

impl From<namespace::Written> for Object {
    fn from(written: namespace::Written) -> Self {
        Self { key: written.key(), facts: Facts::Namespace(Box::new(written.into())) }
    }
}

impl From<node::Written> for Object {
    fn from(written: node::Written) -> Self {
        Self { key: written.key(), facts: Facts::Node(Box::new(written.into())) }
    }
}

impl From<pod::Written> for Object {
    fn from(written: pod::Written) -> Self {
        Self { key: written.key(), facts: Facts::Pod(written.into()) }
    }
}

impl From<service::Written> for Object {
    fn from(written: service::Written) -> Self {
        Self { key: written.key(), facts: Facts::Service(Box::new(written.into())) }
    }
}

impl From<slice::Written> for Object {
    fn from(written: slice::Written) -> Self {
        Self { key: written.key(), facts: Facts::EndpointSlice(Box::new(written.into())) }
    }
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Namespace,
        Self::Node,
        Self::Pod,
        Self::Service,
        Self::EndpointSlice,
        Self::ServiceEntry,
        Self::WorkloadEntry,
        Self::Gateway,
        Self::GatewayClass,
        Self::AuthorizationPolicy,
        Self::PeerAuthentication,
    ];

    /// Gives `apiVersion`, `kind`, and the name of the resource in paths.
    #[must_use]
    pub fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Namespace => ("v1", "Namespace", "namespaces"),
            Self::Node => ("v1", "Node", "nodes"),
            Self::Pod => ("v1", "Pod", "pods"),
            Self::Service => ("v1", "Service", "services"),
            Self::EndpointSlice => ("discovery.k8s.io/v1", "EndpointSlice", "endpointslices"),
            Self::ServiceEntry => ("networking.istio.io/v1", "ServiceEntry", "serviceentries"),
            Self::WorkloadEntry => ("networking.istio.io/v1", "WorkloadEntry", "workloadentries"),
            Self::Gateway => ("gateway.networking.k8s.io/v1", "Gateway", "gateways"),
            Self::GatewayClass => ("gateway.networking.k8s.io/v1", "GatewayClass", "gatewayclasses"),
            Self::AuthorizationPolicy => {
                ("security.istio.io/v1", "AuthorizationPolicy", "authorizationpolicies")
            }
            Self::PeerAuthentication => ("security.istio.io/v1", "PeerAuthentication", "peerauthentications"),
        }
    }

    /// Gives the path of all of them at the API server.
    #[must_use]
    pub fn path(self) -> String {
        let (version, _, resource) = self.names();
        let prefix = if version.contains('/') { "apis" } else { "api" };
        format!("/{prefix}/{version}/{resource}")
    }

    /// Tells whether every cluster has it; the others are there when somebody has defined them.
    #[must_use]
    pub fn is_built_in(self) -> bool {
        let (version, _, _) = self.names();
        matches!(version, "v1" | "discovery.k8s.io/v1")
    }
}

impl Meta {
    /// Gives what names an object of a kind.
    #[must_use]
    pub fn key(&self, kind: Kind) -> Key {
        Key { kind, namespace: self.namespace.clone(), name: self.name.clone() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, kind, _) = self.kind.names();
        match &*self.namespace {
            "" => write!(f, "{kind} {}", self.name),
            namespace => write!(f, "{kind} {namespace}/{}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_api_server() {
        assert_eq!(Kind::Pod.path(), "/api/v1/pods");
        assert_eq!(Kind::AuthorizationPolicy.path(), "/apis/security.istio.io/v1/authorizationpolicies");
        assert_eq!(Kind::ALL.into_iter().filter(|kind| kind.is_built_in()).count(), 5);
    }
}
