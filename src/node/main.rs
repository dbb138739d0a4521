//! `culvert-node`: the data plane of one node. See `ARCHITECTURE.md` for the map.

mod admin;
mod admission;
mod agent;
mod aside;
mod buffers;
mod capture;
mod config;
mod confinement;
mod control_plane;
mod crypto;
mod deliver;
mod dns;
mod drain;
mod flow;
mod identity;
mod ledger;
mod limits;
mod mesh;
mod node;
mod outcome;
mod pods;
mod proxy;
mod quiet;
mod set_aside;
mod socks;
mod state;
mod stats;
mod stream;
mod tasks;
mod telemetry;
mod tunnel;
mod version;
mod waiting;
mod why;
mod xds;

use std::process::ExitCode;

use culvert_confine::{Report, Switches};
use culvert_process::exit::{self, Failure};
use culvert_process::log;
use culvert_sys::heap::Watched;
use culvert_sys::priority;
use culvert_tls::fips;

use crate::config::{Config, Environment};

/// The allocator of the C library, which keeps the least memory of those that were tried, and can be watched.
#[global_allocator]
static ALLOCATOR: Watched = Watched::new();

const USAGE: &str = "usage: culvert-node [proxy [ANYTHING...] | version | help]

Runs the Culvert data plane. All settings are environment variables; the README lists them.";

fn main() -> ExitCode {
    exit::code("culvert-node", start())
}

fn start() -> Result<(), Failure> {
    match std::env::args().nth(1).as_deref() {
        None | Some("proxy") => run(),
        Some("version") => {
            println!("culvert-node {} ({})", version::VERSION, fips::MODULE);
            Ok(())
        }
        Some("help" | "--help" | "-h") => {
            println!("{USAGE}");
            Ok(())
        }
        Some(other) => Err(Failure::usage(format!("unknown argument `{other}`\n{USAGE}"))),
    }
}

fn run() -> Result<(), Failure> {
    let confined = confine()?;
    let _log = log::start_from_environment().map_err(Failure::usage)?;
    let config = Config::read(&Environment::of_process()).map_err(Failure::usage)?;
    if let Some(confined) = confined {
        confined.tell();
    }
    fips::check().map_err(Failure::runtime)?;
    crypto::choose(config.policy);
    // What is not sent yet when the node ends has until this goes.
    let (telemetry, _exporting) = telemetry::start(config.telemetry.as_ref()).map_err(Failure::runtime)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.worker_threads)
        .thread_name("culvert")
        .on_thread_start(take_short_turns)
        .enable_all()
        .build()
        .map_err(Failure::runtime)?;
    runtime.block_on(node::run(config, telemetry)).map_err(Failure::runtime)
}

/// Has whoever wakes up on this processor, the client of a connection or its server, wait for little.
fn take_short_turns() {
    if let Err(error) = priority::take_short_turns() {
        tracing::debug!(%error, "threads keep the processor for as long as they are let");
    }
}

/// Gives up what is not needed, before there is any other thread: the log has one. Settings that cannot be used are reported by whoever
/// reads them when somebody can hear it.
fn confine() -> Result<Option<Report>, Failure> {
    let switches = Switches::of_environment().map_err(Failure::usage)?;
    let config = Config::read(&Environment::of_process()).ok();
    Ok(config.map(|config| confinement::profile(&config).enter(switches)))
}
