//! Where a connection that a tunnel peer asks for is delivered: always to the workload the tunnel arrived at.

use std::net::{IpAddr, SocketAddr};

use crate::hbone::Authority;
use crate::refusal::Refusal;
use crate::snapshot::Snapshot;
use crate::workload::Workload;

use super::is_own_port;

/// Decides where to deliver a connection to `authority` that arrived at `local_ip`, an address of `local`.
///
/// # Errors
/// When the peer asks for something that is not this workload's, or not the application's.
pub fn inbound(
    snapshot: &Snapshot,
    local: &Workload,
    local_ip: IpAddr,
    authority: &Authority,
) -> Result<SocketAddr, Refusal> {
    if local.application_tunnel.is_some() {
        return Err(Refusal::ApplicationTunnelNotSupported { workload: local.uid.clone() });
    }
    let local_ip = local_ip.to_canonical();
    let port = match authority {
        Authority::Address(asked) => {
            let asked_ip = asked.ip().to_canonical();
            if asked_ip != local_ip {
                return Err(Refusal::IpMismatch { asked: asked_ip, local: local_ip });
            }
            asked.port()
        }
        Authority::Host { host, port } => target_port(snapshot, local, host, *port)?,
    };
    if is_own_port(port) {
        return Err(Refusal::OwnPort { port });
    }
    Ok(SocketAddr::new(local_ip, port))
}

/// Gives the port of `local` that serves `port` of the service called `host`.
fn target_port(snapshot: &Snapshot, local: &Workload, host: &str, port: u16) -> Result<u16, Refusal> {
    let Some(service) = snapshot.service_by_hostname(host, &local.namespace) else {
        return Err(Refusal::UnknownHost { host: host.to_owned() });
    };
    let Some(ports) = local.services.get(&service.key()) else {
        return Err(Refusal::NotAnEndpoint { workload: local.uid.clone(), service: service.key() });
    };
    let own = ports.target(port).filter(|&target| target != 0);
    let declared = || service.ports.target(port).filter(|&target| target != 0);
    own.or_else(declared).ok_or_else(|| Refusal::NoTargetPort {
        workload: local.uid.clone(),
        authority: Authority::Host { host: host.to_owned(), port },
    })
}
