//! When somebody looks and when nobody does: windows of both kinds, in pairs.

use std::thread;
use std::time::{Duration, Instant};

use super::reader::{self, Seen};
use super::scene::Scene;
use crate::memory;
use crate::path::cpu::Cpu;
use crate::path::error::Error;
use crate::path::interrupt::Interrupt;

/// How often memory is looked at.
const GLANCE: Duration = Duration::from_millis(50);

/// How many windows there are, and how long they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pairs: usize,
    length: Duration,
    /// Before each, what is left of the one before may end, and what it begins with be made.
    settle: Duration,
}

/// Something of each of the two kinds of windows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Kinds<T> {
    pub(super) quiet: T,
    pub(super) watched: T,
}

/// A time in which requests count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) from: Instant,
    pub(super) until: Instant,
    /// Of the processors, how much the node took: 1.0 is one of them.
    pub(super) cpu: f64,
    /// The most memory it held, in MB.
    pub(super) resident: f64,
}

/// All windows.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) pairs: Vec<Kinds<Window>>,
    pub(super) seen: Seen,
    /// For how long in all somebody looked.
    pub(super) looked: Duration,
}

impl Plan {
    pub(super) fn new(quick: bool, pairs: Option<usize>) -> Self {
        let (usual, length) = if quick { (3, 1500) } else { (10, 3000) };
        Self {
            pairs: pairs.unwrap_or(usual),
            length: Duration::from_millis(length),
            settle: Duration::from_millis(500),
        }
    }

    /// Lets all windows pass. Every other pair begins with the one that is watched: what drifts meets both kinds alike.
    pub(super) fn take(&self, scene: &Scene, interrupt: &Interrupt) -> Result<Taken, Error> {
        let mut taken = Taken::default();
        for nth in 0..self.pairs {
            interrupt.check()?;
            let pair = if nth % 2 == 0 {
                let quiet = self.pass(scene);
                Kinds { quiet, watched: self.watched(scene, &mut taken)? }
            } else {
                let watched = self.watched(scene, &mut taken)?;
                Kinds { quiet: self.pass(scene), watched }
            };
            eprintln!("[{:>2}/{}] read {} MB", nth + 1, self.pairs, taken.seen.bytes / 1_000_000);
            taken.pairs.push(pair);
        }
        Ok(taken)
    }

    fn watched(&self, scene: &Scene, taken: &mut Taken) -> Result<Window, Error> {
        let began = Instant::now();
        let (window, seen) = reader::beside(scene.bed.nodes[0].netns(), || self.pass(scene))?;
        taken.looked += began.elapsed();
        taken.seen.add(seen);
        Ok(window)
    }

    /// Lets one window pass.
    fn pass(&self, scene: &Scene) -> Window {
        thread::sleep(self.settle);
        let node = scene.looked_at().pid();
        let (before, from) = (Cpu::of(node), Instant::now());
        let mut resident = 0.0_f64;
        while from.elapsed() < self.length {
            resident = resident.max(memory::resident(&node.to_string()));
            thread::sleep(GLANCE.min(self.length.saturating_sub(from.elapsed())));
        }
        let until = Instant::now();
        let cpu = Cpu::of(node).since(&before) / (until - from).as_secs_f64();
        Window { from, until, cpu, resident }
    }
}
