//! The control plane under many nodes: how long until all of them have a change, what a connected node costs it, and what happens
//! when all of them come at once.
//!
//! `culvert-control` itself serves a large mesh from files to simulated nodes: real connections over loopback, TLS and gRPC included.
//! The nodes are in this process, so that their memory is not the server's. They answer all they are told, and look at no more of it
//! than how much it is: what a node does with it is no part of these figures.

mod changes;
mod crowd;
mod glance;
mod node;
mod opening;
mod phases;
mod server;

use std::io;
use std::path::{Path, PathBuf};

use crate::figures::Figures;
use crate::mesh;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    size: mesh::Size,
    /// Nodes that are connected
    #[arg(long, default_value_t = 1000)]
    nodes: usize,
    /// Nodes that come back with all they have: each of them costs the server some 8 MB
    #[arg(long, default_value_t = 100)]
    returning: usize,
    /// How often each kind of change is made
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Nodes ask for what they need, in place of having everything; each asks for this many services
    #[arg(long, value_name = "SERVICES")]
    on_demand: Option<usize>,
    /// The directory of the programs; without it, the one this program is in
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot {doing}")]
    Io {
        doing: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("culvert-control does not serve; its log ends with:\n{log}")]
    Server { log: String },
    #[error("a node cannot connect")]
    Connect(#[from] tonic::transport::Error),
    #[error("the stream of a node has ended")]
    Ended(#[source] Box<tonic::Status>),
    #[error("{missing} of the nodes have not heard {what} in time")]
    Late { what: &'static str, missing: usize },
}

/// What is measured.
#[derive(Debug)]
struct Plan {
    size: mesh::Size,
    nodes: usize,
    returning: usize,
    rounds: usize,
    on_demand: Option<usize>,
}

/// Measures and prints.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let own = std::env::current_exe().ok().and_then(|own| own.parent().map(Path::to_owned));
    let programs = options.programs.clone().or(own).unwrap_or_default();
    let Options { size, nodes, returning, rounds, on_demand, .. } = options;
    let plan = Plan {
        size: *size,
        nodes: *nodes,
        returning: (*returning).min(*nodes),
        rounds: *rounds,
        on_demand: *on_demand,
    };
    let figures = measure(&plan, &programs)?;
    figures.print(options.json);
    Ok(())
}

/// Measures the program of a directory, beside other measurements.
pub(crate) fn beside_others(programs: &Path) -> Result<Figures, Error> {
    let plan = Plan { size: mesh::Size::default(), nodes: 1000, returning: 100, rounds: 10, on_demand: None };
    measure(&plan, programs)
}

fn measure(plan: &Plan, programs: &Path) -> Result<Figures, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::Io { doing: "start a runtime", source })?;
    let mut figures = Figures::default();
    runtime.block_on(phases::all(plan, programs, &mut figures))?;
    Ok(figures)
}
