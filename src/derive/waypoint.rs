//! Which waypoint an object is behind.
//!
//! In go an object's labels and the objects they lead to; out come the references nodes are given, what the object's status says, and
//! what was looked at, found or not: when one of these changes the answer may be another one. Deliberately absent: how a node finds
//! the waypoint's workloads, and the policies a waypoint enforces.
//!
//! **Invariant:** unless it is set otherwise, an object that is to be behind a waypoint is never without one. When the waypoint cannot
//! be had, nodes are given a reference that leads nowhere, so that they refuse what would skip the waypoint's policies.

use std::sync::Arc;

use culvert_core::service::{Visibility, WeightedWaypoint};
use culvert_core::workload::{ApplicationTunnel, GatewayAddress};

use crate::gateway::{Gateway, GatewayClass, Traffic};
use crate::{Condition, Key, Labels, Settings};

mod canary;
mod look;
mod obstacle;
mod wish;

use look::Look;
use obstacle::Obstacle;
use wish::Wish;

/// What is looked at.
pub trait World {
    /// Gives a Gateway.
    fn gateway(&self, namespace: &str, name: &str) -> Option<&Gateway>;

    /// Gives a `GatewayClass`.
    fn class(&self, name: &str) -> Option<&GatewayClass>;

    /// Gives what a Namespace says.
    fn namespace(&self, name: &str) -> Option<Says<'_>>;
}

/// An object that may be behind a waypoint.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// What it is.
    pub role: Role,
    /// The namespace it is in.
    pub namespace: &'a Arc<str>,
    /// What it is called.
    pub name: &'a Arc<str>,
    /// What it says.
    pub says: Says<'a>,
    /// Who may see it.
    pub visibility: Visibility,
}

/// What an object or a namespace says about waypoints.
#[derive(Debug, Clone, Copy)]
pub struct Says<'a> {
    /// Its labels.
    pub labels: &'a Labels,
    /// Its annotations; of these, `istio.io/use-waypoint-canary-weight` matters.
    pub annotations: &'a Labels,
}

/// What an object is that may be behind a waypoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A Service.
    Service,
    /// A `ServiceEntry`.
    ServiceEntry,
    /// An endpoint listed in a `ServiceEntry`, by whose labels it goes.
    Endpoint,
    /// A pod.
    Pod,
    /// A `WorkloadEntry`.
    WorkloadEntry,
}

/// Which waypoint an object is behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolution {
    /// Its waypoint.
    pub waypoint: Option<GatewayAddress>,
    /// Several, to be chosen from by weight.
    pub weighted: Vec<WeightedWaypoint>,
    /// Whether gateways, too, are to go through it. Nodes do not ask; gateways do.
    pub ingress: bool,
    /// What it expects in front of the bytes, as a waypoint's own pod.
    pub application_tunnel: Option<ApplicationTunnel>,
    /// What its status says; nothing when it is to be behind none. Of what has its status elsewhere (endpoints of a `ServiceEntry`), and
    /// of pods that are behind the one they are to be, nothing is said.
    pub condition: Option<Condition>,
    /// What was looked at, found or not, each once.
    pub used: Vec<Key>,
}

impl Role {
    /// Tells how traffic is addressed to it.
    #[must_use]
    pub fn traffic(self) -> Traffic {
        match self {
            Self::Service | Self::ServiceEntry => Traffic::Service,
            Self::Endpoint | Self::Pod | Self::WorkloadEntry => Traffic::Workload,
        }
    }
}

/// Finds the waypoint an object is behind.
#[must_use]
pub fn resolve(subject: &Subject<'_>, world: &dyn World, settings: &Settings) -> Resolution {
    let look = Look::new(world, settings);
    let resolution = judge(subject, &look);
    Resolution { used: look.used(), ..resolution }
}

fn judge(subject: &Subject<'_>, look: &Look<'_>) -> Resolution {
    if let Some(instance) = look.instance(subject) {
        return Resolution { application_tunnel: instance.tunnel, ..Resolution::default() };
    }
    let Some(wish) = wish::of(subject, look) else { return Resolution::default() };
    match look.find(subject, &wish.waypoint) {
        Ok(waypoint) => bound(subject, &wish, waypoint, look),
        Err(obstacle) => unbound(subject, &wish, obstacle, look),
    }
}

fn bound(subject: &Subject<'_>, wish: &Wish<'_>, waypoint: GatewayAddress, look: &Look<'_>) -> Resolution {
    let (weighted, trouble) = match canary::weights(subject, wish, &waypoint, look) {
        Ok(weighted) => (weighted, None),
        Err(trouble) => (Vec::new(), Some(trouble)),
    };
    let message = format!("behind waypoint {}", wish.waypoint);
    let condition = match trouble {
        None => Condition { kind: BOUND, holds: true, reason: "WaypointAccepted", message },
        // All goes through the waypoint proper: nothing is skipped.
        Some((reason, why)) => {
            Condition { kind: BOUND, holds: true, reason, message: format!("{message} alone: {why}") }
        }
    };
    let condition = match subject.role {
        Role::Service | Role::ServiceEntry | Role::WorkloadEntry => Some(condition),
        Role::Endpoint | Role::Pod => None,
    };
    let ingress = wish::goes_for_gateways(subject, look);
    Resolution { waypoint: Some(waypoint), weighted, ingress, condition, ..Resolution::default() }
}

fn unbound(subject: &Subject<'_>, wish: &Wish<'_>, obstacle: Obstacle, look: &Look<'_>) -> Resolution {
    let meant = !matches!(obstacle, Obstacle::OtherTraffic { .. })
        || !wish.is_inherited() && subject.role != Role::Endpoint;
    // A namespace, or a ServiceEntry for its endpoints, names one waypoint for what has different kinds of traffic.
    let silent = subject.role == Role::Endpoint || !meant && subject.role.traffic() == Traffic::Workload;
    let waypoint = if meant { obstacle.refusal(&wish.waypoint, look.settings) } else { None };
    let effect = match (meant, &waypoint) {
        (false, _) => "traffic is not behind it",
        (true, Some(_)) => "its traffic is refused",
        (true, None) => "traffic goes past it, and the waypoint's policies are not applied",
    };
    let message = format!("{}; {effect}. {}", obstacle.says(&wish.waypoint), obstacle.advice(wish));
    let condition = Condition { kind: BOUND, holds: false, reason: obstacle.reason(), message };
    let ingress = waypoint.is_some() && wish::goes_for_gateways(subject, look);
    Resolution { waypoint, ingress, condition: (!silent).then_some(condition), ..Resolution::default() }
}

/// The condition that says whether an object is behind its waypoint.
const BOUND: &str = "istio.io/WaypointBound";

/// The name of a waypoint.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    namespace: Arc<str>,
    name: Arc<str>,
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests;
