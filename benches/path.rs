//! The data path: what it costs to send traffic through the proxies of two nodes.
//!
//! ```text
//!  client pod                              server pod
//!  load client ─▶ proxy ═════ wire ═════▶ proxy ─▶ load server
//! ```
//!
//! In go subjects and loads; out come figures: rates, latencies, CPU time and memory of each proxy process, and their
//! ratios to a plain TCP relay and to no proxy at all. It passes or fails nothing.

use std::path::PathBuf;

use self::error::Error;
use self::handshake::Handshake;
use self::interrupt::Interrupt;
use self::machine::Machine;
use self::plan::{LOADS, Load, Pace, What};
use self::report::{More, Report};
use self::results::Results;
use self::run::Run;
use self::subject::{Kind, Places, Subject};
use crate::figures::Figures;
use crate::{mesh, push};

pub(crate) mod attacked;
mod certificates;
pub(crate) mod cpu;
pub(crate) mod error;
mod handshake;
mod interrupt;
pub(crate) mod load;
mod machine;
mod plan;
mod progress;
mod redirect;
pub(crate) mod relay;
mod report;
mod results;
mod run;
mod statistics;
mod subject;
mod time_wait;
mod tool;
mod topology;
mod turns;
pub(crate) mod watched;
mod wire;

/// What to measure, and where the figures go.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Fewer rounds, shorter ones: rough figures
    #[arg(long)]
    quick: bool,
    /// How often everything is measured; the tables show medians [default: 5, or 2 with --quick]
    #[arg(long)]
    rounds: Option<usize>,
    /// Only these loads
    #[arg(long, value_delimiter = ',', value_name = "LOAD", value_parser = plan::load)]
    only: Vec<Load>,
    /// Only these subjects
    #[arg(long, value_delimiter = ',', value_name = "SUBJECT")]
    subjects: Vec<Kind>,
    /// The directory of the programs; without it, the one this program is in
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// The program of Envoy; without it, the one that setup.sh installs
    #[arg(long, value_name = "FILE")]
    envoy: Option<PathBuf>,
    /// Measure the mesh state as well
    #[arg(long)]
    mesh: bool,
    /// Measure what the data path notices of somebody who looks at a node as well
    #[arg(long)]
    watched: bool,
    /// Measure what a workload notices of somebody who attacks its node as well
    #[arg(long)]
    attacked: bool,
    /// Measure the control plane under many nodes as well
    #[arg(long)]
    push: bool,
    /// Write all values there
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the tables there
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// Measures and reports. What was measured before something failed is reported as well.
pub(crate) fn measure(options: &Options) -> Result<(), Error> {
    let interrupt = Interrupt::listen()?;
    let machine = Machine::look();
    let (mut results, places) = (Results::default(), places(options)?);
    if let Some(warning) = machine.warning() {
        eprintln!("{warning}");
        results.note(warning);
    }
    let kinds = kinds(options, &places, &mut results)?;
    let subjects: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
    let loads = if options.only.is_empty() { LOADS.to_vec() } else { options.only.clone() };
    let rounds = rounds(options, &kinds, &loads, &interrupt).and_then(|run| run.measure(&mut results));
    let more = rounds.and_then(|()| more(options, &places, &interrupt));
    let (more, measured) = more.map_or_else(|error| (More::default(), Err(error)), |more| (more, Ok(())));
    let report = Report {
        results: &results,
        loads: &loads,
        subjects: &subjects,
        more: &more,
        machine: &machine,
        command: std::env::args().collect::<Vec<_>>().join(" "),
    };
    if !results.is_empty() {
        publish(&report, options)?;
    }
    measured
}

