//! The metrics of the plugin's requests: how many, with which result, and how long they took.

use std::time::Duration;

use culvert_cni::message::Answer;

use super::Failure;

const REQUESTS: &str = "culvert_agent_cni_requests_total";

/// The histogram, and its bounds in seconds.
pub(crate) const DURATION: (&str, &[f64]) = (
    "culvert_agent_cni_request_duration_seconds",
    &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0],
);

/// Says what is measured.
pub(crate) fn describe_metrics() {
    metrics::describe_counter!(REQUESTS, "Requests of the CNI plugin, by command and result (unstable).");
    metrics::describe_histogram!(
        DURATION.0,
        metrics::Unit::Seconds,
        "How long requests of the CNI plugin took, by command (unstable)."
    );
}

pub(super) fn count(command: &'static str, result: &Result<Answer, Failure>, took: Duration) {
    let result = match result {
        Ok(Answer { enrolled: true, .. }) => "enrolled",
        Ok(Answer { enrolled: false, .. }) => "passed",
        Err(Failure::Invalid(_)) => "invalid",
        Err(Failure::Retry(_)) => "refused",
        Err(Failure::NotReady(_)) => "not_ready",
    };
    metrics::counter!(REQUESTS, "command" => command, "result" => result).increment(1);
    metrics::histogram!(DURATION.0, "command" => command).record(took.as_secs_f64());
}
