//! The metrics of this part: names, labels and meanings in one place.

use std::time::Duration;

const WATCH_RESTARTS: &str = "culvert_agent_watch_restarts_total";
const API_ERRORS: &str = "culvert_agent_api_errors_total";
const VIEW_AGE: &str = "culvert_agent_view_age_seconds";
const PODS: &str = "culvert_agent_pods_wanted";
const ANNOTATIONS: &str = "culvert_agent_annotations_total";
const EVENTS: &str = "culvert_agent_events_total";

/// Says what each of them means.
pub(crate) fn describe() {
    metrics::describe_counter!(
        WATCH_RESTARTS,
        "Watches of the API server that have ended, by resource and reason (unstable)."
    );
    metrics::describe_counter!(
        API_ERRORS,
        "Lists and watches that failed, by resource, verb and reason (unstable)."
    );
    metrics::describe_gauge!(
        VIEW_AGE,
        metrics::Unit::Seconds,
        "Time since the API server was last heard of pods and of namespaces (unstable)."
    );
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

/// A watch has ended.
pub(super) fn watch_restarted(resource: &'static str, reason: &'static str) {
    metrics::counter!(WATCH_RESTARTS, "resource" => resource, "reason" => reason).increment(1);
}

/// A list or a watch has failed.
pub(super) fn api_error(resource: &'static str, verb: &'static str, reason: &'static str) {
    metrics::counter!(API_ERRORS, "resource" => resource, "verb" => verb, "reason" => reason).increment(1);
}

/// How long nothing was heard.
pub(super) fn view_age(age: Duration) {
    metrics::gauge!(VIEW_AGE).set(age.as_secs_f64());
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
