//! Says that following a resource fails, once for each way it does, and that it works again.

use culvert_process::exit::Chain;
use tracing::{debug, error, info, warn};

use crate::asker::Asker;
use crate::call::Error;

/// How following one resource goes.
pub(super) struct Trouble {
    resource: &'static str,
    asker: Asker,
    /// What fails, and how.
    last: Option<(&'static str, &'static str)>,
}

impl Trouble {
    pub(super) fn new(resource: &'static str, asker: Asker) -> Self {
        Self { resource, asker, last: None }
    }

    /// `verb` has failed.
    pub(super) fn met(&mut self, verb: &'static str, error: &Error) {
        let (resource, reason, asker) = (self.resource, error.reason(), self.asker.name);
        self.asker.api_error(resource, verb, reason);
        let is_new = self.last.replace((verb, reason)) != Some((verb, reason));
        let error = Chain(error);
        match reason {
            "forbidden" if is_new => error!(
                resource, verb, %error,
                "not allowed; give the {asker}'s service account a ClusterRole with get, list and watch on {resource}"
            ),
            _ if is_new => {
                warn!(resource, verb, %error, "the API server does not say what there is, trying again")
            }
            _ => debug!(resource, verb, %error, "the API server still does not say what there is"),
        }
    }

    /// `verb` has worked.
    pub(super) fn over(&mut self, verb: &'static str) {
        if self.last.is_some_and(|(failed, _)| failed == verb) {
            info!(resource = self.resource, verb, "the API server answers again");
            self.last = None;
        }
    }
}
