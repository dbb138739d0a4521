//! Whether there is a pod of some name: the question, for who must not rely on what was heard so far.

use std::fmt::Debug;

use futures::future::BoxFuture;

/// What is said of one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Presence {
    /// There is one.
    There,
    /// There is none.
    Absent,
    /// The question is not answered, and why.
    Refused(String),
    /// Nobody can be asked, and why.
    Silence(String),
}

/// Whoever knows all pods.
pub(crate) trait Registry: Debug + Send + Sync {
    /// Asks, and answers within [`WITHIN`]. Both are names as Kubernetes has them.
    fn presence<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Presence>;
}

/// How long an answer may take.
pub(crate) const WITHIN: std::time::Duration = std::time::Duration::from_secs(3);
