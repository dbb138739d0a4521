//! `culvert-control`: the control plane of a mesh: it serves the mesh state to node proxies, and issues certificates under a root of its own,
//! both on one port.
//!
//! The mesh, the root and who may ask are in files ([`from_files`]), or in a Kubernetes cluster ([`cluster`]).

mod authority;
mod budget;
mod callers;
mod cluster;
mod confinement;
mod discovery;
mod files;
mod from_files;
mod grant;
mod lifetimes;
mod live;
mod mesh;
mod metered;
mod published;
mod recent;
mod refused;
mod root;
mod root_command;
mod seldom;
mod server;
mod service;
mod serving;
mod tls;
mod token;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use culvert_confine::{Profile, Switches};
use culvert_process::exit::{self, Chain, Failure};
use culvert_process::log;
use culvert_tls::fips;

use crate::cluster::ClusterArgs;
use crate::from_files::FileArgs;
use crate::root_command::RootArgs;
use crate::serving::{Failed, ServingArgs};

/// Serves the state of a mesh, and issues its certificates; without a command, of a mesh that is written down in files.
#[derive(Debug, Parser)]
#[command(
    name = "culvert-control",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    files: Option<FileArgs>,
    #[command(flatten)]
    serving: ServingArgs,
}

/// What to do other than to serve what is in files.
#[derive(Debug, Subcommand)]
enum Command {
    /// Say everything that is wrong with a mesh; exit code 1 if there is anything.
    Check {
        /// The mesh file, or the directory of mesh files.
        #[arg(long, value_name = "PATH")]
        mesh: PathBuf,
    },
    /// Replace the root certificate, step by step, under a running server.
    Root(RootArgs),
    /// Serve the mesh of a Kubernetes cluster.
    Cluster(Box<ClusterArgs>),
}

fn main() -> ExitCode {
    let Arguments { command, files, serving } = Arguments::parse();
    let result = match (command, files) {
        (Some(Command::Check { mesh }), _) => check(&mesh).map_err(Failure::runtime),
        (Some(Command::Root(args)), _) => root_command::run(&args).map(say).map_err(Failure::runtime),
        (Some(Command::Cluster(args)), _) => {
            let profile = confinement::of_cluster(&args);
            serve(&profile, &args.serving.clone(), || cluster::run(*args))
        }
        (None, Some(files)) => {
            let profile = confinement::of_files(&files);
            serve(&profile, &serving.clone(), || from_files::run(files, serving))
        }
        (None, None) => Err(Failure::usage("nothing to do; --help says what there is")),
    };
    exit::code("culvert-control", result)
}

fn say(text: String) {
    println!("{text}");
}

fn check(mesh: &Path) -> Result<(), Failed> {
    match mesh::check(mesh)? {
        Ok(mesh::Size { files, addresses, policies }) => {
            println!(
                "{}: fine; files: {files}, workloads and services: {addresses}, policies: {policies}",
                mesh.display()
            );
            Ok(())
        }
        Err(problems) => {
            for (path, problem) in &problems {
                println!("{}: {}", path.display(), Chain(problem));
            }
            Err(format!("problems in {}: {}", mesh.display(), problems.len()).into())
        }
    }
}

/// Gives up what is not needed before there is any other thread: the log has one, and the runtime has some.
fn serve<F>(profile: &Profile, serving: &ServingArgs, run: impl FnOnce() -> F) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failed>>,
{
    let confined = profile.enter(Switches::of_environment().map_err(Failure::usage)?);
    let _log = log::start_from_environment().map_err(Failure::usage)?;
    confined.tell();
    serving.lifetimes().map_err(Failure::usage)?;
    fips::check().map_err(Failure::runtime)?;
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::runtime)?;
    runtime.block_on(run()).map_err(Failure::runtime)
}
