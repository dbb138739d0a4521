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

use super::waypoint::{self, Waypoint};
use super::{HBONE_PORT, Reputation, Route, balance, is_own_port};

/// Decides where a connection of `source` to `destination` goes. `entropy` chooses among endpoints that are equally near;
/// `reputation` says what earlier connections found out about them.
///
/// A service may be in front of a workload's own address; then the service is meant, and its waypoint counts before the
/// workload's.
///
/// # Errors
/// When there is no way, or none that may be taken.
pub fn outbound(
    snapshot: &Snapshot,
    source: &Workload,
    destination: SocketAddr,
    entropy: u64,
    reputation: &dyn Fn(&Workload, SocketAddr) -> Reputation,
) -> Result<Route, Refusal> {
    let destination = canonical(destination);
    refuse_loop(source, destination)?;
    let call = Call { snapshot, source, destination, entropy, reputation };
    let called = snapshot.backed_by_vip(&source.network, destination.ip(), &source.namespace);
    let at_address = snapshot.workload_by_address(&source.network, destination.ip());
    match (called, at_address) {
        (Some(backed), at_address) => call.to_service(backed, at_address),
        (None, Some(workload)) => call.to_address_of(workload),
        (None, None) => Ok(Route::Passthrough { to: destination, workload: None, service: None }),
    }
}

/// One connection to be routed.
pub(super) struct Call<'c> {
    pub(super) snapshot: &'c Snapshot,
    pub(super) source: &'c Workload,
    pub(super) destination: SocketAddr,
    pub(super) entropy: u64,
    pub(super) reputation: &'c dyn Fn(&Workload, SocketAddr) -> Reputation,
}

impl Call<'_> {
    fn to_service(&self, backed: &Backed, at_address: Option<&Arc<Workload>>) -> Result<Route, Refusal> {
        let (service, destination) = (backed.service(), self.destination);
        let passthrough = service.load_balancer.mode == BalanceMode::Passthrough;
        if !passthrough && service.ports.target(destination.port()).is_none() {
            return Err(Refusal::UnknownServicePort { service: backed.key().clone(), destination });
        }
        // Other bits than those that choose the endpoint.
        let own = waypoint::of_service(service, self.entropy.rotate_left(32));
        let has_been_through = || waypoint::all_of_service(service).any(|any| self.comes_from(any));
        if let Some(reference) = own.filter(|_| !has_been_through()) {
            return self.through(backed.key(), reference, Some(service));
        }
        if let (None, Some(workload)) = (own, at_address)
            && let Some(reference) = self.waypoint_of(workload)
        {
            return self.through(&workload.uid, reference, Some(service));
        }
        if passthrough {
            let service = Some(service.clone());
            return Ok(Route::Passthrough { to: destination, workload: None, service });
        }
        let (workload, to) =
            balance::choose(backed, self.source, destination, self.entropy, self.reputation)?;
        to_workload(self.source, workload, to, Some(service))
    }

    fn to_address_of(&self, workload: &Arc<Workload>) -> Result<Route, Refusal> {
        match self.waypoint_of(workload) {
            Some(reference) => self.through(&workload.uid, reference, None),
            None => to_workload(self.source, workload, self.destination, None),
        }
    }

    fn waypoint_of<'w>(&self, workload: &'w Workload) -> Option<&'w GatewayAddress> {
        workload.waypoint.as_ref().filter(|reference| !self.comes_from(reference))
    }

    /// What comes from a waypoint has been through it.
    fn comes_from(&self, reference: &GatewayAddress) -> bool {
        waypoint::is_instance(self.snapshot, reference, self.source)
    }

    fn through(
        &self,
        target: &Arc<str>,
        reference: &GatewayAddress,
        service: Option<&Arc<Service>>,
    ) -> Result<Route, Refusal> {
        let Waypoint { workload, peer, expected } = waypoint::choose(self, target, reference)?;
        let (authority, service) = (Authority::Address(self.destination), service.cloned());
        Ok(Route::Tunnel { peer, authority, expected, endpoint: peer, workload, service })
    }
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
            endpoint: to,
            workload,
            service,
        }),
    }
}

/// Gives the identities the peer may have: the workload's own, and those its service vouches for. Texts of the service
/// that are no identities cannot be anybody's and are left out.
pub(super) fn expected(workload: &Workload, service: Option<&Service>) -> Result<Vec<SpiffeId>, Refusal> {
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
