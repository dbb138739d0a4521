//! Whether anything runs in a pod, by what kubelet says of its containers.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// Whether something may still run in a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Life {
    /// It may; also when it has not begun, or is being deleted.
    Going,
    /// Nothing does, and nothing will.
    Ended,
}

/// What kubelet says of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(from = "Written")]
pub enum Container {
    /// It does not run yet, or not again yet.
    Waiting,
    /// It runs.
    Running,
    /// It has ended; unless its pod has as well it may be started again.
    Ended,
}

/// As much of a pod's status as tells whether it is over.
#[derive(Debug, Clone, Copy)]
pub struct Status<'a> {
    /// The phase, as it is written.
    pub phase: &'a str,
    /// Whether somebody has asked for the pod to be deleted.
    pub deleting: bool,
    /// Its containers.
    pub containers: &'a [Container],
    /// Those that run before the others, or beside them.
    pub init: &'a [Container],
    /// Those of people who look into it.
    pub ephemeral: &'a [Container],
}

impl Status<'_> {
    /// Tells whether something may still run.
    ///
    /// A pod is over only when its status says so of all of its containers. A status may lag behind, and a pod that is let go too
    /// early would go on in plaintext, or without an identity: an evicted pod is `Failed` while its containers still have time to
    /// end, and one that is deleted before its first status has been written has no containers in it at all.
    #[must_use]
    pub fn life(&self) -> Life {
        let containers = || [self.containers, self.init, self.ephemeral].into_iter().flatten();
        let terminal = matches!(self.phase, "Succeeded" | "Failed");
        let some_runs = containers().any(|it| *it == Container::Running);
        let all_ended = !self.containers.is_empty() && containers().all(|it| *it == Container::Ended);
        if (terminal && !some_runs) || (self.deleting && all_ended) { Life::Ended } else { Life::Going }
    }
}

#[derive(Deserialize)]
struct Written {
    state: Option<State>,
}

/// Which of the three it is in; what more is said of them does not matter.
#[derive(Deserialize)]
struct State {
    running: Option<IgnoredAny>,
    terminated: Option<IgnoredAny>,
}

impl From<Written> for Container {
    fn from(Written { state }: Written) -> Self {
        match state {
            Some(State { running: Some(_), .. }) => Self::Running,
            Some(State { terminated: Some(_), .. }) => Self::Ended,
            Some(State { running: None, terminated: None }) | None => Self::Waiting,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Container::{Ended, Running, Waiting};
    use super::*;

    #[test]
    fn a_pod_is_over_only_when_nothing_runs_in_it() {
        let check = |name: &str, deleting: bool, phase: &str, containers: &[Container], expected: Life| {
            let status = Status { phase, deleting, containers, init: &[], ephemeral: &[] };
            assert_eq!(status.life(), expected, "{name}");
        };
        check("runs", false, "Running", &[Running], Life::Going);
        check("has not begun", false, "Pending", &[], Life::Going);
        check("says nothing", false, "", &[], Life::Going);
        check("between two attempts", false, "Running", &[Ended], Life::Going);
        check("succeeded", false, "Succeeded", &[Ended], Life::Ended);
        check("rejected by kubelet", false, "Failed", &[], Life::Ended);
        check("evicted, still ending", false, "Failed", &[Running], Life::Going);
        check("deleted, still running", true, "Running", &[Ended, Running], Life::Going);
        check("deleted, all ended", true, "Running", &[Ended, Ended], Life::Ended);
        check("deleted before its first status", true, "Pending", &[], Life::Going);
        check("deleted, perhaps just starting", true, "Pending", &[Waiting], Life::Going);
    }

    #[test]
    fn whatever_else_runs_in_it_counts() {
        let status = |init: &[Container], ephemeral: &[Container]| {
            Status { phase: "Failed", deleting: true, containers: &[Ended], init, ephemeral }.life()
        };
        assert_eq!(status(&[Ended], &[Ended]), Life::Ended);
        assert_eq!(status(&[Running], &[]), Life::Going, "a sidecar");
        assert_eq!(status(&[], &[Running]), Life::Going, "somebody looks into it");
        let status =
            Status { phase: "", deleting: true, containers: &[Ended], init: &[Waiting], ephemeral: &[] };
        assert_eq!(status.life(), Life::Going, "an init container that waits");
    }

    #[test]
    fn a_container_is_in_one_of_three_states() {
        for (json, expected) in [
            (r#"{"name": "web", "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}"#, Running),
            (r#"{"state": {"terminated": {"exitCode": 0}}}"#, Ended),
            (r#"{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}"#, Waiting),
            (r#"{"state": {}}"#, Waiting),
            (r#"{"state": null}"#, Waiting),
            ("{}", Waiting),
        ] {
            assert_eq!(serde_json::from_str::<Container>(json).unwrap(), expected, "{json}");
        }
    }
}
