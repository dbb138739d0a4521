//! When somebody looks and when nobody does.

use std::thread;
use std::time::{Duration, Instant};

use super::reader::{self, Seen};
use super::scene::Scene;
use crate::path::error::Error;
use crate::path::interrupt::Interrupt;
use crate::path::turns::windows::{Kind, Kinds, Plan, Window};

/// All windows.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) pairs: Vec<Kinds<Window>>,
    pub(super) seen: Seen,
    /// For how long in all somebody looked.
    pub(super) looked: Duration,
}

/// Lets all windows pass.
pub(super) fn take(plan: &Plan, scene: &Scene, interrupt: &Interrupt) -> Result<Taken, Error> {
    let mut taken = Taken::default();
    let pairs = plan.take(interrupt, |kind| match kind {
        Kind::Quiet => Ok(pass(plan, scene)),
        Kind::Disturbed => watched(plan, scene, &mut taken),
    });
    taken.pairs = pairs?;
    Ok(taken)
}

fn watched(plan: &Plan, scene: &Scene, taken: &mut Taken) -> Result<Window, Error> {
    let began = Instant::now();
    let (window, seen) = reader::beside(scene.bed.nodes[0].netns(), || pass(plan, scene))?;
    taken.looked += began.elapsed();
    taken.seen.add(seen);
    eprintln!("read {} MB in all", taken.seen.bytes / 1_000_000);
    Ok(window)
}

fn pass(plan: &Plan, scene: &Scene) -> Window {
    thread::sleep(plan.settle);
    plan.pass(&[scene.looked_at().pid()])
}
