//! Who of the endpoints of a service may be given to a client, nearest first.
//!
//! Goes in: all endpoints, one by one. Comes out: what `snapshot` keeps of them for the next connection. It does not depend on
//! what exactly was dialled, except for calls of an address the service does not allow.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::service::{BalanceMode, LoadBalancer, Preference};
use crate::snapshot::lineup::{Lineup, Viewpoint};
use crate::snapshot::urn::Urn;
use crate::workload::Workload;

use super::Need;
use crate::route::reach::Call;
use crate::route::reference::vouched_for;

/// Lines up the endpoints for all clients like that of a call; with what it `dialled`, for this call alone.
pub(super) fn of(need: &Need<'_, '_>, dialled: Option<IpAddr>) -> Lineup {
    let (call, service) = (need.call, need.backed.service());
    let vouches = vouched_for(service).next().is_some();
    let served = need.backed.backends().filter(|(_, ports)| need.port_of(ports).is_some());
    let able = served.map(|(workload, _)| workload).filter(|it| may_have_a_way(it, call));
    let (reachable, others): (Vec<_>, Vec<_>) = able.partition(|it| {
        let usable = |&ip: &IpAddr| service.ip_families.allows(ip) || Some(ip) == dialled;
        match call.is_abroad(it) {
            true => it.network_gateway.is_some() && vouches,
            false => it.addresses.iter().any(usable) || !it.hostname.is_empty(),
        }
    });
    let barred = others.iter().any(|it| !call.is_abroad(it) && !it.addresses.is_empty());
    let balancer = &service.load_balancer;
    let mut urns = ranked(reachable, balancer, call.source);
    if urns.is_empty() {
        urns = ranked(others, balancer, call.source);
    }
    Lineup { seen_from: Viewpoint::of(call.source, need.served()), urns, barred }
}

/// Tells whether there is anything that could lead to `workload`; what it lacks otherwise can be said.
fn may_have_a_way(workload: &Workload, call: &Call<'_>) -> bool {
    let through_gateway = workload.network_gateway.is_some() && call.is_abroad(workload);
    !workload.addresses.is_empty() || !workload.hostname.is_empty() || through_gateway
}

/// Puts together what the load balancing mode leaves to chance. Workloads with capacity 0 are drained and count only when all
/// are: then somebody is misconfigured, and the service stays up.
fn ranked(workloads: Vec<&Arc<Workload>>, balancer: &LoadBalancer, source: &Workload) -> Box<[Urn]> {
    let drained = workloads.iter().all(|it| it.capacity == 0);
    let counting = workloads.into_iter().filter(|it| drained || it.capacity > 0);
    let preferences = &balancer.preferences;
    let rank = |it: &Workload| match balancer.mode {
        BalanceMode::Standard | BalanceMode::Passthrough => Some(0),
        BalanceMode::Strict => preferences.iter().all(|&by| is_near(by, source, it)).then_some(0),
        BalanceMode::Failover => Some(rank(preferences, source, it)),
    };
    let mut ranks: BTreeMap<Reverse<usize>, Vec<Arc<Workload>>> = BTreeMap::new();
    for workload in counting {
        if let Some(rank) = rank(workload) {
            ranks.entry(Reverse(rank)).or_default().push(workload.clone());
        }
    }
    ranks.into_values().filter_map(Urn::of).collect()
}

/// Counts the leading preferences that match.
///
/// With the network as first preference, a match there outranks everything else, and a mismatch does not end the count.
pub(in crate::route) fn rank(preferences: &[Preference], source: &Workload, workload: &Workload) -> usize {
    let leading = |rest: &[Preference]| rest.iter().take_while(|&&by| is_near(by, source, workload)).count();
    match preferences {
        [Preference::Network, rest @ ..] if is_near(Preference::Network, source, workload) => {
            preferences.len() + leading(rest)
        }
        [Preference::Network, rest @ ..] => leading(rest),
        all => leading(all),
    }
}

/// Compares texts as they are: two unknown zones are the same zone, so that a preference list goes on past a level that
/// nobody fills in.
fn is_near(by: Preference, source: &Workload, workload: &Workload) -> bool {
    let (here, there) = (&source.place.locality, &workload.place.locality);
    match by {
        Preference::Region => here.region == there.region,
        Preference::Zone => here.zone == there.zone,
        Preference::Subzone => here.subzone == there.subzone,
        Preference::Node => source.place.node == workload.place.node,
        Preference::Cluster => source.cluster_id == workload.cluster_id,
        Preference::Network => source.network == workload.network,
    }
}
