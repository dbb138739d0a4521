//! What families mean that are counted where there is no room for a text.

use metrics::{describe_counter, describe_gauge};

/// Describes them, once at start.
pub(super) fn describe() {
    describe_gauge!("culvert_agent_nodes_connected", "Node programs that are connected (unstable).");
    describe_gauge!("culvert_agent_open_files_limit", "Files the agent may have open at once (unstable).");
    describe_gauge!(
        "culvert_agent_open_files_needed",
        "Files the agent needs to have open for the pods that are wished for (unstable)."
    );
    describe_counter!(
        "culvert_agent_node_refusals_total",
        "Requests to serve a pod that a node program refused (unstable)."
    );
    describe_counter!(
        "culvert_agent_occurrences_lost_total",
        "Things that happened and could not be told of, because too much did (unstable)."
    );
    describe_counter!(
        "culvert_agent_host_drift_repaired_total",
        "Times the node's own rules were not as they should be, and were repaired (unstable)."
    );
    describe_counter!(
        "culvert_agent_host_failures_total",
        "Attempts to program the node's own rules that failed (unstable)."
    );
}