/// Starts everything that the rounds need.
fn rounds<'r>(
    options: &Options,
    kinds: &[Kind],
    loads: &[Load],
    interrupt: &'r Interrupt,
) -> Result<Run<'r>, Error> {
    let places = places(options)?;
    let start = |kind: &Kind| {
        interrupt.check()?;
        eprintln!("starting {}", kind.name());
        Subject::start(*kind, &places)
    };
    let is_cold = |load: &Load| matches!(load.what, What::Cold);
    Ok(Run {
        subjects: kinds.iter().map(start).collect::<Result<_, _>>()?,
        loads: loads.to_vec(),
        rounds: options.rounds.unwrap_or(if options.quick { 2 } else { 5 }),
        pace: if options.quick { Pace::QUICK } else { Pace::FULL },
        handshake: loads.iter().any(is_cold).then(Handshake::prepare).transpose()?,
        interrupt,
    })
}

fn publish(report: &Report<'_>, options: &Options) -> Result<(), Error> {
    print!("{}", report.text());
    if let Some(path) = &options.json {
        report::write(path, &report.json())?;
    }
    if let Some(path) = &options.markdown {
        report::write(path, &report.markdown())?;
    }
    Ok(())
}

/// Measures what is no load of the subjects, as far as it is wanted.
fn more(options: &Options, places: &Places, interrupt: &Interrupt) -> Result<More, Error> {
    let watch = || watched::beside_others(options.quick, &places.programs, interrupt);
    let watched = options.watched.then(watch).transpose()?;
    let attack = || attacked::beside_others(options.quick, &places.programs, interrupt);
    let attacked = options.attacked.then(attack).transpose()?;
    let mesh = options.mesh.then(|| mesh_state(places)).transpose()?;
    interrupt.check()?;
    let push = options.push.then(|| pushes(places)).transpose()?;
    Ok(More { watched, attacked, mesh, push })
}

fn mesh_state(places: &Places) -> Result<Figures, Error> {
    eprintln!("measuring the mesh state");
    Ok(mesh::measure(&mesh::Size::default(), &places.programs)?)
}

fn pushes(places: &Places) -> Result<Figures, Error> {
    eprintln!("measuring the control plane under many nodes");
    Ok(push::beside_others(&places.programs)?)
}

fn places(options: &Options) -> Result<Places, Error> {
    Ok(Places {
        envoy: absolute(options.envoy.clone().unwrap_or(beside_own()?.join("../peers/bin/envoy")))?,
        programs: programs(options.programs.clone())?,
        subject: std::env::var_os("SUBJECT").map(|path| absolute(path.into())).transpose()?,
    })
}

/// The directory of the programs that was given, or the one this program is in.
fn programs(given: Option<PathBuf>) -> Result<PathBuf, Error> {
    absolute(match given {
        Some(given) => given,
        None => beside_own()?,
    })
}

/// The directory this program is in.
fn beside_own() -> Result<PathBuf, Error> {
    Ok(topology::own_program()?.parent().map(PathBuf::from).unwrap_or_default())
}

/// Programs run in a directory of their own, where a relative path means something else.
fn absolute(path: PathBuf) -> Result<PathBuf, Error> {
    let named = path.display().to_string();
    std::path::absolute(path).map_err(|source| Error::Io { doing: format!("find {named}"), source })
}

/// The subjects asked for, or else all there are.
fn kinds(options: &Options, places: &Places, results: &mut Results) -> Result<Vec<Kind>, Error> {
    let mut kinds = options.subjects.clone();
    if kinds.is_empty() {
        kinds = <Kind as clap::ValueEnum>::value_variants().to_vec();
        kinds.retain(|kind| *kind != Kind::Subject || places.subject.is_some());
        if !places.envoy.exists() {
            results.note(format!("{} is missing: no Envoy was measured", places.envoy.display()));
            kinds.retain(|kind| *kind != Kind::Envoy);
        }
    }
    if kinds.contains(&Kind::Subject) && places.subject.is_none() {
        let path = "the variable SUBJECT".to_owned();
        return Err(Error::Missing { path, remedy: "set it to the path of a node program" });
    }
    if kinds.contains(&Kind::Envoy) && !places.envoy.exists() {
        let path = places.envoy.display().to_string();
        return Err(Error::Missing { path, remedy: "run tests/peers/setup.sh" });
    }
    kinds.sort_unstable();
    kinds.dedup();
    Ok(kinds)
}
