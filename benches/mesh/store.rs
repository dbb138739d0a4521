//! The store in this process: no network, no other threads but the ones that look things up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use culvert_core::intern::Interner;
use culvert_core::snapshot::Snapshot;
use culvert_core::store::{Locality, Resource, Store};

use super::Size;
use super::made::{self, Made};
use crate::figures::Figures;
use crate::memory;

/// Updates a second while lookups are timed.
const RATE: usize = 10_000;
/// For how long.
const STORM: Duration = Duration::from_secs(5);

pub(super) fn measure(size: &Size, figures: &mut Figures) {
    let before = memory::resident("self");
    let (mut store, mut interner) = (Store::new(Locality::default()), Interner::default());
    let started = Instant::now();
    let mut making = Duration::ZERO;
    for number in 0..size.services {
        take(&mut store, &mut interner, &timed(&mut making, || made::service(number)));
    }
    for number in 0..size.workloads {
        take(&mut store, &mut interner, &timed(&mut making, || made::workload(number, size.services, 0)));
    }
    figures.add_time("store: decode and index all", started.elapsed() - making);
    figures.add("store: resident memory of the mesh", memory::resident("self") - before, "MB");
    single_updates(size, &mut store, &mut interner, figures);
    lookups(size, &store.snapshot(), figures);
    storm(size, store, interner, figures);
}

/// Applies what came over the wire.
pub(super) fn take(store: &mut Store, interner: &mut Interner, made: &Made) {
    let read = culvert_wire::decode_address(&made.name, &made.payload, interner);
    store.insert(Resource::from(read.expect("what was made is valid")));
}

/// Runs `make` and adds its time to `total`.
fn timed<T>(total: &mut Duration, make: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let made = make();
    *total += started.elapsed();
    made
}

/// Updates one by one, each published.
fn single_updates(size: &Size, store: &mut Store, interner: &mut Interner, figures: &mut Figures) {
    let updates: Vec<Made> =
        (0..10_000).map(|n| made::workload(n * 7919 % size.workloads, size.services, 1)).collect();
    let mut published = Arc::new(store.snapshot());
    let started = Instant::now();
    for update in &updates {
        take(store, interner, update);
        published = Arc::new(store.snapshot());
    }
    let each = started.elapsed() / 10_000;
    drop(published);
    figures.add_time("store: one update, decoded and published", each);
}

fn lookups(size: &Size, snapshot: &Snapshot, figures: &mut Figures) {
    const COUNT: u32 = 1_000_000;
    let started = Instant::now();
    let found = (0..COUNT as usize)
        .filter(|n| snapshot.workload_by_address("", made::pod_address(n * 7919 % size.workloads)).is_some());
    assert_eq!(found.count(), COUNT as usize);
    figures.add_time("store: lookup of a workload by address", started.elapsed() / COUNT);
    let started = Instant::now();
    let found = (0..COUNT as usize)
        .filter(|n| snapshot.service_by_vip("", made::vip(n * 7919 % size.services), "team-1").is_some());
    assert_eq!(found.count(), COUNT as usize);
    figures.add_time("store: lookup of a service by address", started.elapsed() / COUNT);
}

/// Publishes [`RATE`] updates a second, each by itself, while another thread takes the newest snapshot for every lookup.
fn storm(size: &Size, mut store: Store, mut interner: Interner, figures: &mut Figures) {
    let latest = Mutex::new(Arc::new(store.snapshot()));
    let done = AtomicBool::new(false);
    let newest = || Arc::clone(&latest.lock().unwrap_or_else(PoisonError::into_inner));
    let (applied, mut times) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut times = Vec::with_capacity(10_000_000);
            let mut number = 0;
            while !done.load(Ordering::Relaxed) {
                number = (number + 7919) % size.workloads;
                let started = Instant::now();
                let snapshot = newest();
                let found = snapshot.workload_by_address("", made::pod_address(number)).is_some();
                drop(snapshot);
                times.push(started.elapsed());
                assert!(found, "every address is always there");
                std::thread::sleep(Duration::from_micros(20));
            }
            times
        });
        let applied = update_at_rate(size, |made| {
            take(&mut store, &mut interner, made);
            let snapshot = Arc::new(store.snapshot());
            *latest.lock().unwrap_or_else(PoisonError::into_inner) = snapshot;
        });
        done.store(true, Ordering::Relaxed);
        (applied, reader.join().expect("the reader does not panic"))
    });
    times.sort_unstable();
    let at = |share: f64| times[(times.len() as f64 * share) as usize];
    figures.add("storm: updates a second, each published", applied, "1/s");
    figures.add_time("storm: lookup beside it, p50", at(0.5));
    figures.add_time("storm: lookup beside it, p99", at(0.99));
    figures.add_time("storm: lookup beside it, p99.9", at(0.999));
}

/// Gives updates to `apply` at [`RATE`] for [`STORM`]; tells how many a second were kept up with.
fn update_at_rate(size: &Size, mut apply: impl FnMut(&Made)) -> f64 {
    let updates: Vec<Made> =
        (0..RATE).map(|n| made::workload(n * 104_729 % size.workloads, size.services, n % 3)).collect();
    let started = Instant::now();
    let mut count = 0;
    while started.elapsed() < STORM {
        let due = (started.elapsed().as_secs_f64() * RATE as f64) as usize;
        if count < due {
            apply(&updates[count % RATE]);
            count += 1;
        } else {
            std::thread::sleep(Duration::from_micros(100));
        }
    }
    count as f64 / started.elapsed().as_secs_f64()
}
