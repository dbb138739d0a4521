//! Which workload stands for a waypoint, and how it is reached.
//!
//! Goes in: the reference of a service or workload to its waypoint. Comes out: where the tunnel to it ends and who it must be,
//! or a refusal: a destination with a waypoint is never reached around it.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::identity::SpiffeId;
use crate::refusal::Refusal;
use crate::service::{IpFamilies, Service, WeightedWaypoint};
use crate::snapshot::Snapshot;
use crate::snapshot::services::Backed;
use crate::workload::{GatewayAddress, GatewayDestination, Workload};

use super::outbound::{Call, expected};
use super::{Reputation, balance};

/// A waypoint that takes a connection.
pub(super) struct Waypoint {
    pub(super) workload: Arc<Workload>,
    pub(super) peer: SocketAddr,
    pub(super) expected: Vec<SpiffeId>,
}

/// What a reference leads to.
enum Standing<'s> {
    Service(&'s Arc<Backed>),
    Workload(&'s Arc<Workload>),
}

/// Gives the waypoint in front of a service for one connection: drawn by weight, or the single one.
pub(super) fn of_service(service: &Service, entropy: u64) -> Option<&GatewayAddress> {
    drawn(&service.weighted_waypoints, entropy).or(service.waypoint.as_ref())
}

/// Draws by weight; nothing when there is none.
fn drawn(weighted: &[WeightedWaypoint], entropy: u64) -> Option<&GatewayAddress> {
    let total: u64 = weighted.iter().map(|one| u64::from(one.weight)).sum();
    let mut left = entropy.checked_rem(total)?;
    let hit = weighted.iter().find(|one| {
        let weight = u64::from(one.weight);
        let here = left < weight;
        left = left.saturating_sub(weight);
        here
    });
    hit.map(|one| &one.destination)
}

/// Gives the waypoints in front of a service that connections may come through.
pub(super) fn all_of_service(service: &Service) -> impl Iterator<Item = &GatewayAddress> {
    let weighted = service.weighted_waypoints.iter().filter(|one| one.weight > 0);
    weighted.map(|one| &one.destination).chain(service.waypoint.as_ref())
}

/// Tells whether `workload` is what `reference` leads to, or one of several that are.
pub(super) fn is_instance(snapshot: &Snapshot, reference: &GatewayAddress, workload: &Workload) -> bool {
    match find(snapshot, reference, &workload.namespace) {
        Some(Standing::Service(backed)) => workload.services.get(backed.key()).is_some(),
        Some(Standing::Workload(found)) => found.uid == workload.uid,
        None => false,
    }
}

fn find<'s>(snapshot: &'s Snapshot, reference: &GatewayAddress, namespace: &str) -> Option<Standing<'s>> {
    match &reference.destination {
        GatewayDestination::Address(address) => {
            let service = snapshot.backed_by_vip(&address.network, address.ip, namespace);
            let workload = || snapshot.workload_by_address(&address.network, address.ip);
            service.map(Standing::Service).or_else(|| workload().map(Standing::Workload))
        }
        GatewayDestination::Hostname { namespace, hostname } => {
            let service = snapshot.backed(&format!("{namespace}/{hostname}"));
            let workload = || snapshot.workload_by_hostname(namespace, hostname);
            service.map(Standing::Service).or_else(|| workload().map(Standing::Workload))
        }
    }
}

/// Chooses the workload that takes a call which `target` wants to come through `reference`.
pub(super) fn choose(
    call: &Call<'_>,
    target: &Arc<str>,
    reference: &GatewayAddress,
) -> Result<Waypoint, Refusal> {
    let (target, waypoint) = (target.clone(), reference.clone());
    let Some(standing) = find(call.snapshot, reference, &call.source.namespace) else {
        return Err(Refusal::UnknownWaypoint { target, waypoint });
    };
    // An address names the family, too; otherwise it is the caller's.
    let near = match &reference.destination {
        GatewayDestination::Address(address) => address.ip,
        GatewayDestination::Hostname { .. } => call.destination.ip(),
    };
    let near = SocketAddr::new(near, reference.port);
    match standing {
        Standing::Service(backed) => instance(call, backed, near),
        Standing::Workload(workload) => single(workload, call.source, near),
    }
    .map_err(|why| Refusal::WaypointNotReady { target, waypoint, why: Box::new(why) })
}

fn instance(call: &Call<'_>, backed: &Backed, near: SocketAddr) -> Result<Waypoint, Refusal> {
    let service = backed.service();
    let (workload, peer) = if service.ports.target(near.port()).is_some() {
        balance::choose(backed, call.source, near, call.entropy, call.reputation)?
    } else {
        with_application_tunnel(call, backed, near)?
    };
    Ok(Waypoint { workload: workload.clone(), peer, expected: expected(workload, Some(service))? })
}

/// A waypoint whose service says nothing of the HBONE port takes it on the port that was asked for.
fn with_application_tunnel<'b>(
    call: &Call<'_>,
    backed: &'b Backed,
    near: SocketAddr,
) -> Result<(&'b Arc<Workload>, SocketAddr), Refusal> {
    let reach = |workload: &Workload| {
        let ip = balance::address_of(workload, call.source, backed.service().ip_families, near.ip());
        ip.map(|ip| SocketAddr::new(ip, near.port())).ok()
    };
    let tunnelling = backed.backends().map(|(workload, _)| workload);
    let able = tunnelling.filter(|workload| workload.application_tunnel.is_some() && workload.capacity > 0);
    let able = able.filter_map(|workload| Some((workload, reach(workload)?)));
    let judged: Vec<_> = able.map(|(workload, to)| (workload, to, (call.reputation)(workload, to))).collect();
    let of = |wanted| -> Vec<_> { judged.iter().filter(|(_, _, judged)| *judged == wanted).collect() };
    let (good, set_aside) = (of(Reputation::Good), of(Reputation::SetAside));
    let best = if good.is_empty() { set_aside } else { good };
    let nth = call.entropy.checked_rem(best.len() as u64).and_then(|nth| usize::try_from(nth).ok());
    let Some((workload, to, _)) = nth.and_then(|nth| best.get(nth)) else {
        let known = backed.len();
        return Err(Refusal::NoEndpoint { service: backed.key().clone(), destination: near, known });
    };
    Ok((workload, *to))
}

fn single(workload: &Arc<Workload>, source: &Workload, near: SocketAddr) -> Result<Waypoint, Refusal> {
    let ip = balance::address_of(workload, source, IpFamilies::default(), near.ip())?;
    let peer = SocketAddr::new(ip, near.port());
    Ok(Waypoint { workload: workload.clone(), peer, expected: expected(workload, None)? })
}
