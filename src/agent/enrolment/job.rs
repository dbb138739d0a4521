//! The blocking work on one pod: programming, verifying and removing its rules.
//!
//! A job is never interrupted; the rules' own deadlines bound it. What follows from its result is decided elsewhere.

use std::sync::Arc;

use culvert_sys::netns::Netns;

use super::plan::Departure;
use super::state::Reason;
use crate::pod::{Capture, Uid};
use crate::rules::{Cause, PacketRules};

/// One job.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) uid: Uid,
    pub(crate) kind: Kind,
    /// The pod's name, for the rules' own errors.
    pub(crate) pod: String,
    pub(crate) netns: Arc<Netns>,
    pub(crate) capture: Arc<Capture>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Rules in, and verified.
    Program,
    /// Rules compared, and repaired where they differ.
    Verify,
    /// No new connections captured.
    Release(Departure),
    /// Rules out, when no connection depends on them.
    Withdraw(Departure),
}

/// How a job ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) uid: Uid,
    pub(crate) kind: Kind,
    /// The drift that was found and repaired.
    pub(crate) result: Result<Vec<String>, Reason>,
}

impl Job {
    /// Does the work on the blocking pool.
    pub(crate) async fn run(self, rules: Arc<dyn PacketRules>) -> Done {
        let (uid, kind) = (self.uid.clone(), self.kind);
        let work = tokio::task::spawn_blocking(move || self.work(rules.as_ref()));
        let result = work.await.unwrap_or_else(|panic| Err(kind.failed(panic.into())));
        Done { uid, kind, result }
    }

    fn work(&self, rules: &dyn PacketRules) -> Result<Vec<String>, Reason> {
        let failed = |cause| self.kind.failed(cause);
        match self.kind {
            Kind::Program => self.program(rules).map(|()| Vec::new()),
            Kind::Verify => {
                let drift = rules.verify(&self.pod, &self.netns, &self.capture.rules).map_err(failed)?;
                if drift.is_empty() {
                    rules.look_after(&self.pod, &self.netns, &self.capture.rules);
                } else {
                    self.program(rules)?;
                }
                Ok(drift)
            }
            Kind::Release(_) => rules.release(&self.pod, &self.netns).map(|()| Vec::new()).map_err(failed),
            Kind::Withdraw(_) if rules.carries(&self.netns).map_err(failed)? => Err(Reason::Carried),
            Kind::Withdraw(_) => rules.remove(&self.pod, &self.netns).map(|()| Vec::new()).map_err(failed),
        }
    }

    fn program(&self, rules: &dyn PacketRules) -> Result<(), Reason> {
        let failed = |cause| self.kind.failed(cause);
        rules.apply(&self.pod, &self.netns, &self.capture.rules).map_err(failed)?;
        let drift = rules.verify(&self.pod, &self.netns, &self.capture.rules).map_err(failed)?;
        if drift.is_empty() { Ok(()) } else { Err(Reason::Unsteady { drift }) }
    }
}

impl Kind {
    fn failed(self, cause: Cause) -> Reason {
        match self {
            Self::Program | Self::Verify => Reason::Program(cause),
            Self::Release(_) | Self::Withdraw(_) => Reason::Remove(cause),
        }
    }
}
