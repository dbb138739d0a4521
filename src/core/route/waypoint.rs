//! Which workload stands for a waypoint, and how it is reached.
//!
//! Goes in: the reference of a service or workload to its waypoint. Comes out: where the tunnel to it ends and who it must be,
//! or a refusal: a destination with a waypoint is never reached around it.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::identity::SpiffeId;
use crate::refusal::Refusal;
use crate::service::{Service, WeightedWaypoint};
use crate::snapshot::Snapshot;
use crate::snapshot::services::Backed;
use crate::workload::{GatewayAddress, Workload};

use super::reach::{Call, Reach};
use super::reference::{self, Standing, expected, vouched_for};
use super::{Reputation, balance};

/// A waypoint that takes a connection.
pub(super) struct Waypoint<'s> {
    pub(super) workload: &'s Arc<Workload>,
    pub(super) reach: Reach<'s>,
    pub(super) expected: Vec<SpiffeId>,
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
    match reference::find(snapshot, reference, &workload.namespace) {
        Some(Standing::Service(backed)) => workload.services.get(backed.key()).is_some(),
        Some(Standing::Workload(found)) => found.uid == workload.uid,
        None => false,
    }
}

/// Says that a waypoint cannot take a call of `target`.
pub(super) fn not_ready(target: &Arc<str>, waypoint: &GatewayAddress, why: Refusal) -> Refusal {
    Refusal::WaypointNotReady { target: target.clone(), waypoint: waypoint.clone(), why: Box::new(why) }
}

/// Chooses the workload that takes a call which `target` wants to come through `waypoint`.
pub(super) fn choose<'c>(
    call: &Call<'c>,
    target: &Arc<str>,
    waypoint: &GatewayAddress,
) -> Result<Waypoint<'c>, Refusal> {
    let Some(standing) = reference::find(call.snapshot, waypoint, &call.source.namespace) else {
        return Err(Refusal::UnknownWaypoint { target: target.clone(), waypoint: waypoint.clone() });
    };
    let near = reference::near(waypoint, call.destination);
    match standing {
        Standing::Service(backed) => instance(call, backed, near),
        Standing::Workload(workload) => single(call, workload, near),
    }
    .map_err(|why| not_ready(target, waypoint, why))
}

fn instance<'s>(call: &Call<'_>, backed: &'s Backed, near: SocketAddr) -> Result<Waypoint<'s>, Refusal> {
    let service = backed.service();
    let (workload, near) = if service.ports.target(near.port()).is_some() {
        balance::choose(call, backed, near)?
    } else {
        with_application_tunnel(call, backed, near)?
    };
    let reach = call.reach(workload, Some(service), near)?;
    let expected = match reach {
        Reach::At(_) => expected(workload, Some(service))?,
        // Behind a gateway may be any of them.
        Reach::Through(_) => vouched_for(service).collect(),
    };
    Ok(Waypoint { workload, reach, expected })
}

/// A waypoint whose service says nothing of the HBONE port takes it on the port that was asked for.
fn with_application_tunnel<'b>(
    call: &Call<'_>,
    backed: &'b Backed,
    near: SocketAddr,
) -> Result<(&'b Arc<Workload>, SocketAddr), Refusal> {
    let service = Some(&**backed.service());
    let judge = |workload: &Arc<Workload>| call.judge(workload, &call.reach(workload, service, near));
    let tunnelling = backed.backends().map(|(workload, _)| workload);
    let able = tunnelling.filter(|workload| workload.application_tunnel.is_some() && workload.capacity > 0);
    let judged: Vec<_> = able.map(|workload| (workload, judge(workload))).collect();
    let usable = || judged.iter().filter(|(_, judged)| *judged != Reputation::Tried);
    let best = usable().map(|(_, judged)| *judged).min();
    let best: Vec<_> = usable().filter(|(_, judged)| Some(*judged) == best).collect();
    let nth = call.entropy.checked_rem(best.len() as u64).and_then(|nth| usize::try_from(nth).ok());
    let Some((workload, _)) = nth.and_then(|nth| best.get(nth)) else {
        let known = backed.len();
        return Err(Refusal::NoEndpoint { service: backed.key().clone(), destination: near, known });
    };
    Ok((workload, near))
}

fn single<'s>(
    call: &Call<'_>,
    workload: &'s Arc<Workload>,
    near: SocketAddr,
) -> Result<Waypoint<'s>, Refusal> {
    let reach = call.reach(workload, None, near)?;
    Ok(Waypoint { workload, reach, expected: expected(workload, None)? })
}
