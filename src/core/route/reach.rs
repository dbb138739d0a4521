//! How a client gets to a workload: straight to one of its addresses, or through the gateway of its network.
//!
//! Goes in: a call, and a workload somebody chose for it. Comes out: the way, and what speaks against it. Deliberately absent:
//! what is asked for at the end of the way.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::refusal::Refusal;
use crate::service::{IpFamilies, Service};
use crate::snapshot::Snapshot;
use crate::workload::{GatewayAddress, Workload};

use super::reference::vouched_for;
use super::{Known, Reputation, gateway, is_own_port};

/// One connection to be routed.
pub(super) struct Call<'c> {
    pub(super) snapshot: &'c Snapshot,
    pub(super) source: &'c Workload,
    pub(super) destination: SocketAddr,
    pub(super) entropy: u64,
    pub(super) known: &'c dyn Known,
    pub(super) abroad: Abroad,
    /// What was found out about gateways: many workloads are behind one.
    pub(super) judged: &'c RefCell<Vec<(GatewayAddress, Reputation)>>,
}

/// How workloads on other networks are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Abroad {
    /// Through the gateway of their network.
    ByGateway,
    /// At their addresses: they are gateways themselves, which are there to be reached from everywhere.
    Straight,
}

/// The way to a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach<'w> {
    /// Straight to this address.
    At(SocketAddr),
    /// Through this gateway.
    Through(&'w GatewayAddress),
}

impl Call<'_> {
    /// Refuses what would arrive at this very proxy as if a stranger had called.
    pub(super) fn refuse_loop(&self, to: SocketAddr) -> Result<(), Refusal> {
        let ip = to.ip();
        if is_own_port(to.port()) && (ip.is_loopback() || self.source.addresses.contains(&ip)) {
            return Err(Refusal::Loop { destination: to });
        }
        Ok(())
    }

    /// Finds the way to a workload that was chosen as part of a service, or by itself; best to an address like that of `near`, and
    /// to its port.
    pub(super) fn reach<'w>(
        &self,
        workload: &'w Workload,
        part_of: Option<&Service>,
        near: SocketAddr,
    ) -> Result<Reach<'w>, Refusal> {
        if !self.is_abroad(workload) {
            let families = part_of.map(|service| service.ip_families).unwrap_or_default();
            return self.straight(workload, families, near).map(Reach::At);
        }
        let network = || workload.network.clone();
        let Some(gateway) = &workload.network_gateway else {
            return Err(Refusal::NoGateway { workload: workload.uid.clone(), network: network() });
        };
        match part_of.filter(|service| vouched_for(service).next().is_none()) {
            Some(service) => Err(Refusal::NobodyVouchedFor { service: service.key(), network: network() }),
            None => Ok(Reach::Through(gateway)),
        }
    }

    /// Finds the address of a workload.
    pub(super) fn straight(
        &self,
        workload: &Workload,
        families: IpFamilies,
        near: SocketAddr,
    ) -> Result<SocketAddr, Refusal> {
        if workload.addresses.contains(&near.ip()) {
            return Ok(near);
        }
        let allowed = || workload.addresses.iter().copied().filter(|&address| families.allows(address));
        let same_family = allowed().find(|address| address.is_ipv4() == near.is_ipv4());
        match same_family.or_else(|| allowed().next()) {
            Some(address) => Ok(SocketAddr::new(address, near.port())),
            None => self.by_name(workload, families, near),
        }
    }

    /// Whether a workload is on another network, as far as that matters.
    pub(super) fn is_abroad(&self, workload: &Workload) -> bool {
        self.abroad == Abroad::ByGateway && workload.network != self.source.network
    }

    /// Chooses among the addresses of a name: those with the best reputation, of the family of `near` if there are any.
    fn by_name(
        &self,
        workload: &Workload,
        families: IpFamilies,
        near: SocketAddr,
    ) -> Result<SocketAddr, Refusal> {
        let no_address = || Refusal::NoAddress { workload: workload.uid.clone() };
        if workload.hostname.is_empty() {
            return Err(no_address());
        }
        let found = self.known.addresses(&workload.hostname).filter(|found| !found.is_empty());
        let found = found.ok_or_else(|| Refusal::HostnameNotResolved {
            workload: workload.uid.clone(),
            hostname: workload.hostname.clone(),
        })?;
        let start = self.entropy.checked_rem(found.len() as u64).unwrap_or_default();
        let start = usize::try_from(start).unwrap_or_default();
        let in_turn = found[start..].iter().chain(&found[..start]);
        let usable = in_turn.filter(|&&ip| families.allows(ip)).map(|&ip| SocketAddr::new(ip, near.port()));
        let worth = |to: &SocketAddr| (self.known.reputation(workload, *to), to.is_ipv4() != near.is_ipv4());
        usable.min_by_key(worth).ok_or_else(no_address)
    }

    /// What speaks against a workload that is reached like this.
    pub(super) fn judge(&self, workload: &Arc<Workload>, reach: &Result<Reach<'_>, Refusal>) -> Reputation {
        match reach {
            Ok(Reach::At(to)) => self.known.reputation(workload, *to),
            Ok(Reach::Through(reference)) => self.judge_gateway(workload, reference),
            Err(refusal) => self.no_way_yet(refusal),
        }
    }

    fn judge_gateway(&self, behind: &Workload, reference: &GatewayAddress) -> Reputation {
        let known = self.judged.borrow().iter().find(|(judged, _)| judged == reference).map(|(_, it)| *it);
        known.unwrap_or_else(|| {
            let judged = match gateway::choose(self, behind, reference) {
                Ok(gateway) => self.known.reputation(&gateway.workload, gateway.peer),
                Err(refusal) => self.no_way_yet(&refusal),
            };
            self.judged.borrow_mut().push((reference.clone(), judged));
            judged
        })
    }

    /// What could be found out is worth to be drawn: only then it is.
    fn no_way_yet(&self, refusal: &Refusal) -> Reputation {
        if self.known.may_find_out(refusal) { Reputation::Good } else { Reputation::NoWay }
    }
}
