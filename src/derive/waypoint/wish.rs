//! Which waypoint somebody wants an object to be behind.

use std::sync::Arc;

use crate::gateway::Traffic;
use crate::{Key, Kind, Meta};

use super::look::Look;
use super::{Named, Role, Subject};

const USE: &str = "istio.io/use-waypoint";
const USE_NAMESPACE: &str = "istio.io/use-waypoint-namespace";
const CANARY: &str = "istio.io/use-waypoint-canary";
const CANARY_NAMESPACE: &str = "istio.io/use-waypoint-canary-namespace";
const INGRESS: &str = "istio.io/ingress-use-waypoint";
/// Instead of the name of a waypoint: none.
const NONE: &str = "none";

/// A waypoint somebody wants, and who.
#[derive(Debug)]
pub(super) struct Wish<'w> {
    pub(super) waypoint: Named,
    /// Where it is written.
    pub(super) written: Key,
    /// The namespace, if it is the one who wants it.
    inherited: Option<&'w Meta>,
}

/// A second waypoint somebody wants, and what is said about its share.
pub(super) struct SecondWish<'w> {
    pub(super) waypoint: Named,
    pub(super) weight: Option<&'w str>,
}

impl<'w> Wish<'w> {
    pub(super) fn is_inherited(&self) -> bool {
        self.inherited.is_some()
    }

    /// Gives the second waypoint: the object's own, or the namespace's, when the first one is the namespace's.
    pub(super) fn canary<'s: 'w>(&self, subject: &Subject<'s>) -> Option<SecondWish<'w>> {
        let written = [Some(subject.meta), self.inherited].into_iter().flatten();
        let by = written.into_iter().find(|meta| meta.labels.filled(CANARY).is_some())?;
        let waypoint = named(by, [CANARY, CANARY_NAMESPACE], &subject.meta.namespace)?;
        Some(SecondWish { waypoint, weight: by.annotations.get("istio.io/use-waypoint-canary-weight") })
    }
}

/// Gives the waypoint an object is to be behind: its own word counts, and else its namespace's.
pub(super) fn of<'w>(subject: &Subject<'w>, look: &Look<'w>) -> Option<Wish<'w>> {
    let meta = subject.meta;
    if meta.labels.filled(USE).is_some() {
        let waypoint = named(meta, [USE, USE_NAMESPACE], &meta.namespace)?;
        return Some(Wish { waypoint, written: meta.key(subject.role.kind()), inherited: None });
    }
    let namespace = look.namespace(&meta.namespace)?;
    let waypoint = named(namespace, [USE, USE_NAMESPACE], &meta.namespace)?;
    let written = Key { kind: Kind::Namespace, namespace: Arc::default(), name: meta.namespace.clone() };
    Some(Wish { waypoint, written, inherited: Some(namespace) })
}

/// Tells whether gateways, too, go through the waypoint of an object.
pub(super) fn goes_for_gateways(subject: &Subject<'_>, look: &Look<'_>) -> bool {
    if subject.role.traffic() == Traffic::Workload {
        return false;
    }
    let own = subject.meta.labels.filled(INGRESS);
    let inherited = || look.namespace(&subject.meta.namespace)?.labels.filled(INGRESS);
    own.or_else(inherited) == Some("true")
}

fn named(meta: &Meta, [name, namespace]: [&str; 2], default: &Arc<str>) -> Option<Named> {
    let name = meta.labels.filled(name).filter(|&name| name != NONE)?;
    let namespace = meta.labels.filled(namespace).map_or_else(|| default.clone(), Arc::from);
    Some(Named { namespace, name: name.into() })
}

impl Role {
    fn kind(self) -> Kind {
        match self {
            Self::Service => Kind::Service,
            Self::ServiceEntry | Self::Endpoint => Kind::ServiceEntry,
            Self::Pod => Kind::Pod,
            Self::WorkloadEntry => Kind::WorkloadEntry,
        }
    }
}
