//! Which endpoint of a service takes a connection.
//!
//! Goes in: the service, the call, and what earlier connections say of the endpoints. Comes out: a workload, and what port it
//! serves the call at. What the preferences of a service leave open is decided by entropy, each endpoint
//! having its capacity of it. Deliberately absent: what makes an endpoint bad.
//!
//! The endpoints are lined up once for all clients of a node (see `lineup`); choosing one of them then costs a division and, if
//! capacities differ, a binary search.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::refusal::Refusal;
use crate::service::BalanceMode;
use crate::snapshot::lineup::{Lineup, Nearness, Served};
use crate::snapshot::services::Backed;
use crate::snapshot::urn::Urn;
use crate::workload::{PortMap, Workload};

use super::Reputation;
use super::reach::{Abroad, Call};

pub(super) mod lineup;

/// A connection that needs an endpoint.
#[derive(Clone, Copy)]
struct Need<'b, 'c> {
    backed: &'b Backed,
    call: &'c Call<'c>,
    /// What of the service is wanted.
    destination: SocketAddr,
    /// Where the service says its port is served; 0 leaves that to each endpoint.
    target: u16,
}

/// Chooses the workload behind `backed` for a call that wants its `destination`; gives the address that was wanted, too, with the
/// port the workload serves it at.
///
/// Endpoints to which there is no way count only when there is no other. What is known of those drawn is asked until one is good.
pub(super) fn choose<'b>(
    call: &Call<'_>,
    backed: &'b Backed,
    destination: SocketAddr,
) -> Result<(&'b Arc<Workload>, SocketAddr), Refusal> {
    let service = backed.service();
    let Some(target) = service.ports.target(destination.port()) else {
        return Err(Refusal::UnknownServicePort { service: backed.key().clone(), destination });
    };
    let need = Need { backed, call, destination, target };
    let judge = |it: &Arc<Workload>| need.judge(it);
    let chosen = match need.shared_lineup() {
        Some(lineup) => draw(&lineup.urns, call.entropy, judge),
        None => {
            let own = lineup::of(&need, Some(destination.ip()));
            draw(&own.urns, call.entropy, judge).and_then(|it| backed.endpoints().get(&it.uid))
        }
    };
    let Some(chosen) = chosen else {
        let known = backed.len();
        return Err(Refusal::NoEndpoint { service: backed.key().clone(), destination, known });
    };
    Ok((chosen, need.near(chosen)))
}

/// Draws the best there is: of good reputation, then of the nearest.
fn draw(urns: &[Urn], entropy: u64, judge: impl Fn(&Arc<Workload>) -> Reputation) -> Option<&Arc<Workload>> {
    let draw =
        |worst: Reputation| urns.iter().find_map(|urn| urn.draw_where(entropy, |it| judge(it) <= worst));
    [Reputation::Good, Reputation::SetAside, Reputation::NoWay].into_iter().find_map(draw)
}

impl<'b> Need<'b, '_> {
    /// The lineup for all clients like this one, unless there are too many kinds of them, or this call is special.
    fn shared_lineup(&self) -> Option<&'b Lineup> {
        let Self { backed, call, .. } = *self;
        if call.abroad == Abroad::Straight {
            return None;
        }
        let (port, nearness) = (self.served(), self.nearness());
        let like_us = |lineup: &Lineup| lineup.seen_from.is_of(call.source, port, nearness);
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

    /// What speaks against an endpoint.
    fn judge(&self, workload: &Arc<Workload>) -> Reputation {
        let service = self.backed.service();
        self.call.judge(workload, &self.call.reach(workload, Some(service), self.near(workload)))
    }

    /// What is wanted, with the port of an endpoint.
    fn near(&self, workload: &Workload) -> SocketAddr {
        let own = workload.services.get(self.backed.key());
        let port = own.and_then(|own| self.port_of(own)).unwrap_or(self.target);
        SocketAddr::new(self.destination.ip(), port)
    }

    /// Gives the port of an endpoint, unless neither it nor the service knows one.
    fn port_of(&self, own: &PortMap) -> Option<u16> {
        own.named_target(self.destination.port()).or(Some(self.target).filter(|&port| port != 0))
    }
}
