//! The orderly undo at exit: rules out of every pod, errors collected.
//!
//! Goes on after a failure, and says at the end which pods still have rules. Each pod is tried once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use culvert_process::exit::Chain;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::job::{Done, Job};
use crate::rules::PacketRules;

/// For all of it. Together with the other waits of an exit below the 30 s after which Kubernetes kills a container.
pub(super) const DEADLINE: Duration = Duration::from_secs(15);

/// The pods whose rules are still in.
#[derive(Debug)]
pub(crate) struct Error {
    pods: usize,
    failures: Vec<String>,
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (failed, pods) = (self.failures.len(), self.pods);
        write!(
            f,
            "packet rules of {failed} of {pods} pods could not be removed; start the agent again with the "
        )?;
        write!(f, "same pods file and --cleanup, and stop it, to try again: {}", self.failures.join("; "))
    }
}

/// Runs all jobs, at most `width` at once, and reports each success.
pub(crate) async fn run(
    jobs: Vec<Job>,
    rules: Arc<dyn PacketRules>,
    (width, deadline): (usize, Instant),
    mut removed: impl FnMut(&Done),
) -> Result<(), Error> {
    let pods = jobs.len();
    let mut waiting = jobs.into_iter();
    let mut running = JoinSet::new();
    let mut open: Vec<_> = waiting.as_slice().iter().map(|job| (job.uid.clone(), job.pod.clone())).collect();
    let mut failures = Vec::new();
    loop {
        while running.len() < width
            && let Some(job) = waiting.next()
        {
            running.spawn(job.run(Arc::clone(&rules)));
        }
        let Ok(Some(Ok(done))) = timeout_at(deadline, running.join_next()).await else { break };
        let Some(place) = open.iter().position(|(uid, _)| *uid == done.uid) else { continue };
        let (uid, pod) = open.swap_remove(place);
        match &done.result {
            Ok(_) => removed(&done),
            Err(reason) => failures.push(format!("pod {pod} ({uid}): {}", Chain(reason))),
        }
    }
    let late = |(uid, pod)| format!("pod {pod} ({uid}): not done within {} s", DEADLINE.as_secs());
    failures.extend(open.into_iter().map(late));
    failures.sort();
    if failures.is_empty() { Ok(()) } else { Err(Error { pods, failures }) }
}
