//! `culvert-agent`: enrols the pods of a node and hands their network namespaces to the node proxy.
//!
//! This file reads the command line and wires the parts: the pods file is followed, [`enrolment`] makes packet rules
//! match it and publishes a table, [`zds`] tells the table to every node that connects.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use culvert_process::exit::{self, Failure};
use culvert_process::follow::Follower;
use culvert_process::{log, signal};
use culvert_sys::limits;
use ebpf_free_iptables::{Iptables, Options, PACKET_MARK};
use tokio::sync::{mpsc, watch};
use tracing::info;

use crate::enrolment::{Enrolment, Exit, Outlets, Tools};
use crate::handed::Handed;
use crate::namespaces::{Host, Namespaces};
use crate::pod::Capture;
use crate::rules::{IptablesRules, PacketRules};
use crate::served::Served;
use crate::unheard::Unheard;

mod api;
mod backoff;
mod board;
mod cluster;
mod cni;
mod descriptors;
mod durable;
mod enrolment;
mod handed;
mod install;
mod kubernetes;
mod namespaces;
mod pod;
mod pods_file;
mod probes;
mod roster;
mod rules;
mod served;
mod server;
mod serving;
mod sockets;
mod table;
mod unheard;
mod zds;

/// Work that is still blocked at the end is left to the kernel.
const SHUTDOWN: Duration = Duration::from_secs(1);

/// Programs the pods of this node and hands their network namespaces to culvert-node.
#[derive(Debug, Parser)]
#[command(name = "culvert-agent", version)]
struct Args {
    /// The pods that shall be in the mesh (YAML); followed while the agent runs
    #[arg(long, value_name = "FILE")]
    pods: PathBuf,

    /// Where nodes connect
    #[arg(long, value_name = "PATH", default_value = "/var/run/ztunnel/ztunnel.sock")]
    socket: PathBuf,

    /// Where the host's processes can be seen
    #[arg(long, value_name = "DIR", default_value = "/proc")]
    proc: PathBuf,

    /// Undo everything in the pods on SIGTERM or SIGINT; without it captured pods stay captured
    #[arg(long)]
    cleanup: bool,

    /// Capture the pods' DNS queries too; the node answers them unless its ISTIO_META_DNS_CAPTURE is false
    #[arg(long)]
    dns: bool,
}

/// Why the agent cannot start.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(
        "entering pods' network namespaces and programming them is not permitted; run culvert-agent as root"
    )]
    Privileges(#[source] std::io::Error),
    #[error("the own network namespace cannot be looked at; mount /proc")]
    Host(#[source] std::io::Error),
    #[error("the pods file {} cannot be read; name an existing file with --pods", path.display())]
    PodsFile { path: PathBuf, source: std::io::Error },
    #[error("{0} cannot be set up")]
    System(&'static str, #[source] std::io::Error),
}

fn main() -> ExitCode {
    // Before anything else: the plugin is started for each pod, and its output is not for people.
    if cni::is_meant() {
        return cni::main();
    }
    let args = Args::parse();
    exit::code("culvert-agent", start(&args))
}

fn start(args: &Args) -> Result<(), Failure> {
    log::start_from_environment().map_err(Failure::usage)?;
    limits::may_enter_namespaces()
        .and_then(|()| limits::may_mark_packets(PACKET_MARK))
        .map_err(|error| Failure::runtime(Error::Privileges(error)))?;
    let iptables = Iptables::detect().map_err(Failure::runtime)?;
    let open_files =
        limits::raise_open_files().map_err(|e| Failure::runtime(Error::System("file limit", e)))?;
    info!(iptables = iptables.describe(), open_files, "starting");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::runtime(Error::System("the runtime", error)))?;
    let rules = IptablesRules { iptables, unheard: Unheard::default() };
    let result = runtime.block_on(run(args, Arc::new(rules)));
    runtime.shutdown_timeout(SHUTDOWN);
    result
}

async fn run(args: &Args, rules: Arc<dyn PacketRules>) -> Result<(), Failure> {
    let mut stop = signal::Stop::listen().map_err(|e| Failure::runtime(Error::System("signals", e)))?;
    let host = Host::find(&args.proc).map_err(|error| Failure::runtime(Error::Host(error)))?;
    let (follower, text) = Follower::open(&args.pods)
        .map_err(|source| Failure::runtime(Error::PodsFile { path: args.pods.clone(), source }))?;
    let rules_of_all = Options { dns: args.dns, ..Options::default() };
    let capture = Arc::new(Capture { rules: rules_of_all, ..Capture::default() });
    let pods = pods_file::parse(&args.pods, &text, &capture).map_err(Failure::runtime)?;
    // Nodes may connect from here on; they wait for their snapshot until the pods have been programmed.
    let listener = zds::server::bind(&args.socket).map_err(Failure::runtime)?;
    info!(pods = pods.pods.len(), socket = %args.socket.display(), "listening for nodes");

    let (desired, wishes) = watch::channel(pods);
    let (published, table) = watch::channel(None);
    let served = Served::default();
    let nodes = tokio::spawn(zds::server::serve(listener, table, served.clone()));
    let exit = async {
        let signal = stop.asked().await;
        info!(signal, cleanup = args.cleanup, "stopping");
        if args.cleanup { Exit::RemoveRules } else { Exit::LeaveRules }
    };
    let (board, _) = watch::channel(Arc::default());
    let (occurrences, _) = mpsc::channel(1);
    let handed = Handed::default();
    let namespaces = Namespaces::new(args.proc.clone(), handed.clone());
    let tools = Tools { rules, host, handed, served };
    let outlets = Outlets { table: published, board, occurrences };
    let enrolment = Enrolment::new(tools, namespaces, outlets).run(wishes, exit);
    let result = tokio::select! {
        result = enrolment => result,
        // Never ends by itself while the enrolment listens.
        () = pods_file::follow(follower, &capture, desired) => Ok(()),
    };
    // The table has ended with the enrolment, and so do the sessions.
    if let Err(error) = nodes.await {
        return Err(Failure::runtime(error));
    }
    result.map_err(Failure::runtime)
}
