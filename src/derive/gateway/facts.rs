//! A Gateway as it is written.

use std::net::IpAddr;
use std::sync::Arc;

use culvert_core::route::HBONE_PORT;
use culvert_core::workload::{ApplicationProtocol, ApplicationTunnel};
use serde_json::Value;

use crate::Meta;
use crate::problem::Problem;
use crate::reading::{Notes, Reading};

use super::allowed::Allowed;
use super::class::{GatewayClass, Part, WaypointFor, binding, waypoint_for};

/// One Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// What all objects have.
    pub meta: Meta,
    /// The name of its class.
    pub class: Arc<str>,
    /// What it listens on.
    pub listeners: Vec<Listener>,
    /// Where it is to be (`spec.addresses`).
    pub asked: Vec<At>,
    /// Where it is (`status.addresses`): it is ready when it is somewhere.
    pub addresses: Vec<At>,
    /// What it is a waypoint for, if it says so itself.
    pub waypoint_for: Option<WaypointFor>,
    /// What it wants in front of the bytes as a waypoint, if it says so itself.
    pub binding: Option<ApplicationTunnel>,
    /// What makes no sense in it.
    pub problems: Vec<Problem>,
}

/// Where a gateway is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// At an address.
    Ip(IpAddr),
    /// At a hostname; mostly that of a service in its namespace.
    Host(Arc<str>),
}

/// What a gateway listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its name.
    pub name: Arc<str>,
    /// Its protocol: `HBONE`, `istio.io/PROXY`, `HTTP`.
    pub protocol: Arc<str>,
    /// Its port; 0 if that makes no sense.
    pub port: u16,
    /// Who may use it.
    pub allowed: Allowed,
}

const HBONE: &str = "HBONE";
const PROXY: &str = "istio.io/PROXY";

impl Gateway {
    /// Reads one.
    #[must_use]
    pub fn read(meta: Meta, object: &Value) -> Self {
        let notes = Notes::default();
        let spec = Reading::of(object, "spec", &notes);
        let class = spec.field("gatewayClassName").shared();
        let listeners = spec.field("listeners").items().map(|item| Listener::read(&item)).collect();
        let asked = spec.field("addresses").items().filter_map(|item| at(&item)).collect();
        let mut problems = notes.into_problems();
        // What a status says that makes no sense is nobody's wish, and not noted.
        let unheard = Notes::default();
        let status = Reading::of(object, "status", &unheard);
        Self {
            class,
            listeners,
            asked,
            addresses: status.field("addresses").items().filter_map(|item| at(&item)).collect(),
            waypoint_for: waypoint_for(&meta.labels, &mut problems),
            binding: binding(&meta.annotations, &mut problems),
            problems,
            meta,
        }
    }

    /// Tells what it is a waypoint for: it says so, or its class does, or it is for services.
    #[must_use]
    pub fn is_for(&self, class: Option<&GatewayClass>) -> WaypointFor {
        let of_class = || class.and_then(|class| class.waypoint_for);
        self.waypoint_for.or_else(of_class).unwrap_or(WaypointFor::Service)
    }

    /// Tells what it wants in front of the bytes as a waypoint.
    #[must_use]
    pub fn tunnel(&self, class: Option<&GatewayClass>) -> Option<ApplicationTunnel> {
        self.binding.or_else(|| class.and_then(|class| class.binding))
    }

    /// Tells who may use it as a waypoint: whoever may use the listener its traffic arrives at. Without one it is for its own
    /// namespace, as listeners are that say nothing.
    #[must_use]
    pub fn allowed(&self, class: Option<&GatewayClass>) -> &Allowed {
        let bound = self.tunnel(class).and_then(|tunnel| self.bound(tunnel));
        let tunnelled = || self.listeners.iter().find(|it| it.is_hbone() && it.port == HBONE_PORT);
        bound.or_else(tunnelled).map_or(&Allowed::Same, |listener| &listener.allowed)
    }

    fn bound(&self, tunnel: ApplicationTunnel) -> Option<&Listener> {
        let (port, by_protocol) = (tunnel.port, tunnel.protocol == ApplicationProtocol::Proxy);
        self.listeners.iter().find(|it| match port {
            Some(port) => it.port == port,
            None => by_protocol && &*it.protocol == PROXY,
        })
    }

    /// Tells whether tunnels end at it: it is a waypoint, or leads to a network, and never behind a waypoint itself.
    #[must_use]
    pub fn ends_tunnels(&self, class: Option<&GatewayClass>) -> bool {
        Part::of_class(&self.class, class) != Part::Other
            || self.tunnel(class).is_some()
            || self.waypoint_for.or_else(|| class?.waypoint_for).is_some()
            || self.listeners.iter().any(|it| it.is_hbone() || &*it.protocol == PROXY)
    }
}

impl Listener {
    fn read(reading: &Reading<'_>) -> Self {
        Self {
            name: reading.field("name").shared(),
            protocol: reading.field("protocol").shared(),
            port: reading.field("port").port().unwrap_or_default(),
            allowed: Allowed::read(&reading.field("allowedRoutes").field("namespaces")),
        }
    }

    pub(super) fn is_hbone(&self) -> bool {
        &*self.protocol == HBONE
    }
}

fn at(reading: &Reading<'_>) -> Option<At> {
    let value = reading.field("value").text()?;
    match reading.field("type").text() {
        None | Some("IPAddress") => match value.parse::<IpAddr>() {
            Ok(ip) => Some(At::Ip(ip.to_canonical())),
            Err(_) => {
                reading.field("value").note(format!("`{value}` is no IP address"));
                None
            }
        },
        Some("Hostname") => Some(At::Host(value.to_ascii_lowercase().into())),
        // Named addresses mean something to who runs the gateway.
        Some(_) => None,
    }
}
