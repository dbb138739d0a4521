//! What became of log lines that could not be written.

use culvert_metrics::Collected;
use culvert_process::log;

/// Looks at how many there are.
pub(super) fn look() -> Vec<Collected> {
    let dropped =
        "Log lines that were lost, because nobody read them in time or stdout did not take them (unstable).";
    let errors = "Writes of log lines that failed (unstable).";
    vec![
        Collected::counter("culvert_log_lines_dropped_total", dropped).with(&[], log::dropped() as f64),
        Collected::counter("culvert_log_write_errors_total", errors).with(&[], log::write_errors() as f64),
    ]
}
