//! The metrics of this program: names, labels and meanings in one place.

use std::time::Duration;

use metrics::Unit;

const ISSUED: &str = "culvert_control_certificates_issued_total";
const REFUSED: &str = "culvert_control_certificates_refused_total";
const ANSWERING: &str = "culvert_control_certificate_duration_seconds";
const REVIEWS: &str = "culvert_control_token_reviews_total";
const REVIEWING: &str = "culvert_control_token_review_duration_seconds";
const OVERDUE: &str = "culvert_control_overdue_reviews_total";
const LOOKUPS: &str = "culvert_control_pod_lookups_total";
const LIMITED: &str = "culvert_control_limited_total";
const LOOKING_UP: &str = "culvert_control_pod_lookup_duration_seconds";
const UNDONE: &str = "culvert_control_root_maps_undone_total";
const CONTESTED: &str = "culvert_control_root_maps_contested";

/// The bounds of the histograms, in seconds.
pub(crate) const BUCKETS: [(&str, &[f64]); 3] =
    [(ANSWERING, &SECONDS), (REVIEWING, &SECONDS), (LOOKING_UP, &SECONDS)];

const SECONDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// Says what each of them means.
pub(crate) fn describe() {
    metrics::describe_counter!(ISSUED, "Certificates issued to workloads (unstable).");
    metrics::describe_counter!(REFUSED, "Requests for certificates that were refused, by reason (unstable).");
    metrics::describe_histogram!(
        ANSWERING,
        Unit::Seconds,
        "How long it took to answer requests for certificates (unstable)."
    );
    metrics::describe_counter!(REVIEWS, "Tokens the API server was asked about, by result (unstable).");
    metrics::describe_histogram!(
        REVIEWING,
        Unit::Seconds,
        "How long it took to have tokens reviewed (unstable)."
    );
    metrics::describe_counter!(
        OVERDUE,
        "Callers that were believed on an old review, because the API server could not be asked (unstable)."
    );
    metrics::describe_counter!(
        LIMITED,
        "Connections that were closed and calls that were refused because there were too many or they took too long, by limit (unstable)."
    );
    metrics::describe_counter!(
        LOOKUPS,
        "Pods that were looked up because an identity was asked for of which nothing was known, by result (unstable)."
    );
    metrics::describe_histogram!(LOOKING_UP, Unit::Seconds, "How long it took to look pods up (unstable).");
    metrics::describe_counter!(
        UNDONE,
        "ConfigMaps with the roots of the mesh that somebody else has changed or removed after we had written them (unstable)."
    );
    metrics::describe_gauge!(
        CONTESTED,
        "Namespaces in which somebody else writes the roots of the mesh again and again (unstable)."
    );
}

/// A request for a certificate was answered, or refused for a reason.
pub(crate) fn certificate(answer: Result<(), &'static str>, took: Duration) {
    match answer {
        Ok(()) => metrics::counter!(ISSUED).increment(1),
        Err(reason) => metrics::counter!(REFUSED, "reason" => reason).increment(1),
    }
    metrics::histogram!(ANSWERING).record(took);
}

/// The API server was asked about a token.
pub(crate) fn review(result: &'static str, took: Duration) {
    metrics::counter!(REVIEWS, "result" => result).increment(1);
    metrics::histogram!(REVIEWING).record(took);
}

/// An old review was believed.
pub(crate) fn overdue() {
    metrics::counter!(OVERDUE).increment(1);
}

/// The API server was asked about pods, or not even that.
pub(crate) fn lookup(result: &'static str, took: Duration) {
    metrics::counter!(LOOKUPS, "result" => result).increment(1);
    metrics::histogram!(LOOKING_UP).record(took);
}

/// Somebody else has changed what we had written for a namespace.
pub(crate) fn undone() {
    metrics::counter!(UNDONE).increment(1);
}

/// In so many namespaces somebody else writes as often as we do.
pub(crate) fn contested(namespaces: usize) {
    metrics::gauge!(CONTESTED).set(u32::try_from(namespaces).unwrap_or(u32::MAX));
}

/// A connection was closed or a call refused for the sake of a limit.
pub(crate) fn limited(limit: &'static str) {
    metrics::counter!(LIMITED, "limit" => limit).increment(1);
}
