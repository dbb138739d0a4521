//! Which endpoint of a service takes a connection.
//!
//! Goes in: the service, its client, what was dialled, and what earlier connections say of the endpoints. Comes out: a
//! workload and the address to reach it at. What the preferences of a service leave open is decided by entropy, each endpoint
//! having its capacity of it. Deliberately absent: what makes an endpoint bad.
//!
//! The endpoints are lined up once for all clients of a node (see `lineup`); choosing one of them then costs a division and, if
//! capacities differ, a binary search.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::refusal::Refusal;
use crate::service::{BalanceMode, IpFamilies};
use crate::snapshot::lineup::{Lineup, Nearness, Served};
use crate::snapshot::services::Backed;
use crate::snapshot::urn::Urn;
use crate::workload::{PortMap, Workload};

pub(super) mod lineup;

/// What earlier connections say of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reputation {
    /// Nothing against it.
    Good,
    /// Others could not connect to it: it is taken only if there is no other.
    SetAside,
    /// This connection has tried it: it is not taken again.
    Tried,
}

/// A connection that needs an endpoint.
#[derive(Clone, Copy)]
struct Call<'b, 'c> {
    backed: &'b Backed,
    source: &'c Workload,
    destination: SocketAddr,
    /// Where the service says its port is served; 0 leaves that to each endpoint.
    target: u16,
}

/// Chooses the workload behind `backed` for a connection of `source` to `destination`, and the address to reach it at.
///
/// Endpoints this version cannot reach count only when there is no other. `reputation` is asked of those drawn, with the address
/// they would be reached at, until one is good.
pub(super) fn choose<'a>(
    backed: &'a Backed,
    source: &Workload,
    destination: SocketAddr,
    entropy: u64,
    reputation: impl Fn(&Workload, SocketAddr) -> Reputation,
) -> Result<(&'a Arc<Workload>, SocketAddr), Refusal> {
    let service = backed.service();
    let Some(target) = service.ports.target(destination.port()) else {
        return Err(Refusal::UnknownServicePort { service: backed.key().clone(), destination });
    };
    let call = Call { backed, source, destination, target };
    // One nobody can connect to has no reputation either.
    let judge = |it: &Workload| call.address_of(it).map_or(Reputation::Good, |to| reputation(it, to));
    let chosen = match call.shared_lineup() {
        Some(lineup) => draw(&lineup.urns, entropy, judge),
        None => {
            let own = lineup::of(&call, Some(destination.ip()));
            draw(&own.urns, entropy, judge).and_then(|it| backed.endpoints().get(&it.uid))
        }
    };
    let Some(chosen) = chosen else {
        let known = backed.len();
        return Err(Refusal::NoEndpoint { service: backed.key().clone(), destination, known });
    };
    Ok((chosen, call.address_of(chosen)?))
}

/// Draws the best there is: of good reputation, then of the nearest.
fn draw(urns: &[Urn], entropy: u64, judge: impl Fn(&Workload) -> Reputation) -> Option<&Arc<Workload>> {
    let good = |it: &Workload| judge(it) == Reputation::Good;
    let not_tried = |it: &Workload| judge(it) != Reputation::Tried;
    let good = urns.iter().find_map(|urn| urn.draw_where(entropy, good));
    good.or_else(|| urns.iter().find_map(|urn| urn.draw_where(entropy, not_tried)))
}

impl<'b> Call<'b, '_> {
    /// The lineup for all clients like this one, unless there are too many kinds of them, or this call is special.
    fn shared_lineup(&self) -> Option<&'b Lineup> {
        let Self { backed, source, .. } = *self;
        let (port, nearness) = (self.served(), self.nearness());
        let like_us = |lineup: &Lineup| lineup.seen_from.is_of(source, port, nearness);
        let lineup = backed.lineup(like_us, || lineup::of(self, None))?;
        let special = lineup.barred && !backed.service().ip_families.allows(self.destination.ip());
        (!special).then_some(lineup)
    }

    fn served(&self) -> Served {
        match self.target {
            0 => Served::ByName(self.destination.port()),
            _ => Served::ByAll,
        }
    }

    fn nearness(&self) -> Nearness {
        match self.backed.service().load_balancer.mode {
            BalanceMode::Strict | BalanceMode::Failover => Nearness::Matters,
            BalanceMode::Standard | BalanceMode::Passthrough => Nearness::Ignored,
        }
    }

    /// Where to reach an endpoint, which has a port for the call.
    fn address_of(&self, workload: &Workload) -> Result<SocketAddr, Refusal> {
        let families = self.backed.service().ip_families;
        let ip = address_of(workload, self.source, families, self.destination.ip())?;
        let own = workload.services.get(self.backed.key());
        let port = own.and_then(|own| self.port_of(own)).unwrap_or(self.target);
        Ok(SocketAddr::new(ip, port))
    }

    /// Gives the port of an endpoint, unless neither it nor the service knows one.
    fn port_of(&self, own: &PortMap) -> Option<u16> {
        own.named_target(self.destination.port()).or(Some(self.target).filter(|&port| port != 0))
    }
}

/// Gives the address of `workload` to use for a client of `source` that dialled `dialled`.
pub(super) fn address_of(
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
