//! Which endpoint of a service takes a connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::refusal::Refusal;
use crate::service::{BalanceMode, IpFamilies, LoadBalancer, Preference};
use crate::snapshot::services::Backed;
use crate::workload::{PortMap, Workload};

/// An endpoint that can take the connection.
struct Candidate<'a> {
    workload: &'a Arc<Workload>,
    port: u16,
}

/// Chooses the workload behind `backed` for a connection of `source` to `destination`, and the address to reach it at.
///
/// Endpoints this version cannot reach count only when there is no other.
pub(super) fn choose<'a>(
    backed: &'a Backed,
    source: &Workload,
    destination: SocketAddr,
    entropy: u64,
) -> Result<(&'a Arc<Workload>, SocketAddr), Refusal> {
    let service = backed.service();
    let Some(service_target) = service.ports.target(destination.port()) else {
        return Err(Refusal::UnknownServicePort { service: backed.key().clone(), destination });
    };
    let able = backed.backends().filter(|(workload, _)| has_a_way(workload, source));
    let all = able.filter_map(|(workload, ports)| {
        let port = port_of(ports, destination.port(), service_target)?;
        Some(Candidate { workload, port })
    });
    let reach = |workload| address_of(workload, source, service.ip_families, destination.ip());
    let (reachable, others): (Vec<_>, Vec<_>) = all.partition(|it| reach(it.workload).is_ok());

    let pick = |candidates| pick(preferred(candidates, &service.load_balancer, source), entropy);
    let Some(chosen) = pick(reachable).or_else(|| pick(others)) else {
        let known = backed.len();
        return Err(Refusal::NoEndpoint { service: backed.key().clone(), destination, known });
    };
    let ip = reach(chosen.workload)?;
    Ok((chosen.workload, SocketAddr::new(ip, chosen.port)))
}

/// Tells whether there is any way to `workload`, be it one this version cannot go.
fn has_a_way(workload: &Workload, source: &Workload) -> bool {
    let through_gateway = workload.network_gateway.is_some() && workload.network != source.network;
    !workload.addresses.is_empty() || !workload.hostname.is_empty() || through_gateway
}

/// Gives the port of an endpoint, unless neither it nor the service knows one.
fn port_of(own: &PortMap, service_port: u16, service_target: u16) -> Option<u16> {
    let own = own.target(service_port).filter(|&port| port != 0);
    own.or(Some(service_target).filter(|&port| port != 0))
}

/// Gives the address of `workload` to use for a client of `source` that dialled `dialled`.
fn address_of(
    workload: &Workload,
    source: &Workload,
    families: IpFamilies,
    dialled: IpAddr,
) -> Result<IpAddr, Refusal> {
    let uid = || workload.uid.clone();
    if workload.network != source.network {
        return Err(Refusal::GatewayNotSupported { workload: uid(), network: workload.network.clone() });
    }
    if workload.addresses.contains(&dialled) {
        return Ok(dialled);
    }
    let allowed = || workload.addresses.iter().copied().filter(|&address| families.allows(address));
    let same_family = allowed().find(|address| address.is_ipv4() == dialled.is_ipv4());
    match same_family.or_else(|| allowed().next()) {
        Some(address) => Ok(address),
        None if workload.hostname.is_empty() => Err(Refusal::NoAddress { workload: uid() }),
        None => Err(Refusal::HostnameNotSupported { workload: uid(), hostname: workload.hostname.clone() }),
    }
}

/// Keeps the candidates that the load balancing mode leaves to chance. Those with capacity 0 are drained and count only
/// when all are: then somebody is misconfigured, and the service stays up.
fn preferred<'a>(
    mut candidates: Vec<Candidate<'a>>,
    balancer: &LoadBalancer,
    source: &Workload,
) -> Vec<Candidate<'a>> {
    if candidates.iter().any(|it| it.workload.capacity > 0) {
        candidates.retain(|it| it.workload.capacity > 0);
    }
    let preferences = &balancer.preferences;
    match balancer.mode {
        BalanceMode::Standard | BalanceMode::Passthrough => {}
        BalanceMode::Strict => {
            candidates.retain(|it| preferences.iter().all(|&by| is_near(by, source, it.workload)));
        }
        BalanceMode::Failover => {
            let rank = |it: &Candidate<'_>| rank(preferences, source, it.workload);
            let best = candidates.iter().map(rank).max();
            candidates.retain(|it| Some(rank(it)) == best);
        }
    }
    candidates
}

/// Counts the leading preferences that match.
///
/// With the network as first preference, a match there outranks everything else, and a mismatch does not end the count.
pub(super) fn rank(preferences: &[Preference], source: &Workload, workload: &Workload) -> usize {
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

/// Draws one candidate, weighted by capacity; without any capacity all are equal.
fn pick(candidates: Vec<Candidate<'_>>, entropy: u64) -> Option<Candidate<'_>> {
    let total: u64 = candidates.iter().map(|it| u64::from(it.workload.capacity)).sum();
    if total == 0 {
        let count = u64::try_from(candidates.len()).unwrap_or(u64::MAX);
        let at = entropy.checked_rem(count)?;
        return candidates.into_iter().nth(usize::try_from(at).ok()?);
    }
    let mut left = entropy % total;
    candidates.into_iter().find(|it| {
        let weight = u64::from(it.workload.capacity);
        let here = left < weight;
        left = left.saturating_sub(weight);
        here
    })
}
