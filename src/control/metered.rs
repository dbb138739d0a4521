//! The metrics of this program: names, labels and meanings in one place.

use std::time::Duration;

use metrics::Unit;

const ISSUED: &str = "culvert_control_certificates_issued_total";
const REFUSED: &str = "culvert_control_certificates_refused_total";
const ANSWERING: &str = "culvert_control_certificate_duration_seconds";

/// Says what each of them means.
pub(crate) fn describe() {
    metrics::describe_counter!(ISSUED, "Certificates issued to workloads (unstable).");
    metrics::describe_counter!(REFUSED, "Requests for certificates that were refused, by reason (unstable).");
    metrics::describe_histogram!(
        ANSWERING,
        Unit::Seconds,
        "How long it took to answer requests for certificates (unstable)."
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
