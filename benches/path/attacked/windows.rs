//! When somebody attacks and when nobody does.

use std::thread;
use std::time::Duration;

use super::attack::{Attack, Toll};
use super::scene::Scene;
use crate::path::error::Error;
use crate::path::interrupt::Interrupt;
use crate::path::load::{Direction, Part, Speed, Work};
use crate::path::turns::windows::{Kind, Kinds, Plan, Window};

/// The victim's streams: 1.6 Gbit/s together, a tenth of what the path carries.
const STREAMS: Work = Work::Bulk { direction: Direction::Down, streams: 4, speed: Speed(50_000_000) };
/// Before they count.
const WARM: Duration = Duration::from_millis(300);

/// All windows.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) pairs: Vec<Kinds<Passed>>,
    pub(super) toll: Toll,
    /// The longest that the nodes took to let go of what the attacker held.
    pub(super) recovery: Duration,
}

/// What passed in a window: first the requests were measured, then the streams.
#[derive(Debug)]
pub(super) struct Passed {
    pub(super) window: Window,
    /// Of the streams, bytes a second.
    pub(super) rate: f64,
    pub(super) failures: u64,
}

/// Lets all windows pass. An attack begins with its window, and lasts until the streams have been measured.
pub(super) fn take(
    attack: Attack,
    plan: &Plan,
    scene: &Scene,
    interrupt: &Interrupt,
) -> Result<Taken, Error> {
    let (mut toll, mut recovery) = (Toll::default(), Duration::ZERO);
    let pairs = plan.take(interrupt, |kind| {
        thread::sleep(plan.settle);
        if kind == Kind::Quiet {
            return pass(plan, scene);
        }
        let attacker = scene.begin(attack)?;
        let passed = pass(plan, scene)?;
        let got = Scene::end(&attacker)?;
        eprintln!("the attacker opened {}, {} at once; {} were refused", got.opened, got.most, got.refused);
        toll = toll.and(got);
        recovery = recovery.max(scene.recover());
        Ok(passed)
    })?;
    Ok(Taken { pairs, toll, recovery })
}

fn pass(plan: &Plan, scene: &Scene) -> Result<Passed, Error> {
    let nodes = scene.nodes();
    let mut window = plan.pass(&nodes);
    let part = streams(plan, scene)?;
    window.glance(&nodes);
    Ok(Passed { window, rate: part.rate, failures: part.failures })
}

/// What the victim's streams came to; that they could not even be opened is a failure of the victim's, and no error.
fn streams(plan: &Plan, scene: &Scene) -> Result<Part, Error> {
    match scene.bed.drive(STREAMS, WARM, plan.length / 2) {
        Ok(mut outcome) => Ok(outcome.parts.pop().unwrap_or_default()),
        Err(Error::NoResult { output, .. }) => {
            eprintln!("the victim's streams failed: {output}");
            Ok(Part { failures: 1, first_failure: Some(output), ..Part::default() })
        }
        Err(error) => Err(error),
    }
}
