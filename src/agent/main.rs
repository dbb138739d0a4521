//! `culvert-agent`: enrols the pods of a node and hands their network namespaces to the node proxy.
//!
//! This file reads the command line and chooses: an agent whose wishes are [a file's](from_file) or
//! [Kubernetes'](in_cluster), [taking back](uninstall) all that was ever put on the node, or [the CNI plugin](cni) runtimes call.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use culvert_confine::Switches;
use culvert_process::exit::{self, Failure};
use culvert_process::{log, signal};

use crate::agent::{Error, Machine};
use crate::args::{Args, Command};

mod agent;
mod annotations;
mod api;
mod args;
mod backoff;
mod board;
mod cluster;
mod cni;
mod complaints;
mod confinement;
mod descriptors;
mod durable;
mod enrolment;
mod expectations;
mod from_file;
mod handed;
mod host_probes;
mod in_cluster;
mod install;
mod kubernetes;
mod leftovers;
mod namespaces;
mod pod;
mod pods_file;
mod presence;
mod probes;
mod roster;
mod rules;
mod served;
mod server;
mod sockets;
mod table;
mod unheard;
mod uninstall;
mod zds;

/// Work that is still blocked at the end is left to the kernel.
const SHUTDOWN: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    if cni::is_meant() {
        return plug_in();
    }
    let args = Args::parse();
    match args.command {
        Some(Command::Cni) => plug_in(),
        None => exit::code("culvert-agent", start(&args)),
    }
}

/// The runtime has no settings for us, and what the plugin says goes into the runtime's log alone.
fn plug_in() -> ExitCode {
    let _ = confinement::PLUGIN.enter(Switches::default());
    cni::main()
}

/// Gives up what is not needed before there is any other thread: the log has one.
fn start(args: &Args) -> Result<(), Failure> {
    let confined = confinement::AGENT.enter(Switches::of_environment().map_err(Failure::usage)?);
    let _log = log::start_from_environment().map_err(Failure::usage)?;
    confined.tell();
    let machine = Machine::look(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::runtime(Error::System("the runtime", error)))?;
    let result = runtime.block_on(run(args, machine));
    runtime.shutdown_timeout(SHUTDOWN);
    result
}

async fn run(args: &Args, machine: Machine) -> Result<(), Failure> {
    let stop = signal::Stop::listen().map_err(|e| Failure::runtime(Error::System("signals", e)))?;
    match &args.pods {
        Some(file) if args.cleanup => uninstall::of_file(args, file, machine, stop).await,
        Some(file) => from_file::run(args, file, machine, stop).await,
        None if args.cleanup => uninstall::in_cluster(args, machine, stop).await,
        None => in_cluster::run(args, machine, stop).await,
    }
}
