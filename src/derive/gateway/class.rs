//! What kinds of gateways there are, as their names, labels and classes say.

use std::sync::Arc;

use culvert_core::workload::{ApplicationProtocol, ApplicationTunnel};
use serde_json::Value;

use crate::problem::Problem;
use crate::reading::{Notes, Reading};
use crate::{Labels, Meta};

/// One `GatewayClass`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayClass {
    /// What all objects have.
    pub meta: Meta,
    /// Who runs gateways of this class.
    pub controller: Arc<str>,
    /// What its waypoints are for, if it says so.
    pub waypoint_for: Option<WaypointFor>,
    /// What its waypoints want in front of the bytes, if it says so.
    pub binding: Option<ApplicationTunnel>,
    /// What makes no sense in it.
    pub problems: Vec<Problem>,
}

/// What a gateway does in a mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// It is there to be a waypoint.
    Waypoint,
    /// It lets in what comes from other networks.
    EastWest,
    /// It stands for the gateway of another network.
    Remote,
    /// None that its class tells of.
    Other,
}

/// The traffic a waypoint is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaypointFor {
    /// That to services.
    Service,
    /// That to workloads directly.
    Workload,
    /// Both.
    All,
    /// None.
    None,
}

/// What traffic is addressed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// A service.
    Service,
    /// A workload directly.
    Workload,
}

impl GatewayClass {
    /// Reads one.
    #[must_use]
    pub fn read(meta: Meta, object: &Value) -> Self {
        let notes = Notes::default();
        let controller = Reading::of(object, "spec", &notes).field("controllerName").shared();
        let mut problems = notes.into_problems();
        let waypoint_for = waypoint_for(&meta.labels, &mut problems);
        let binding = binding(&meta.annotations, &mut problems);
        Self { meta, controller, waypoint_for, binding, problems }
    }
}

impl Part {
    /// Tells what gateways of a class do: by the name everybody knows it by, or by who runs them.
    #[must_use]
    pub fn of_class(name: &str, class: Option<&GatewayClass>) -> Self {
        match name {
            "istio-waypoint" => Self::Waypoint,
            "istio-east-west" => Self::EastWest,
            "istio-remote" => Self::Remote,
            _ => match class.map(|class| &*class.controller) {
                Some("istio.io/mesh-controller") => Self::Waypoint,
                Some("istio.io/eastwest-controller") => Self::EastWest,
                Some("istio.io/unmanaged-gateway") => Self::Remote,
                Some(_) | None => Self::Other,
            },
        }
    }
}

impl WaypointFor {
    /// Tells whether traffic of a kind is among what it is for.
    #[must_use]
    pub fn takes(self, traffic: Traffic) -> bool {
        match self {
            Self::All => true,
            Self::Service => traffic == Traffic::Service,
            Self::Workload => traffic == Traffic::Workload,
            Self::None => false,
        }
    }

    /// Gives the value of the label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Workload => "workload",
            Self::All => "all",
            Self::None => "none",
        }
    }
}

/// Reads what a waypoint is for, if that is said. A word that is not known is for nothing that is known.
pub(super) fn waypoint_for(labels: &Labels, problems: &mut Vec<Problem>) -> Option<WaypointFor> {
    let word = labels.filled("istio.io/waypoint-for")?;
    let known = [WaypointFor::Service, WaypointFor::Workload, WaypointFor::All, WaypointFor::None];
    let found = known.into_iter().find(|known| known.as_str() == word);
    if found.is_none() {
        let path = "metadata.labels[istio.io/waypoint-for]".to_owned();
        let what = format!("`{word}` is none of service, workload, all, none, so that no traffic is meant");
        problems.push(Problem { path, what });
    }
    Some(found.unwrap_or(WaypointFor::None))
}

/// Reads what a waypoint wants in front of the bytes: `PROXY`, `PROXY/<port>`, `NONE`, `NONE/<port>`.
pub(super) fn binding(annotations: &Labels, problems: &mut Vec<Problem>) -> Option<ApplicationTunnel> {
    const KEY: &str = "ambient.istio.io/waypoint-inbound-binding";
    let text = annotations.filled(KEY)?;
    let found = tunnel(text);
    if found.is_none() {
        let what = format!("`{text}` is none of PROXY, PROXY/<port>, NONE, NONE/<port>");
        problems.push(Problem { path: format!("metadata.annotations[{KEY}]"), what });
    }
    found
}

fn tunnel(text: &str) -> Option<ApplicationTunnel> {
    let (protocol, port) = match text.split_once('/') {
        Some((protocol, port)) => (protocol, Some(port.parse().ok().filter(|&port| port != 0)?)),
        None => (text, None),
    };
    let protocol = match protocol {
        "PROXY" => ApplicationProtocol::Proxy,
        "NONE" => ApplicationProtocol::None,
        _ => return None,
    };
    Some(ApplicationTunnel { protocol, port })
}
