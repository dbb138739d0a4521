//! What a reference to a waypoint or gateway leads to, and who may answer there.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::identity::SpiffeId;
use crate::refusal::Refusal;
use crate::service::Service;
use crate::snapshot::Snapshot;
use crate::snapshot::services::Backed;
use crate::workload::{GatewayAddress, GatewayDestination, Workload};

/// What a reference leads to.
#[derive(Clone, Copy)]
pub(super) enum Standing<'s> {
    Service(&'s Arc<Backed>),
    Workload(&'s Arc<Workload>),
}

/// Finds what a client of `namespace` is led to.
pub(super) fn find<'s>(
    snapshot: &'s Snapshot,
    reference: &GatewayAddress,
    namespace: &str,
) -> Option<Standing<'s>> {
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

/// Gives what to look for an address near to: a reference by address names the family, too; otherwise it is the caller's.
pub(super) fn near(reference: &GatewayAddress, called: SocketAddr) -> SocketAddr {
    let ip = match &reference.destination {
        GatewayDestination::Address(address) => address.ip,
        GatewayDestination::Hostname { .. } => called.ip(),
    };
    SocketAddr::new(ip, reference.port)
}

/// Gives the identities the peer may have: the workload's own, and those its service vouches for.
pub(super) fn expected(workload: &Workload, service: Option<&Service>) -> Result<Vec<SpiffeId>, Refusal> {
    let own = workload
        .identity()
        .map_err(|source| Refusal::NoIdentity { workload: workload.uid.clone(), source })?;
    let others = service.into_iter().flat_map(vouched_for).filter(|id| *id != own);
    Ok(std::iter::once(own.clone()).chain(others).collect())
}

/// Gives the identities a service vouches for. Texts that are no identities cannot be anybody's and are left out.
pub(super) fn vouched_for(service: &Service) -> impl Iterator<Item = SpiffeId> {
    service.subject_alt_names.iter().filter_map(|name| name.parse().ok())
}
