//! Pods come, go, join and leave by the hundred while agent and node are killed: whenever it is quiet, whoever should be in the mesh is,
//! with nothing in clear on the wire, whoever should not be is as if never touched, and nothing is left of those that are gone.
//!
//! What happens follows from a seed alone, which is printed; `CULVERT_CHAOS_SEED` has the same happen again.
//! `CULVERT_CHAOS_SECONDS` and `CULVERT_CHAOS_PODS` make it longer and larger.

use std::thread;
use std::time::{Duration, Instant};

use culvert_lab::{Containers, Lab, Node};

use crate::harness::cluster::lab;
use crate::harness::seed::{seed, setting};

mod chance;
mod checks;
mod kubelet;
mod kubernetes;
mod model;
mod told;
mod world;

use chance::Chance;
use checks::Normal;
use model::{Model, Step};
use told::{Cluster, PodsFile};
use world::World;

/// Pods that are started or ended at the same time.
const KUBELETS: usize = 3;

/// How long things happen, in seconds, unless the environment says otherwise.
const SHORT: u64 = 10;
const LONG: u64 = 30;

/// An agent that follows a file does not know which pods left while it was dead: here none does, but some end.
#[test]
fn pods_of_a_file_while_everything_is_killed() {
    run("killed", SHORT, file, |model, step| !model.has_pods_leave(step));
}

#[test]
fn pods_of_a_file_join_and_leave_while_nodes_are_killed() {
    run("leave", SHORT, file, |_, step| step != Step::KillAgent);
}

#[test]
fn pods_of_kubernetes() {
    run("kubernetes", LONG, kubernetes::start, |_, _| true);
}

fn file(_: &Lab, _: &Node, _: &Containers) -> PodsFile {
    PodsFile
}

fn run<C: Cluster + 'static>(
    name: &str,
    seconds: u64,
    cluster: fn(&Lab, &Node, &Containers) -> C,
    is_allowed: impl Fn(&Model, Step) -> bool,
) {
    let seed = seed();
    let length = Duration::from_secs(setting("CULVERT_CHAOS_SECONDS", seconds));
    let pods = setting("CULVERT_CHAOS_PODS", 60).try_into().unwrap();
    let world = World::new(lab(name).unwrap(), cluster);
    let mut chance = Chance::new(seed, pods);
    let next = |model: &Model| {
        // What makes the pace: nothing is waited for here.
        thread::sleep(Duration::from_millis(chance.pause()));
        chance.step(model, &is_allowed)
    };
    world.meanwhile(KUBELETS, || live(&world, length, next));
}

/// Lets things happen for a while, then takes all pods away.
fn live(world: &World, length: Duration, mut next: impl FnMut(&Model) -> Step) {
    let normal = Normal::of(world);
    let (mut taken, end) = (0, Instant::now() + length);
    while Instant::now() < end {
        let step = next(&world.model());
        taken += 1;
        println!("{taken}: {step:?}");
        world.take(step);
        if step == Step::Quiet {
            normal.check(world);
        }
    }
    world.take(Step::Quiet);
    normal.check(world);
    for number in world.model().pods.into_keys() {
        world.take(Step::Remove(number));
    }
    normal.check_end(world);
}
