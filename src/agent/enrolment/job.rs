//! The blocking work on one pod: programming, verifying and removing its rules.
//!
//! A job is never interrupted; the rules' own deadlines bound it. What follows from its result is decided elsewhere.

use std::sync::Arc;

use culvert_sys::netns::Netns;
use culvert_zds::Probes;
use ebpf_free_iptables::Applied;
use tracing::{debug, warn};

use super::plan::Departure;
use super::state::Reason;
use crate::pod::{Capture, Uid};
use crate::probes;
use crate::rules::{Cause, Fingerprint, PacketRules};

/// One job.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) uid: Uid,
    pub(crate) kind: Kind,
    /// The pod's name, for the rules' own errors.
    pub(crate) pod: String,
    pub(crate) netns: Arc<Netns>,
    pub(crate) capture: Arc<Capture>,
    /// How the namespace looked when all was last as it should be.
    pub(crate) intact: Option<Fingerprint>,
    /// Where kubelet probes the pod from.
    pub(crate) host: Arc<Netns>,
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
    pub(crate) result: Result<Outcome, Reason>,
}

/// What a job that succeeded has found.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) found: Found,
    /// What nodes are told of the pod while it is enrolled, if that could be found out: what they know already may be right.
    pub(crate) probes: Option<Probes>,
}

/// What was in the namespace before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Something of ours, more or less.
    Ours,
    /// Nothing of ours: it has been put in.
    Nothing,
    /// All that should be, and that is how it looks. Whether somebody takes what is captured is another matter.
    Intact { fingerprint: Option<Fingerprint>, taken: bool },
    /// Something else than what should be, in words; it was repaired.
    Drift(Vec<String>),
}

impl Job {
    /// Does the work on the blocking pool.
    pub(crate) async fn run(self, rules: Arc<dyn PacketRules>) -> Done {
        let (uid, kind) = (self.uid.clone(), self.kind);
        let work = tokio::task::spawn_blocking(move || self.work(rules.as_ref()));
        let result = work.await.unwrap_or_else(|panic| Err(kind.failed(panic.into())));
        Done { uid, kind, result }
    }

    fn work(&self, rules: &dyn PacketRules) -> Result<Outcome, Reason> {
        let failed = |cause| self.kind.failed(cause);
        let found = match self.kind {
            Kind::Program => self.program(rules)?,
            Kind::Verify => self.verify(rules)?,
            Kind::Release(_) => {
                rules.release(&self.pod, &self.netns).map_err(failed)?;
                return Ok(Outcome { found: Found::Ours, probes: None });
            }
            Kind::Withdraw(_) if rules.carries(&self.netns).map_err(failed)? => return Err(Reason::Carried),
            Kind::Withdraw(_) => {
                rules.remove(&self.pod, &self.netns).map_err(failed)?;
                return Ok(Outcome { found: Found::Nothing, probes: None });
            }
        };
        // With every look: the host's addresses may change while the pod is enrolled.
        Ok(Outcome { found, probes: self.probes() })
    }

    fn probes(&self) -> Option<Probes> {
        let found = probes::of_pod(&self.host, &self.netns, &self.capture);
        let complain = |error: &std::io::Error| {
            warn!(pod = self.pod, uid = %self.uid, %error, "cannot find out where kubelet probes the pod from; trying again");
        };
        found.inspect_err(complain).ok()
    }

    /// What looks as it did when all was well need not be compared: thousands of comparisons a minute are what a full node costs.
    fn verify(&self, rules: &dyn PacketRules) -> Result<Found, Reason> {
        let (failed, options) = (|cause| self.kind.failed(cause), &self.capture.rules);
        let fingerprint = rules.fingerprint(&self.netns);
        let fingerprint =
            fingerprint.inspect_err(|error| debug!(pod = self.pod, %error, "no fingerprint")).ok();
        if fingerprint.is_none() || self.intact != fingerprint {
            let drift = rules.verify(&self.pod, &self.netns, options).map_err(failed)?;
            if !drift.is_empty() {
                self.program(rules)?;
                return Ok(Found::Drift(drift));
            }
        }
        let taken = rules.is_taken(&self.pod, &self.netns, options).map_err(failed)?;
        Ok(Found::Intact { fingerprint, taken })
    }

    fn program(&self, rules: &dyn PacketRules) -> Result<Found, Reason> {
        let (failed, options) = (|cause| self.kind.failed(cause), &self.capture.rules);
        let applied = rules.apply(&self.pod, &self.netns, options).map_err(failed)?;
        let drift = rules.verify(&self.pod, &self.netns, options).map_err(failed)?;
        if !drift.is_empty() {
            return Err(Reason::Unsteady { drift });
        }
        Ok(if applied == Applied::Installed { Found::Nothing } else { Found::Ours })
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
