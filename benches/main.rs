//! `culvert-bench`: measures Culvert, as root. It prints figures; nothing here passes or fails. The programs measured are
//! those that were built beside it, unless it is told others.

mod figures;
mod memory;
mod mesh;
mod path;
mod push;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use culvert_process::exit::{self, Failure};

/// Measures Culvert.
#[derive(Debug, Parser)]
#[command(name = "culvert-bench", version)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The data path: rates, latencies, CPU time and memory of the proxies between two pods.
    Path(path::Options),
    /// What the data path notices of somebody who looks at a node: latencies with and without.
    Watched(path::watched::Options),
    /// What a workload notices of somebody who attacks its node: latencies and rates with and without.
    Attacked(path::attacked::Options),
    /// The mesh state: memory and time of a large mesh, updates, lookups.
    Mesh(Mesh),
    /// The control plane under many nodes: changes until all have them, memory, everybody at once.
    Push(push::Options),
    /// A plain TCP relay, started by `path`.
    #[command(hide = true)]
    Relay(path::relay::Options),
    /// The server of the load generator, started by `path`.
    #[command(hide = true)]
    Serve,
    /// An attacker, started by `attacked`.
    #[command(hide = true)]
    Attack {
        /// The job as JSON.
        job: String,
    },
    /// Who helps an attacker, started by `attacked`.
    #[command(hide = true)]
    HelpAttack,
    /// The client of the load generator, started by `path`.
    #[command(hide = true)]
    Drive {
        /// The job as JSON.
        job: String,
    },
}

#[derive(Debug, clap::Args)]
struct Mesh {
    #[command(flatten)]
    size: mesh::Size,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().what {
        What::Path(options) => path::measure(&options).map_err(Failure::runtime),
        What::Watched(options) => path::watched::run(&options).map_err(Failure::runtime),
        What::Attacked(options) => path::attacked::run(&options).map_err(Failure::runtime),
        What::Mesh(mesh) => measure_mesh(&mesh).map_err(Failure::runtime),
        What::Push(options) => push::run(&options).map_err(Failure::runtime),
        What::Relay(options) => path::relay::run(options).map_err(Failure::runtime),
        What::Serve => path::load::server::run().map_err(Failure::runtime),
        What::Attack { job } => path::attacked::attack::run(&job).map_err(Failure::runtime),
        What::HelpAttack => path::attacked::help().map_err(Failure::runtime),
        What::Drive { job } => drive(&job),
    };
    exit::code("culvert-bench", result)
}

fn measure_mesh(mesh: &Mesh) -> Result<(), culvert_lab::Error> {
    let programs = std::env::current_exe().ok().and_then(|own| own.parent().map(Path::to_owned));
    let figures = mesh::measure(&mesh.size, &programs.unwrap_or_default())?;
    figures.print(mesh.json);
    Ok(())
}

fn drive(job: &str) -> Result<(), Failure> {
    let job = serde_json::from_str(job).map_err(Failure::usage)?;
    let outcome = path::load::drive(&job).map_err(Failure::runtime)?;
    println!("{}", serde_json::to_string(&outcome).expect("names and numbers are JSON"));
    Ok(())
}
