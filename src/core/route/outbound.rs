//! Where a connection that a workload opens should go.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::address::canonical;
use crate::hbone::Authority;
use crate::identity::SpiffeId;
use crate::refusal::Refusal;
use crate::service::{BalanceMode, Service};
use crate::snapshot::Snapshot;
use crate::snapshot::services::Backed;
use crate::workload::{GatewayAddress, Protocol, Workload};

use super::{HBONE_PORT, Route, balance, is_own_port};

/// Decides where a connection of `source` to `destination` goes. `entropy` chooses among equal endpoints.
///
/// # Errors
/// When there is no way, or none that may be taken.
pub fn outbound(
    snapshot: &Snapshot,
    source: &Workload,
    destination: SocketAddr,
    entropy: u64,
) -> Result<Route, Refusal> {
    let destination = canonical(destination);
    refuse_loop(source, destination)?;
    let called = snapshot.backed_by_vip(&source.network, destination.ip(), &source.namespace);
    let at_address = snapshot.workload_by_address(&source.network, destination.ip());
    // An address can be that of a service and of a workload. Then both have their say about waypoints.
    if let Some(workload) = at_address {
        refuse_waypoint(&workload.uid, workload.waypoint.as_ref())?;
    }
    match (called, at_address) {
        (Some(backed), _) => to_service(backed, source, destination, entropy),
        (None, Some(workload)) => to_workload(source, workload, destination, None),
        (None, None) => Ok(Route::Passthrough { to: destination, workload: None, service: None }),
    }
}

fn to_service(
    backed: &Backed,
    source: &Workload,
    destination: SocketAddr,
    entropy: u64,
) -> Result<Route, Refusal> {
    let service = backed.service();
    let weighted = service.weighted_waypoints.iter().find(|it| it.weight > 0).map(|it| &it.destination);
    refuse_waypoint(backed.key(), weighted.or(service.waypoint.as_ref()))?;
    if service.load_balancer.mode == BalanceMode::Passthrough {
        return Ok(Route::Passthrough { to: destination, workload: None, service: Some(service.clone()) });
    }
    let (workload, to) = balance::choose(backed, source, destination, entropy)?;
    to_workload(source, workload, to, Some(service))
}

fn to_workload(
    source: &Workload,
    workload: &Arc<Workload>,
    to: SocketAddr,
    service: Option<&Arc<Service>>,
) -> Result<Route, Refusal> {
    refuse_loop(source, to)?;
    let (workload, service) = (workload.clone(), service.cloned());
    match workload.protocol {
        Protocol::Tcp => Ok(Route::Passthrough { to, workload: Some(workload), service }),
        Protocol::Hbone => Ok(Route::Tunnel {
            peer: SocketAddr::new(to.ip(), HBONE_PORT),
            authority: Authority::Address(to),
            expected: expected(&workload, service.as_deref())?,
            workload,
            service,
        }),
    }
}

/// Gives the identities the peer may have: the workload's own, and those its service vouches for. Texts of the service
/// that are no identities cannot be anybody's and are left out.
fn expected(workload: &Workload, service: Option<&Service>) -> Result<Vec<SpiffeId>, Refusal> {
    let own = workload
        .identity()
        .map_err(|source| Refusal::NoIdentity { workload: workload.uid.clone(), source })?;
    let mut expected = vec![own];
    for name in service.iter().flat_map(|service| &service.subject_alt_names) {
        match name.parse() {
            Ok(id) if !expected.contains(&id) => expected.push(id),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(expected)
}

/// Refuses what would arrive at this very proxy as if a stranger had called.
fn refuse_loop(source: &Workload, destination: SocketAddr) -> Result<(), Refusal> {
    let ip = destination.ip();
    if is_own_port(destination.port()) && (ip.is_loopback() || source.addresses.contains(&ip)) {
        return Err(Refusal::Loop { destination });
    }
    Ok(())
}

fn refuse_waypoint(target: &Arc<str>, waypoint: Option<&GatewayAddress>) -> Result<(), Refusal> {
    match waypoint {
        Some(waypoint) => {
            Err(Refusal::WaypointNotSupported { target: target.clone(), waypoint: waypoint.to_string() })
        }
        None => Ok(()),
    }
}
