//! Where a connection goes: what it costs to choose one of few endpoints and one of many.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use culvert_core::intern::Interner;
use culvert_core::route;
use culvert_core::snapshot::Snapshot;
use culvert_core::store::{Locality, Store};

use super::made;
use super::store::take;
use crate::figures::Figures;

const FEW: usize = 10;
const MANY: usize = 10_000;

/// Connections that are routed for a figure.
const CONNECTIONS: u32 = 100_000;

/// How often the endpoints of the service change.
const CHANGES: u32 = 100;

pub(super) fn measure(figures: &mut Figures) {
    let (_, _, few) = service(FEW);
    figures.add_time("route: a connection to 10 endpoints", each(&few));
    let (mut store, mut interner, many) = service(MANY);
    figures.add_time("route: a connection to 10,000 endpoints", each(&many));
    drop(many);
    let mut first = Duration::ZERO;
    for version in 0..CHANGES {
        // Whether it is healthy changes each time.
        take(&mut store, &mut interner, &made::workload(0, 1, version as usize + 1));
        let snapshot = store.snapshot();
        let started = Instant::now();
        connect(&snapshot, u64::from(version));
        first += started.elapsed();
    }
    figures.add_time("route: the first connection after one of 10,000 has changed", first / CHANGES);
}

/// A mesh of one service.
fn service(endpoints: usize) -> (Store, Interner, Snapshot) {
    let (mut store, mut interner) = (Store::new(Locality::default()), Interner::default());
    take(&mut store, &mut interner, &made::service(0));
    for number in 0..endpoints {
        take(&mut store, &mut interner, &made::workload(number, 1, 0));
    }
    let snapshot = store.snapshot();
    (store, interner, snapshot)
}

/// The time of one connection among many.
fn each(snapshot: &Snapshot) -> Duration {
    connect(snapshot, 0);
    let started = Instant::now();
    (0..CONNECTIONS).for_each(|nth| connect(snapshot, u64::from(nth) * 7919));
    started.elapsed() / CONNECTIONS
}

/// Routes a connection of the endpoint that never changes.
fn connect(snapshot: &Snapshot, entropy: u64) {
    let source = snapshot.workload_by_address("", made::pod_address(1)).expect("it is always there");
    let destination = SocketAddr::new(made::vip(0), 80);
    let route = route::outbound(snapshot, source, destination, entropy, &route::Newcomer);
    assert!(route.is_ok(), "there is always an endpoint");
}
