use super::reach::{Abroad, Call};
use super::*;
use crate::mesh_file;
use crate::refusal::Refusal;
use crate::snapshot::Snapshot;

mod balance;
mod gateway;
mod hostname;
mod inbound;
mod outbound;
mod ports;
mod waypoint;

/// Gives the snapshot of a mesh file.
fn snapshot(text: &str) -> Snapshot {
    Snapshot::new(mesh_file::parse(text).unwrap(), "")
}

/// Knows only what earlier connections say.
impl<F: Fn(&Workload, SocketAddr) -> Reputation> Known for F {
    fn reputation(&self, workload: &Workload, address: SocketAddr) -> Reputation {
        self(workload, address)
    }

    fn addresses(&self, _hostname: &str) -> Option<&[IpAddr]> {
        None
    }

    fn has_asked_for(&self, _gateway: &GatewayAddress) -> bool {
        true
    }
}

/// Gives a call of what can be reached from another workload.
fn call<'c>(
    snapshot: &'c Snapshot,
    source: &'c Workload,
    destination: SocketAddr,
    entropy: u64,
    known: &'c dyn Known,
) -> Call<'c> {
    let judged = Box::leak(Box::default());
    Call { snapshot, source, destination, entropy, known, abroad: Abroad::ByGateway, judged }
}

/// Gives the way of a connection from workload `source` in short form: `tcp <to> <workload> <service>`,
/// `tunnel <peer> <authority> <workload> <service>`, `gateway <peer> <authority> <gateway> <workload>`, or the reason of the refusal;
/// `-` where there is none.
fn way(snapshot: &Snapshot, source: &str, destination: &str, entropy: u64) -> String {
    match routed(snapshot, source, destination, entropy, &Newcomer) {
        Ok(route) => short(route),
        Err(refusal) => refusal.reason().to_owned(),
    }
}

fn routed(
    snapshot: &Snapshot,
    source: &str,
    destination: &str,
    entropy: u64,
    known: &dyn Known,
) -> Result<Route, Refusal> {
    let source = snapshot.workload(source).expect("the source is in the mesh");
    outbound(snapshot, source, destination.parse().unwrap(), entropy, known)
}

fn short(route: Route) -> String {
    let service = |service: Option<Arc<Service>>| service.map_or_else(|| "-".into(), |service| service.key());
    match route {
        Route::Passthrough { to, workload, service: by } => {
            let workload = workload.map_or_else(|| "-".into(), |workload| workload.uid.clone());
            format!("tcp {to} {workload} {}", service(by))
        }
        Route::Tunnel { peer, authority, workload, service: by, .. } => {
            format!("tunnel {peer} {authority} {} {}", workload.uid, service(by))
        }
        Route::Gateway { peer, authority, gateway, workload, .. } => {
            format!("gateway {peer} {authority} {} {}", gateway.uid, workload.uid)
        }
    }
}

#[test]
fn own_ports() {
    let own: Vec<u16> = (0..=u16::MAX).filter(|&port| is_own_port(port)).collect();
    assert_eq!(own, [15001, 15006, 15008]);
}
