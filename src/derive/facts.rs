//! Reading an object, into what it says that matters to a mesh.
//!
//! An object is read once, and what is of no interest is dropped while it is read: there may be 100,000 of them.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::Value;

use crate::entry::{ServiceEntry, WorkloadEntry};
use crate::gateway::{Gateway, GatewayClass};
use crate::namespace::{self, Namespace};
use crate::node::{self, Node};
use crate::pod::{self, Pod};
use crate::policy::{AuthorizationPolicy, PeerAuthentication};
use crate::service::{self, Service};
use crate::slice::{self, Slice};
use crate::uid::Uid;
use crate::{Key, Kind, Meta};

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
