//! Looks at everything that passes the nodes while it passes, for words that nobody may read.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use culvert_lab::{Capture, Node, Wire};

use super::journal::Journal;
use super::pattern::{PUBLIC, SECRET};

/// How often it is looked at what has passed: what is recorded meanwhile is kept in memory.
const ROUND: Duration = Duration::from_millis(250);

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Packets.
    pub(crate) packets: AtomicU64,
    /// Rounds in which something was read that may be: the witness is not blind.
    pub(crate) readable: AtomicU64,
    /// Packets the kernel could not show.
    pub(crate) missed: AtomicU64,
}

/// Looks for as long as something happens.
pub(crate) fn watch<T>(nodes: &[Node], journal: &Journal, happen: impl FnOnce() -> T) -> (Seen, T) {
    let (seen, over) = (Seen::default(), AtomicBool::new(false));
    let wires: Vec<_> = nodes.iter().map(|node| Wire::of_host(node.netns()).unwrap()).collect();
    let result = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                // What bounds the memory: nothing is waited for here.
                thread::sleep(ROUND);
                wires.iter().for_each(|wire| look(&wire.take(), &seen, journal));
            }
        });
        let _over = Over(&over);
        happen()
    });
    for wire in wires {
        look(&wire.stop().unwrap(), &seen, journal);
    }
    (seen, result)
}

fn look(capture: &Capture, seen: &Seen, journal: &Journal) {
    seen.packets.fetch_add(capture.packets().len() as u64, Ordering::Relaxed);
    seen.missed.fetch_add(capture.missed(), Ordering::Relaxed);
    seen.readable.fetch_add(u64::from(capture.contains(PUBLIC)), Ordering::Relaxed);
    if capture.contains(SECRET) {
        journal.violated(format!("plaintext on the wire, one of {:?}", capture.tcp_ports()));
    }
}

struct Over<'o>(&'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
