//! What people read of an occurrence.

use crate::board::What;

/// The parts of an event that depend on what has happened.
#[derive(Debug)]
pub(super) struct Notice {
    pub(super) reason: &'static str,
    pub(super) action: &'static str,
    pub(super) is_warning: bool,
    pub(super) note: String,
}

impl Notice {
    pub(super) fn of(what: &What) -> Self {
        let normal =
            |reason, action, note: &str| Self { reason, action, is_warning: false, note: note.to_owned() };
        let warning = |reason, action, note| Self { reason, action, is_warning: true, note };
        match what {
            What::Enrolled => {
                normal("CulvertEnrolled", "Enrol", "The pod is in the mesh: its traffic is captured, and a node serves it.")
            }
            What::FoundInPlaintext => warning(
                "CulvertFoundInPlaintext",
                "Enrol",
                "The pod ran without its traffic being captured although it should be in the mesh. What it has sent so far may \
                 have gone out in plaintext. It is enrolled from here on."
                    .to_owned(),
            ),
            What::Drifted { differences } => warning(
                "CulvertDriftRepaired",
                "Repair",
                format!(
                    "Something else has changed the pod's packet rules; they have been repaired. What was different: {differences}"
                ),
            ),
            What::Quarantined { reason } => {
                warning("CulvertQuarantined", "Enrol", format!("The pod is set aside, and tried again: {reason}"))
            }
            What::Misannotated { complaint } => warning("CulvertMisannotated", "Decide", complaint.clone()),
            What::Left => normal("CulvertLeft", "Release", "The pod is no longer in the mesh; its traffic is as without one."),
        }
    }
}
