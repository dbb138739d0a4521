//! The metrics of this part: names, labels and meanings in one place.

use metrics::{counter, describe_counter, describe_gauge, gauge};

const PODS: &str = "culvert_agent_pods";
const ENROLLED: &str = "culvert_agent_pods_enrolled_total";
const FOUND_IN_PLAINTEXT: &str = "culvert_agent_pods_found_in_plaintext_total";
const DRIFT_REPAIRED: &str = "culvert_agent_drift_repaired_total";
const LISTENERS_LOST: &str = "culvert_agent_listeners_lost_total";
const FAILURES: &str = "culvert_agent_pod_failures_total";

/// Says what each of them means.
pub(super) fn describe() {
    describe_gauge!(PODS, "Pods the agent has to do with, by how far they are (unstable).");
    describe_counter!(ENROLLED, "Pods whose packet rules were put in and verified (unstable).");
    describe_counter!(
        FOUND_IN_PLAINTEXT,
        "Pods that ran uncaptured though they were believed to be in the mesh (unstable)."
    );
    describe_counter!(
        DRIFT_REPAIRED,
        "Pods whose packet rules were not as they should be, and were repaired (unstable)."
    );
    describe_counter!(LISTENERS_LOST, "Pods a node said it serves where nobody was listening (unstable).");
    describe_counter!(
        FAILURES,
        "Attempts on pods that failed: to program, verify, release or clean them (unstable)."
    );
}

/// How many pods are in a state.
pub(super) fn pods(state: &'static str, count: usize) {
    gauge!(PODS, "state" => state).set(count as f64);
}

pub(super) fn enrolled() {
    counter!(ENROLLED).increment(1);
}

pub(super) fn found_in_plaintext() {
    counter!(FOUND_IN_PLAINTEXT).increment(1);
}

pub(super) fn drift_repaired() {
    counter!(DRIFT_REPAIRED).increment(1);
}

pub(super) fn listeners_lost() {
    counter!(LISTENERS_LOST).increment(1);
}

pub(super) fn failed() {
    counter!(FAILURES).increment(1);
}
