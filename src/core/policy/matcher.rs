//! Whether one value satisfies one matcher.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::identity::SpiffeId;

use super::Peer;

/// A condition on a text; case matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StringMatch {
    /// The text is this one.
    Exact(Arc<str>),
    /// The text starts with this.
    Prefix(Arc<str>),
    /// The text ends with this.
    Suffix(Arc<str>),
    /// The text is not empty.
    Presence,
}

/// A service account in whatever trust domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccountMatch {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name.
    pub service_account: Arc<str>,
}

/// A peer as matchers see it, worked out once for all policies.
pub(super) struct Subject<'a> {
    pub(super) identity: Option<&'a SpiffeId>,
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) port: u16,
}

impl StringMatch {
    /// Tells whether `text` satisfies the condition.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => text == &**exact,
            Self::Prefix(prefix) => text.starts_with(&**prefix),
            Self::Suffix(suffix) => text.ends_with(&**suffix),
            Self::Presence => !text.is_empty(),
        }
    }
}

impl ServiceAccountMatch {
    /// Tells whether `identity` is this service account.
    #[must_use]
    pub fn matches(&self, identity: &SpiffeId) -> bool {
        identity.namespace() == &*self.namespace && identity.service_account() == &*self.service_account
    }
}

impl<'a> Subject<'a> {
    pub(super) fn of(peer: &'a Peer) -> Self {
        Self {
            identity: peer.identity.as_ref(),
            source: peer.source.ip().to_canonical(),
            destination: peer.destination.ip().to_canonical(),
            port: peer.destination.port(),
        }
    }

    /// Gives the namespace of the identity; a peer without identity is in the empty namespace.
    pub(super) fn namespace(&self) -> &str {
        self.identity.map_or("", SpiffeId::namespace)
    }
}

/// Tells whether `address` lies in `block`; the families never mix.
pub(super) fn lies_in(block: &IpNet, address: IpAddr) -> bool {
    block.contains(&address)
}
