//! The way to another network: a tunnel to its gateway, and inside it one to whom the gateway leads to.
//!
//! Goes in: a call, and the workload on the other network that was chosen for it. Comes out: which gateway, who it must be, and who
//! must be behind it, or a refusal: what is on another network is never reached in some other way.
//!
//! The gateway chooses the workload at the inner end, so that all the service vouches for may be there, and nobody else.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::hbone::Authority;
use crate::identity::SpiffeId;
use crate::refusal::Refusal;
use crate::service::Service;
use crate::workload::{GatewayAddress, Workload};

use super::reach::{Abroad, Call};
use super::reference::{self, Standing, expected};
use super::{Route, balance};

/// A gateway that takes a connection.
pub(super) struct Gateway {
    pub(super) workload: Arc<Workload>,
    pub(super) peer: SocketAddr,
    pub(super) expected: Vec<SpiffeId>,
}

/// Who is behind a gateway: the workload that stands for them, and who they may be; somebody.
pub(super) struct Behind<'w> {
    pub(super) workload: &'w Arc<Workload>,
    pub(super) expected: Vec<SpiffeId>,
}

/// Routes a call of `service` through the gateway that `reference` leads to.
pub(super) fn through(
    call: &Call<'_>,
    reference: &GatewayAddress,
    behind: Behind<'_>,
    service: &Arc<Service>,
) -> Result<Route, Refusal> {
    let Behind { workload, expected: behind } = behind;
    let Gateway { workload: gateway, peer, expected } = choose(call, workload, reference)?;
    call.refuse_loop(peer)?;
    let authority = Authority::Host { host: service.hostname.to_string(), port: call.destination.port() };
    let (workload, service) = (workload.clone(), service.clone());
    Ok(Route::Gateway { gateway, peer, expected, authority, behind, workload, service })
}

/// Chooses the gateway for a call of what is behind `reference`.
pub(super) fn choose(
    call: &Call<'_>,
    behind: &Workload,
    reference: &GatewayAddress,
) -> Result<Gateway, Refusal> {
    let (workload, gateway) = (behind.uid.clone(), reference.clone());
    let Some(standing) = reference::find(call.snapshot, reference, &call.source.namespace) else {
        return Err(Refusal::UnknownGateway { workload, gateway });
    };
    let straight = Call { abroad: Abroad::Straight, ..*call };
    instance(&straight, standing, reference::near(reference, call.destination))
        .map_err(|why| Refusal::GatewayNotReady { workload, gateway, why: Box::new(why) })
}

fn instance(call: &Call<'_>, standing: Standing<'_>, near: SocketAddr) -> Result<Gateway, Refusal> {
    let (workload, service, near) = match standing {
        Standing::Service(backed) => {
            let (workload, near) = balance::choose(call, backed, near)?;
            (workload, Some(&**backed.service()), near)
        }
        Standing::Workload(workload) => (workload, None, near),
    };
    let families = service.map(|service| service.ip_families).unwrap_or_default();
    let peer = call.straight(workload, families, near)?;
    Ok(Gateway { workload: workload.clone(), peer, expected: expected(workload, service)? })
}
