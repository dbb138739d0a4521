use super::*;
use crate::mesh_file;
use crate::refusal::Refusal;
use crate::snapshot::Snapshot;

mod balance;
mod inbound;
mod outbound;
mod waypoint;

/// Gives the snapshot of a mesh file.
fn snapshot(text: &str) -> Snapshot {
    Snapshot::new(mesh_file::parse(text).unwrap(), "")
}

/// Gives the way of a connection from workload `source` in short form: `tcp <to> <workload> <service>`,
/// `tunnel <peer> <authority> <workload> <service>`, or the reason of the refusal; `-` where there is none.
fn way(snapshot: &Snapshot, source: &str, destination: &str, entropy: u64) -> String {
    let source = snapshot.workload(source).expect("the source is in the mesh");
    let service = |service: Option<Arc<Service>>| service.map_or_else(|| "-".into(), |service| service.key());
    match outbound(snapshot, source, destination.parse().unwrap(), entropy, &|_, _| Reputation::Good) {
        Ok(Route::Passthrough { to, workload, service: by }) => {
            let workload = workload.map_or_else(|| "-".into(), |workload| workload.uid.clone());
            format!("tcp {to} {workload} {}", service(by))
        }
        Ok(Route::Tunnel { peer, authority, workload, service: by, .. }) => {
            format!("tunnel {peer} {authority} {} {}", workload.uid, service(by))
        }
        Err(refusal) => refusal.reason().to_owned(),
    }
}

#[test]
fn own_ports() {
    let own: Vec<u16> = (0..=u16::MAX).filter(|&port| is_own_port(port)).collect();
    assert_eq!(own, [15001, 15006, 15008]);
}
