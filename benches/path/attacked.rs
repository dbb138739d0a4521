//! What a workload notices of somebody who attacks its node: requests at a steady pace and streams of limited speed, well below what
//! the path can carry, while another takes all that the node gives, and while nobody does.
//!
//! In go the kinds of attacks; out come figures for each: how long the victim's requests take in both kinds of windows, how fast its
//! streams are, what the attacker got, and memory and descriptors of the nodes. Windows of both kinds take turns. Attackers and who
//! helps them give way to everybody else: on a real network they are on machines of their own.

mod accomplice;
pub(crate) mod attack;
mod figures;
mod scene;
mod windows;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::Error;
use super::interrupt::Interrupt;
use super::turns::steady;
use super::turns::windows::Plan;
use crate::figures::Figures;
pub(crate) use accomplice::run as help;
use attack::Attack;
pub(super) use figures::{FAILED, RATE, RATIO, RATIO_NEW};
use figures::{Found, Worst};
use scene::Scene;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only these attacks
    #[arg(long, value_delimiter = ',', value_name = "ATTACK")]
    attacks: Vec<Attack>,
    /// Fewer windows, shorter ones: rough figures
    #[arg(long)]
    quick: bool,
    /// How many windows of each kind there are for each attack
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
    let attacks = if options.attacks.is_empty() { Attack::all() } else { &options.attacks };
    let figures = measure(attacks, &plan(options.quick, options.pairs), &programs, &interrupt)?;
    figures.print(options.json);
    Ok(())
}

/// Measures the programs of a directory, as carefully as there is time.
pub(super) fn beside_others(quick: bool, programs: &Path, interrupt: &Interrupt) -> Result<Figures, Error> {
    measure(Attack::all(), &plan(quick, None), programs, interrupt)
}

fn plan(quick: bool, pairs: Option<usize>) -> Plan {
    let (usual, length) = if quick { (2, 2000) } else { (5, 4000) };
    Plan {
        pairs: pairs.unwrap_or(usual),
        length: Duration::from_millis(length),
        settle: Duration::from_millis(500),
    }
}

fn measure(
    attacks: &[Attack],
    plan: &Plan,
    programs: &Path,
    interrupt: &Interrupt,
) -> Result<Figures, Error> {
    let (mut figures, mut worst) = (Figures::default(), Worst::default());
    for attack in attacks {
        interrupt.check()?;
        eprintln!("attack: {}", attack.name());
        // Each finds nodes that have not been attacked before.
        let scene = Scene::make(programs)?;
        let (taken, heard) = steady::beside(&scene.bed, || windows::take(*attack, plan, &scene, interrupt))?;
        let found = Found { attack: *attack, taken: taken?, heard, after: scene.settled() };
        found.add_to(&mut figures, &mut worst);
    }
    worst.add_to(&mut figures);
    Ok(figures)
}
