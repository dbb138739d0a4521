//! Where a connection that a tunnel peer asks for is delivered: always to the workload the tunnel arrived at.

use std::net::{IpAddr, SocketAddr};

use crate::hbone::Authority;
use crate::refusal::Refusal;
use crate::service::Service;
use crate::snapshot::Snapshot;
use crate::workload::{ApplicationProtocol, ApplicationTunnel, GatewayAddress, Workload};

use super::{is_own_port, waypoint};

/// Where a connection is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// The workload's address and the port that takes the connection: what policies see.
    pub to: SocketAddr,
    /// The workload wants a PROXY protocol header; this is the destination it names: what the peer asked for.
    pub announced: Option<SocketAddr>,
}

/// Decides where to deliver a connection to `authority` that arrived at `local_ip`, an address of `local`.
///
/// # Errors
/// When the peer asks for something that is not this workload's, or not the application's.
pub fn inbound(
    snapshot: &Snapshot,
    local: &Workload,
    local_ip: IpAddr,
    authority: &Authority,
) -> Result<Delivery, Refusal> {
    let local_ip = local_ip.to_canonical();
    let tunnel = local.application_tunnel;
    let asked = match authority {
        Authority::Address(asked) => address(snapshot, local, local_ip, *asked)?,
        Authority::Host { host, port } => named(snapshot, local, authority, (host, *port))?,
    };
    let port = match tunnel.and_then(|tunnel| tunnel.port) {
        Some(port) => port,
        None => asked.port(local, authority)?,
    };
    let proxied = matches!(tunnel, Some(ApplicationTunnel { protocol: ApplicationProtocol::Proxy, .. }));
    if is_own_port(port) || proxied && is_of_loopback(port) {
        return Err(Refusal::OwnPort { port });
    }
    let announced = if proxied { Some(asked.address(local)?) } else { None };
    Ok(Delivery { to: SocketAddr::new(local_ip, port), announced })
}

/// Tells whether the proxy serves the pod, or those on its node, at a port of the loopback address. What is announced to a workload
/// may be delivered there, and the peer may choose the port.
fn is_of_loopback(port: u16) -> bool {
    matches!(port, 15000 | 15020 | 15021 | 15053 | 15080)
}

/// What the peer asked for, as far as it is ours.
enum Asked<'a> {
    Address(SocketAddr),
    Service { service: &'a Service, port: u16, target: Option<u16> },
}

impl Asked<'_> {
    /// The port of the workload that is meant.
    fn port(&self, local: &Workload, authority: &Authority) -> Result<u16, Refusal> {
        match self {
            Self::Address(asked) => Ok(asked.port()),
            Self::Service { target: Some(port), .. } => Ok(*port),
            Self::Service { target: None, .. } => {
                Err(Refusal::NoTargetPort { workload: local.uid.clone(), authority: authority.clone() })
            }
        }
    }

    /// The address that was called; of a service, a virtual one of our network, IPv4 first.
    fn address(&self, local: &Workload) -> Result<SocketAddr, Refusal> {
        match self {
            Self::Address(asked) => Ok(*asked),
            Self::Service { service, port, .. } => {
                let ours = service.vips.iter().filter(|vip| vip.network == local.network);
                let best = ours.min_by_key(|vip| vip.ip.is_ipv6());
                best.map(|vip| SocketAddr::new(vip.ip, *port)).ok_or_else(|| Refusal::NoVirtualAddress {
                    workload: local.uid.clone(),
                    service: service.key(),
                })
            }
        }
    }
}

fn address<'a>(
    snapshot: &Snapshot,
    local: &Workload,
    local_ip: IpAddr,
    asked: SocketAddr,
) -> Result<Asked<'a>, Refusal> {
    let asked = SocketAddr::new(asked.ip().to_canonical(), asked.port());
    if asked.ip() == local_ip || takes_for_others(snapshot, local, &Authority::Address(asked)) {
        Ok(Asked::Address(asked))
    } else {
        Err(Refusal::IpMismatch { asked: asked.ip(), local: local_ip })
    }
}

/// Tells whether `local` takes what is for others: everything in an application tunnel, or what it is a waypoint in front of.
fn takes_for_others(snapshot: &Snapshot, local: &Workload, authority: &Authority) -> bool {
    local.application_tunnel.is_some()
        || in_front_of(snapshot, local, authority)
            .iter()
            .any(|reference| waypoint::is_instance(snapshot, reference, local))
}

/// Gives the waypoints in front of what a tunnel peer asks `local` for: to tell whether it is one of them, they have to be known.
#[must_use]
pub fn in_front_of(snapshot: &Snapshot, local: &Workload, authority: &Authority) -> Vec<GatewayAddress> {
    let (of_workload, service) = match authority {
        Authority::Address(asked) => {
            let ip = asked.ip().to_canonical();
            let workload = snapshot.workload_by_address(&local.network, ip);
            let service = snapshot.service_by_vip(&local.network, ip, &local.namespace);
            (workload.and_then(|workload| workload.waypoint.as_ref()), service)
        }
        Authority::Host { host, .. } => (None, snapshot.service_by_hostname(host, &local.namespace)),
    };
    let of_service = service.into_iter().flat_map(|it| waypoint::all_of_service(it));
    of_workload.into_iter().chain(of_service).cloned().collect()
}

fn named<'a>(
    snapshot: &'a Snapshot,
    local: &Workload,
    authority: &Authority,
    (host, port): (&str, u16),
) -> Result<Asked<'a>, Refusal> {
    let Some(service) = snapshot.service_by_hostname(host, &local.namespace) else {
        return Err(Refusal::UnknownHost { host: host.to_owned() });
    };
    let own = local.services.get(&service.key());
    if own.is_none() && !takes_for_others(snapshot, local, authority) {
        return Err(Refusal::NotAnEndpoint { workload: local.uid.clone(), service: service.key() });
    }
    let target = own.and_then(|ports| ports.named_target(port)).or_else(|| service.ports.named_target(port));
    Ok(Asked::Service { service, port, target })
}
