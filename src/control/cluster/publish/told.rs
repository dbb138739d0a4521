//! Trouble is told of once in a while, in however many namespaces there is some.

use std::time::Duration;

use culvert_kubernetes::Error;
use culvert_process::exit::Chain;
use tokio::time::Instant;

use super::MAP;

/// No trouble is told of more often.
const TELL: Duration = Duration::from_secs(10);

/// When trouble was told of last.
#[derive(Debug, Default)]
pub(super) struct Told {
    contest: Option<Instant>,
    failure: Option<Instant>,
}

impl Told {
    /// Somebody else writes in a namespace as often as we do, as in so many. Who it is, if the ConfigMap is there, and is said.
    pub(super) fn contest(
        &mut self,
        (namespace, by): (&str, Option<Option<&str>>),
        again_in: Duration,
        namespaces: usize,
    ) {
        if !is_time(&mut self.contest) {
            return;
        }
        let by = match by {
            Some(by) => by.unwrap_or("somebody of whom the API server has no name"),
            None => "somebody who removes it; the audit log of the API server says who",
        };
        tracing::warn!(
            namespace,
            by,
            namespaces,
            ?again_in,
            "the roots of the mesh are contested: somebody else writes the ConfigMap {MAP} as often as we do; end one of the two, or give both the same roots"
        );
    }

    /// A namespace cannot be written to, as so many.
    pub(super) fn failure(&mut self, namespace: &str, error: &Error, namespaces: usize) {
        // One that is not there goes, which is heard of.
        if error.code() != Some(404) && is_time(&mut self.failure) {
            tracing::warn!(namespace, namespaces, error = %Chain(error), "the roots of the mesh are not written there; it is tried again");
        }
    }
}

/// Tells whether something is to be told, and takes note that it is.
fn is_time(told: &mut Option<Instant>) -> bool {
    let now = Instant::now();
    let is_time = told.is_none_or(|at| now - at >= TELL);
    if is_time {
        *told = Some(now);
    }
    is_time
}
