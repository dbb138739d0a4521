//! Where a connection that a workload opens should go.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::address::canonical;
use crate::hbone::Authority;
use crate::refusal::Refusal;
use crate::service::{BalanceMode, Service};
use crate::snapshot::Snapshot;
use crate::snapshot::services::Backed;
use crate::workload::{GatewayAddress, Protocol, Workload};

use super::gateway::{self, Behind};
use super::reach::{Abroad, Call, Reach};
use super::reference::{expected, vouched_for};
use super::waypoint::{self, Waypoint};
use super::{HBONE_PORT, Known, Route, balance};

/// Decides where a connection of `source` to `destination` goes. `entropy` chooses among endpoints that are equally near; `known` is
/// what the mesh state does not say of them.
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
    known: &dyn Known,
) -> Result<Route, Refusal> {
    let destination = canonical(destination);
    let (abroad, judged) = (Abroad::ByGateway, &RefCell::default());
    let call = Call { snapshot, source, destination, entropy, known, abroad, judged };
    call.refuse_loop(destination)?;
    let called = snapshot.backed_by_vip(&source.network, destination.ip(), &source.namespace);
    let at_address = snapshot.workload_by_address(&source.network, destination.ip());
    match (called, at_address) {
        (Some(backed), at_address) => call.to_service(backed, at_address),
        (None, Some(workload)) => call.to_address_of(workload),
        (None, None) => Ok(Route::Passthrough { to: destination, workload: None, service: None }),
    }
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
        let (workload, near) = balance::choose(self, backed, destination)?;
        match self.reach(workload, Some(service), near)? {
            Reach::At(to) => self.to_workload(workload, to, Some(service)),
            Reach::Through(gateway) => {
                let expected = vouched_for(service).collect();
                gateway::through(self, gateway, Behind { workload, expected }, service)
            }
        }
    }

    fn to_address_of(&self, workload: &Arc<Workload>) -> Result<Route, Refusal> {
        match self.waypoint_of(workload) {
            Some(reference) => self.through(&workload.uid, reference, None),
            None => self.to_workload(workload, self.destination, None),
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
        let Waypoint { workload, reach, expected } = waypoint::choose(self, target, reference)?;
        match (reach, service) {
            (Reach::At(peer), service) => {
                let (authority, service) = (Authority::Address(self.destination), service.cloned());
                let workload = workload.clone();
                Ok(Route::Tunnel { peer, authority, expected, endpoint: peer, workload, service })
            }
            (Reach::Through(gateway), Some(service)) => {
                gateway::through(self, gateway, Behind { workload, expected }, service)
            }
            (Reach::Through(_), None) => {
                let (uid, network) = (workload.uid.clone(), workload.network.clone());
                Err(Refusal::NotThroughGateway { workload: uid, network, destination: self.destination })
            }
        }
        .map_err(|why| waypoint::not_ready(target, reference, why))
    }

    fn to_workload(
        &self,
        workload: &Arc<Workload>,
        to: SocketAddr,
        service: Option<&Arc<Service>>,
    ) -> Result<Route, Refusal> {
        self.refuse_loop(to)?;
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
}
