//! The attacker: a process of its own inside some pod's network namespace, which attacks until it is asked to end.
//!
//! In goes a job as JSON on the command line; out comes what it got, as JSON on stdout. It never waits for the victim, and what is
//! refused to it, it asks for again.

mod connections;
mod counts;
mod frames;
mod tunnels;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use culvert_process::signal::Stop;
use culvert_sys::{limits, priority};
use serde::{Deserialize, Serialize};

use counts::Counts;
pub(super) use counts::Toll;

/// How many attack at once.
const WORKERS: usize = 8;
/// How many connections or streams an attacker wants at once.
const WANTED: usize = 15_000;
/// The line it writes when it begins.
pub(super) const BEGUN: &str = "begun";

/// The kinds of attacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
pub(crate) enum Attack {
    /// A pod beside the victim opens 15,000 connections to who is not in the mesh, and keeps them
    Hold,
    /// Somebody outside opens connections past the nodes and resets them: what the machine alone does to the victim
    Bypass,
    /// A pod beside the victim opens connections through tunnels, resets them, and opens others
    Churn,
    /// Somebody outside opens 15,000 connections to the port for tunnels of the victim's server, and never says anything
    Silent,
    /// A member of the mesh opens 15,000 streams to a neighbour of the victim's server, and reads nothing of what it asks for
    Streams,
    /// A member of the mesh opens streams to a neighbour of the victim's server, resets each at once, and opens others
    Resets,
}

/// What an attacker shall do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) attack: Attack,
    /// Where its connections or tunnels go.
    pub(super) to: SocketAddr,
    /// Where the streams of its tunnels lead.
    pub(super) authority: SocketAddr,
    /// A certificate of the mesh, and its key.
    pub(super) identity: [PathBuf; 2],
}

impl Attack {
    pub(super) fn all() -> &'static [Self] {
        <Self as clap::ValueEnum>::value_variants()
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Hold => "hold",
            Self::Churn => "churn",
            Self::Silent => "silent",
            Self::Streams => "streams",
            Self::Resets => "resets",
        }
    }
}

/// Attacks until asked to end; what is open then, the kernel closes.
pub(crate) fn run(job: &str) -> io::Result<()> {
    priority::give_way()?;
    limits::raise_open_files()?;
    let job: Job = serde_json::from_str(job)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut stop = runtime.block_on(async { Stop::listen() })?;
    let counts = Arc::new(Counts::default());
    (0..WORKERS).try_for_each(|_| start(&job, &counts))?;
    tell(BEGUN)?;
    runtime.block_on(stop.asked());
    tell(&serde_json::to_string(&counts.toll())?)
}

fn start(job: &Job, counts: &Arc<Counts>) -> io::Result<()> {
    let (counts, to, authority) = (Arc::clone(counts), job.to, job.authority);
    let share = WANTED / WORKERS;
    let work: Box<dyn FnOnce() + Send> = match job.attack {
        Attack::Hold => Box::new(move || connections::hold(to, share, connections::Greeting::Byte, &counts)),
        Attack::Silent => {
            Box::new(move || connections::hold(to, share, connections::Greeting::None, &counts))
        }
        Attack::Bypass | Attack::Churn => Box::new(move || connections::churn(to, &counts)),
        Attack::Streams => {
            let member = tunnels::Member::load(&job.identity, to, authority)?;
            Box::new(move || tunnels::hold(&member, share, &counts))
        }
        Attack::Resets => {
            let member = tunnels::Member::load(&job.identity, to, authority)?;
            Box::new(move || tunnels::reset(&member, &counts))
        }
    };
    thread::Builder::new().spawn(work)?;
    Ok(())
}

fn tell(line: &str) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{line}")?;
    out.flush()
}
