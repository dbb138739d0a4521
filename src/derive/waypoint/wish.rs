//! Which waypoint somebody wants an object to be behind.

use std::sync::Arc;

use crate::gateway::Traffic;
use crate::{Key, Kind};

use super::look::Look;
use super::{Named, Role, Says, Subject};

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
    inherited: Option<Says<'w>>,
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
        let written = [Some(subject.says), self.inherited].into_iter().flatten();
        let by = written.into_iter().find(|says| says.labels.filled(CANARY).is_some())?;
        let waypoint = named(by, [CANARY, CANARY_NAMESPACE], subject.namespace)?;
        Some(SecondWish { waypoint, weight: by.annotations.get("istio.io/use-waypoint-canary-weight") })
    }
}

/// Gives the waypoint an object is to be behind: its own word counts, and else its namespace's.
pub(super) fn of<'w>(subject: &Subject<'w>, look: &Look<'w>) -> Option<Wish<'w>> {
    let (says, own) = (subject.says, subject.namespace);
    if says.labels.filled(USE).is_some() {
        let waypoint = named(says, [USE, USE_NAMESPACE], own)?;
        let kind = subject.role.kind();
        let written = Key { kind, namespace: own.clone(), name: subject.name.clone() };
        return Some(Wish { waypoint, written, inherited: None });
    }
    let namespace = look.namespace(own)?;
    let waypoint = named(namespace, [USE, USE_NAMESPACE], own)?;
    let written = Key { kind: Kind::Namespace, namespace: Arc::default(), name: own.clone() };
    Some(Wish { waypoint, written, inherited: Some(namespace) })
}

/// Tells whether gateways, too, go through the waypoint of an object.
pub(super) fn goes_for_gateways(subject: &Subject<'_>, look: &Look<'_>) -> bool {
    if subject.role.traffic() == Traffic::Workload {
        return false;
    }
    let own = subject.says.labels.filled(INGRESS);
    let inherited = || look.namespace(subject.namespace)?.labels.filled(INGRESS);
    own.or_else(inherited) == Some("true")
}

fn named(says: Says<'_>, [name, namespace]: [&str; 2], default: &Arc<str>) -> Option<Named> {
    let name = says.labels.filled(name).filter(|&name| name != NONE)?;
    let namespace = says.labels.filled(namespace).map_or_else(|| default.clone(), Arc::from);
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
