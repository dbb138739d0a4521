//! What families mean that are counted where there is no room for a text. Those without "(unstable)" keep their names and labels.

use metrics::{describe_counter, describe_gauge, describe_histogram};

/// Describes them, once at start.
pub(super) fn describe() {
    for (name, text) in GAUGES {
        describe_gauge!(*name, *text);
    }
    for (name, text) in COUNTERS {
        describe_counter!(*name, *text);
    }
    let (name, _) = super::certificates::DURATION;
    describe_histogram!(name, "How long calls to the certificate authority took (unstable).");
}

const GAUGES: &[(&str, &str)] = &[
    ("istio_build", "What this is, and of which version."),
    ("culvert_build_info", "The version of Culvert, and what its cryptography is done by (unstable)."),
    ("workload_manager_active_proxy_count", "Pods that are served (unstable)."),
    ("workload_manager_pending_proxy_count", "Pods that could not be served yet (unstable)."),
    ("culvert_agent_connected", "Whether the node agent is connected (unstable)."),
    ("culvert_control_plane_up", "Whether a service of the control plane answers (unstable)."),
    ("culvert_control_plane_since_seconds", "Since when it does, or does not, since 1970 (unstable)."),
    (
        "culvert_xds_last_update_timestamp_seconds",
        "When the control plane last sent something, since 1970 (unstable).",
    ),
];

/// For a test.
#[cfg(test)]
pub(super) const ALL: [&[(&str, &str)]; 2] = [GAUGES, COUNTERS];

const COUNTERS: &[(&str, &str)] = &[
    (
        "istio_xds_connection_terminations_total",
        "Streams to the control plane that ended or could not be opened, by reason (unstable).",
    ),
    ("istio_xds_message_total", "Messages of the control plane, by what they are about (unstable)."),
    (
        "istio_xds_message_bytes_total",
        "Bytes of resources in messages of the control plane, by what they are about (unstable).",
    ),
    ("workload_manager_proxies_started_total", "Pods that began to be served (unstable)."),
    ("workload_manager_proxies_stopped_total", "Pods that ceased to be served (unstable)."),
    ("culvert_ca_requests_total", "Calls to whoever issues certificates, by result (unstable)."),
    ("culvert_tunnel_handshakes_total", "Attempts to bring a tunnel up, by result (unstable)."),
    (
        "culvert_accept_errors_total",
        "Times connections could not be accepted, for lack of descriptors for instance (unstable).",
    ),
];
