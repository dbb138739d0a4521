//! An agent whose wishes are a file: no Kubernetes, the same capture.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use culvert_process::exit::Failure;
use culvert_process::follow::Follower;
use culvert_process::signal::Stop;
use tokio::sync::watch;
use tracing::info;

use crate::agent::{Agent, Machine};
use crate::args::Args;
use crate::enrolment::Exit;
use crate::namespaces::Kubelet;
use crate::pod::Capture;
use crate::pods_file;
use crate::server::Progress;

/// A file that cannot be followed.
#[derive(Debug, thiserror::Error)]
#[error("the pods file {} cannot be read; name an existing file with --pods", path.display())]
pub(crate) struct Error {
    path: PathBuf,
    source: io::Error,
}

/// Runs until asked to stop.
pub(crate) async fn run(args: &Args, path: &Path, machine: Machine, mut stop: Stop) -> Result<(), Failure> {
    let rules = args.kubernetes.rules(args.probes).map_err(Failure::usage)?;
    let capture = Arc::new(Capture { rules, ..Capture::default() });
    let (follower, text) =
        Follower::open(path).map_err(|source| Failure::runtime(Error { path: path.to_owned(), source }))?;
    let wishes = pods_file::parse(path, &text, &capture).map_err(Failure::runtime)?;
    let pods = wishes.pods.len();
    // Nobody is told but the log.
    let (agent, _) = Agent::open(args, machine, Kubelet::Here)?;
    info!(pods, file = %path.display(), "following the pods file");
    let table = agent.table.clone();
    agent.serve(&args.server, Progress { views: None, freshness: None, table, installation: None }).await?;
    let (desired, wishes) = watch::channel(wishes);
    let exit = async {
        let signal = stop.asked().await;
        info!(signal, release = args.release_on_exit, "stopping");
        if args.release_on_exit { Exit::RemoveRules } else { Exit::LeaveRules }
    };
    let follow = tokio::spawn(async move { pods_file::follow(follower, &capture, desired).await });
    let result = agent.run(wishes, Vec::new(), exit).await;
    follow.abort();
    result
}
