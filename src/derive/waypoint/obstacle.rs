//! Why a waypoint cannot be had, what to do about it, and what nodes are told.

use std::sync::Arc;

use culvert_core::route::HBONE_PORT;
use culvert_core::workload::{GatewayAddress, GatewayDestination};

use crate::gateway::{Traffic, WaypointFor};
use crate::{Settings, Unready};

use super::Named;
use super::wish::Wish;

/// Why a waypoint cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// There is no such Gateway.
    Missing,
    /// It is nowhere yet.
    NotReady,
    /// It does not let this namespace in.
    Denied { to: Arc<str> },
    /// The object is seen in its own namespace only, and the waypoint is in another one.
    Unseen,
    /// It is for other traffic.
    OtherTraffic { is_for: WaypointFor, wanted: Traffic },
}

impl Obstacle {
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "WaypointMissing",
            Self::NotReady => "WaypointIsNotReady",
            Self::Denied { .. } | Self::Unseen => "AttachmentDenied",
            Self::OtherTraffic { .. } => "UnsupportedTrafficType",
        }
    }

    /// Says what is the matter.
    pub(super) fn says(&self, waypoint: &Named) -> String {
        match self {
            Self::Missing => format!("waypoint {waypoint} does not exist"),
            Self::NotReady => {
                format!("waypoint {waypoint} is not ready: its Gateway has no address in its status")
            }
            Self::Denied { to } => {
                format!(
                    "waypoint {waypoint} may not be used from namespace {to}: allowedRoutes of its listener say so"
                )
            }
            Self::Unseen => {
                format!("waypoint {waypoint} is in another namespace, where this cannot be seen (exportTo)")
            }
            Self::OtherTraffic { is_for, wanted } => format!(
                "waypoint {waypoint} is not for traffic addressed to {}: its istio.io/waypoint-for is {}",
                addressed_to(*wanted),
                is_for.as_str()
            ),
        }
    }

    /// Says what to do.
    pub(super) fn advice(&self, wish: &Wish<'_>) -> String {
        let (waypoint, written) = (&wish.waypoint, &wish.written);
        let first = match self {
            Self::Missing => format!("Create the Gateway {waypoint}"),
            Self::NotReady => {
                format!("See the status of the Gateway {waypoint} and the log of who runs its class")
            }
            Self::Denied { .. } => {
                format!("Let the namespace in at spec.listeners[].allowedRoutes of the Gateway {waypoint}")
            }
            Self::Unseen => "Export it to `*`, or use a waypoint of its namespace".to_owned(),
            Self::OtherTraffic { .. } => {
                format!("Label the Gateway {waypoint} istio.io/waypoint-for=all, or name another one")
            }
        };
        format!("{first}; or change the label istio.io/use-waypoint of {written}")
    }

    /// Gives a reference that nodes find nothing by, so that they refuse; none when traffic is to go past the waypoint.
    ///
    /// Nothing may have the name, so it is one that nothing can have; the name of the waypoint's service would lead to a waypoint
    /// that must not be used, or is none. Nodes repeat it when they refuse.
    pub(super) fn refusal(&self, waypoint: &Named, settings: &Settings) -> Option<GatewayAddress> {
        let why = match self {
            Self::Missing => "does not exist",
            Self::NotReady => "is not ready",
            Self::Denied { .. } | Self::Unseen => "may not be used",
            Self::OtherTraffic { .. } => "is for other traffic",
        };
        let Named { namespace, name } = waypoint;
        let hostname = format!("{name}.{namespace}.svc.{} ({why})", settings.domain).into();
        let destination = GatewayDestination::Hostname { namespace: namespace.clone(), hostname };
        match settings.unready {
            Unready::Refuse => Some(GatewayAddress { destination, port: HBONE_PORT }),
            Unready::Bypass => None,
        }
    }
}

fn addressed_to(traffic: Traffic) -> &'static str {
    match traffic {
        Traffic::Service => "services",
        Traffic::Workload => "workloads",
    }
}
