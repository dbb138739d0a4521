//! The metrics of this part: names, labels and meanings in one place.

use culvert_kubernetes::Asker;

/// Who asks the API server.
pub(super) const AGENT: Asker = Asker {
    name: "agent",
    watch_restarts: "culvert_agent_watch_restarts_total",
    api_errors: "culvert_agent_api_errors_total",
    view_age: "culvert_agent_view_age_seconds",
};

const PODS: &str = "culvert_agent_pods_wanted";
const ANNOTATIONS: &str = "culvert_agent_annotations_total";
const EVENTS: &str = "culvert_agent_events_total";

/// Says what each of them means.
pub(crate) fn describe() {
    AGENT.describe();
    metrics::describe_gauge!(
        PODS,
        "Pods of this node, by whether they shall be in the mesh, or why not (unstable)."
    );
    metrics::describe_counter!(
        ANNOTATIONS,
        "Annotations written to pods, by what was written or why it was not (unstable)."
    );
    metrics::describe_counter!(EVENTS, "Events about pods, by what has become of them (unstable).");
}

/// How many pods there are of a kind.
pub(super) fn pods(wish: &'static str, count: usize) {
    metrics::gauge!(PODS, "wish" => wish).set(count as f64);
}

/// What has become of an annotation.
pub(super) fn annotation(result: &'static str) {
    metrics::counter!(ANNOTATIONS, "result" => result).increment(1);
}

/// What has become of an event.
pub(super) fn event(result: &'static str) {
    metrics::counter!(EVENTS, "result" => result).increment(1);
}
