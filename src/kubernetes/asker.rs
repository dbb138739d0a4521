//! Who asks the API server: what that program is called in log lines, and what its metrics are called.
//!
//! Names are the program's own (`culvert_agent_api_errors_total`), so that each family belongs to one program; labels and meanings are
//! the same for all of them, and are here.

use std::time::Duration;

/// A program that asks.
#[derive(Debug, Clone, Copy)]
pub struct Asker {
    /// What people call it: `agent`.
    pub name: &'static str,
    /// The counter of watches that have ended; labels `resource` and `reason`.
    pub watch_restarts: &'static str,
    /// The counter of lists and watches that failed; labels `resource`, `verb` and `reason`.
    pub api_errors: &'static str,
    /// The gauge of seconds since the server was last heard of what is followed, or since the start.
    pub view_age: &'static str,
}

impl Asker {
    /// Says what each of its metrics means.
    pub fn describe(&self) {
        metrics::describe_counter!(
            self.watch_restarts,
            "Watches of the API server that have ended, by resource and reason (unstable)."
        );
        metrics::describe_counter!(
            self.api_errors,
            "Lists and watches that failed, by resource, verb and reason (unstable)."
        );
        metrics::describe_gauge!(
            self.view_age,
            metrics::Unit::Seconds,
            "Time since the API server was last heard of the resource it was heard of longest ago; of one that was never heard, since the start (unstable)."
        );
    }

    /// A watch has ended.
    pub(crate) fn watch_restarted(&self, resource: &'static str, reason: &'static str) {
        metrics::counter!(self.watch_restarts, "resource" => resource, "reason" => reason).increment(1);
    }

    /// A list or a watch has failed.
    pub(crate) fn api_error(&self, resource: &'static str, verb: &'static str, reason: &'static str) {
        metrics::counter!(self.api_errors, "resource" => resource, "verb" => verb, "reason" => reason)
            .increment(1);
    }

    /// For how long nothing was heard.
    pub(crate) fn aged(&self, age: Duration) {
        metrics::gauge!(self.view_age).set(age.as_secs_f64());
    }
}
