//! Takes the annotation off all pods of the node: what is left to do when the mesh is removed from it.
//!
//! Nothing stops at the first failure; all of them are told at the end.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use culvert_kubernetes::{Client, Error, List, Pace, Pauses};
use culvert_membership::REDIRECTION;
use culvert_process::exit::Chain;
use futures::StreamExt as _;
use futures::stream;
use tokio::time::{Instant, sleep, timeout_at};

use super::super::wire;
use super::patch;
use crate::cluster::Claim;
use crate::pod::{Uid, Workload};

/// Pods at a time.
const AT_ONCE: usize = 8;

/// Failures that are told one by one.
const TOLD: usize = 5;

/// Why some pods may still claim to be in the mesh.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClearError {
    #[error(
        "the pods of node {node} cannot be listed, so what they claim stays; run it again when the API server answers"
    )]
    List { node: String, source: Error },
    #[error("the annotation {REDIRECTION} is still on {} pods; remove it by hand, or run it again: {}", .0.len(), Failures(.0))]
    Pods(Vec<(Workload, Error)>),
}

struct Failures<'a>(&'a [(Workload, Error)]);

impl fmt::Display for Failures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (pod, error)) in self.0.iter().take(TOLD).enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{pod}: {}", Chain(error))?;
        }
        if self.0.len() > TOLD { f.write_str("; …") } else { Ok(()) }
    }
}

/// Removes the annotation from all pods of the node that have it, and says from how many.
pub(crate) async fn clear_claims(client: &Client, node: &str, within: Duration) -> Result<usize, ClearError> {
    let trying = Trying { pace: Pace::default(), until: Instant::now() + within };
    let pods = trying.to(|| claiming(client, node, trying.pace.answer)).await;
    let pods = pods.map_err(|source| ClearError::List { node: node.to_owned(), source })?;
    let all = pods.len();
    let failed: Vec<_> = stream::iter(pods)
        .map(|(uid, pod)| async move {
            let clear = || patch::claim(client, &uid, &pod, Claim::Absent, trying.pace.answer);
            let error = trying.to(clear).await.err().filter(|error| !error.is_gone())?;
            Some((pod, error))
        })
        .buffered(AT_ONCE)
        .filter_map(|failed| async { failed })
        .collect()
        .await;
    if failed.is_empty() { Ok(all) } else { Err(ClearError::Pods(failed)) }
}

async fn claiming(client: &Client, node: &str, within: Duration) -> Result<Vec<(Uid, Workload)>, Error> {
    let resource = wire::pods_of(node);
    let list = List { resource: &resource, within };
    let claims = |pod: wire::Pod| {
        let wire::Meta { uid, name, namespace, annotations, .. } = pod.metadata;
        let pod = (Uid::from(uid.as_str()), Workload { name, namespace, service_account: String::new() });
        annotations.contains_key(REDIRECTION).then_some(pod)
    };
    Ok(list.all(client, claims, || ()).await?.0)
}

/// Tries until a moment.
#[derive(Clone, Copy)]
struct Trying {
    pace: Pace,
    until: Instant,
}

impl Trying {
    async fn to<T, F: Future<Output = Result<T, Error>>>(&self, attempt: impl Fn() -> F) -> Result<T, Error> {
        let mut pauses = Pauses::new(&self.pace);
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            let error = match timeout_at(self.until, attempt()).await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(error)) => error,
                Err(_) => return Err(Error::Timeout(left)),
            };
            let pause = pauses.next();
            if error.is_final() || Instant::now() + pause >= self.until {
                return Err(error);
            }
            sleep(pause).await;
        }
    }
}
