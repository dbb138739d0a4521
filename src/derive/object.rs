//! What all objects have in common, and which kinds there are.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use crate::Labels;

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
        self.path_in("")
    }

    /// Gives the path of those in a namespace; the empty one stands for all, and for kinds that are in none.
    #[must_use]
    pub fn path_in(self, namespace: &str) -> String {
        let (version, _, resource) = self.names();
        let prefix = if version.contains('/') { "apis" } else { "api" };
        match namespace {
            "" => format!("/{prefix}/{version}/{resource}"),
            namespace => format!("/{prefix}/{version}/namespaces/{namespace}/{resource}"),
        }
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

    #[test]
    fn nothing_is_too_deep_for_a_thread_of_tokio() {
        let read = || {
            for (kind, depth) in
                Kind::ALL.into_iter().flat_map(|kind| [10, 50, 100, 10_000].map(|it| (kind, it)))
            {
                let lists = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
                let objects = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
                for (deep, field) in [&lists, &objects]
                    .into_iter()
                    .flat_map(|it| ["spec", "status", "x"].map(|field| (it, field)))
                {
                    let text = format!("{{\"metadata\": {{\"name\": \"a\"}}, \"{field}\": {deep}}}");
                    // It is read, or it is said that it cannot be.
                    let _ = crate::Object::parse(kind, text.as_bytes()).map(drop);
                }
            }
        };
        std::thread::Builder::new().stack_size(2 << 20).spawn(read).unwrap().join().unwrap();
    }
}
