//! What the data path notices of somebody who looks at a node: requests at a steady pace, well below what the path can carry, while
//! a node with a large mesh is asked for all it knows again and again, and while nobody asks.
//!
//! In goes the size of the mesh; out come figures: how long requests take in both kinds of windows and how these compare, what was
//! read, and the memory of the node. Windows of both kinds take turns, so that what else happens on the machine meets both alike.

mod called;
mod figures;
mod reader;
mod scene;
mod windows;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::Error;
use super::interrupt::Interrupt;
use super::turns::steady;
use super::turns::windows::Plan;
use crate::figures::Figures;
use crate::{memory, mesh};
use figures::Found;
pub(super) use figures::{RATIO, RATIO_NEW};
use scene::Scene;

/// Other workloads that the client has called before: each has series of its own in the metrics.
const CALLED: usize = 5000;
/// Connections that are there all the time and do nothing.
const IDLE: usize = 1000;
/// How long the memory of a node may take to fall.
const SETTLE: Duration = Duration::from_secs(2);

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    size: mesh::Size,
    /// Fewer windows, shorter ones: rough figures
    #[arg(long)]
    quick: bool,
    /// How many windows of each kind there are
    #[arg(long)]
    pairs: Option<usize>,
    /// The directory of the programs; without it, the one this program is in
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Measures and prints.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let interrupt = Interrupt::listen()?;
    let programs = super::programs(options.programs.clone())?;
    let plan = plan(options.quick, options.pairs);
    let figures = measure(&options.size, &plan, &programs, &interrupt)?;
    figures.print(options.json);
    Ok(())
}

/// Measures the programs of a directory, as carefully as there is time.
pub(super) fn beside_others(quick: bool, programs: &Path, interrupt: &Interrupt) -> Result<Figures, Error> {
    measure(&mesh::Size::default(), &plan(quick, None), programs, interrupt)
}

fn plan(quick: bool, pairs: Option<usize>) -> Plan {
    let (usual, length) = if quick { (3, 1500) } else { (10, 3000) };
    Plan {
        pairs: pairs.unwrap_or(usual),
        length: Duration::from_millis(length),
        settle: Duration::from_millis(500),
    }
}

fn measure(size: &mesh::Size, plan: &Plan, programs: &Path, interrupt: &Interrupt) -> Result<Figures, Error> {
    eprintln!("starting two nodes with {} workloads and {} services", size.workloads, size.services);
    let called = CALLED.min(size.workloads).min(size.services);
    let scene = Scene::make(size, called, programs)?;
    interrupt.check()?;
    eprintln!("calling {called} workloads");
    called::call_all(&scene, called)?;
    let found = scene.bed.while_idle(IDLE, || looked_at(&scene, plan, interrupt));
    let (found, _) = found?;
    Ok(found?.figures(size))
}

/// Takes the windows, with memory before and after.
fn looked_at(scene: &Scene, plan: &Plan, interrupt: &Interrupt) -> Result<Found, Error> {
    let samples = scene.samples()?;
    let [before] = memory::settled([scene.looked_at().pid()], SETTLE);
    let alone = reader::each_once(scene.bed.nodes[0].netns())?;
    let (taken, heard) = steady::beside(&scene.bed, || windows::take(plan, scene, interrupt))?;
    let taken = taken?;
    let [after] = memory::settled([scene.looked_at().pid()], SETTLE);
    Ok(Found { samples, idle: IDLE, alone, taken, heard, resident: [before, after] })
}
