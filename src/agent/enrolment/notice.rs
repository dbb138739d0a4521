//! What people are told of a pod: log lines, occurrences, counters, and the board.
//!
//! In go the results of jobs, out come words. An occurrence nobody has room for is counted and lost: the work does not wait.

use std::sync::Arc;

use culvert_process::exit::Chain;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::job::{Found, Outcome};
use super::state::{Hold, Pod, Reason};
use super::{Enrolment, metered, view};
use crate::board::{Occurrence, What};
use crate::pod::Uid;

/// Looks in a row at which nobody listens, until that counts: a node may be about to be replaced.
const UNTAKEN: u32 = 2;

impl Enrolment {
    /// A pod's rules are in and verified.
    pub(super) fn enrolled(&mut self, uid: &Uid, outcome: Outcome) {
        let is_first_pass = self.outlets.table.borrow().is_none();
        let Some(pod) = self.pods.get_mut(uid) else { return };
        pod.trouble = None;
        let is_new = !matches!(pod.hold, Hold::Enrolled(_));
        pod.hold.enrol(&pod.spec.workload, outcome.probes);
        let netns = pod.hold.netns().map(|netns| netns.id());
        let handed = self.tools.handed.of(uid).map(|netns| netns.id());
        let was_plain =
            outcome.found == Found::Nothing && handed != netns && (pod.spec.expected || is_first_pass);
        if was_plain {
            warn!(pod = %pod.spec.workload, %uid, "pod was running in plaintext, and is captured from here on");
            metered::found_in_plaintext();
            self.tell(uid, What::FoundInPlaintext);
        }
        if is_new && let Some(pod) = self.pods.get(uid) {
            let netns = netns.map(|netns| netns.to_string());
            info!(pod = %pod.spec.workload, %uid, netns, "pod enrolled");
            metered::enrolled();
            self.tell(uid, What::Enrolled);
        }
    }

    /// A pod's rules were not as they should be, and were repaired.
    pub(super) fn drifted(&mut self, uid: &Uid, differences: &[String]) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        pod.repairs += 1;
        let differences = differences.join("; ");
        warn!(pod = %pod.spec.workload, %uid, drift = differences, "packet rules had drifted and were repaired");
        metered::drift_repaired();
        self.tell(uid, What::Drifted { differences });
    }

    /// What a pod's rules capture is taken by nobody, or by somebody again. While no node says that it serves the pod that is nothing
    /// new; if one does, it has lost its listeners, and is told of the pod anew.
    /// Returns whether it is.
    pub(super) fn untaken(&mut self, uid: &Uid, untaken: bool) -> bool {
        let nodes = self.nodes(uid);
        let Some(pod) = self.pods.get_mut(uid) else { return false };
        pod.untaken = if untaken && nodes > 0 { pod.untaken + 1 } else { 0 };
        if pod.untaken < UNTAKEN {
            return false;
        }
        pod.untaken = 0;
        if let Hold::Enrolled(enrolled) = &pod.hold {
            pod.hold = Hold::Enrolled(Arc::new(enrolled.again()));
        }
        let differences = "nobody listens for captured connections, though a node serves the pod";
        warn!(pod = %pod.spec.workload, %uid, "{differences}; the node is told anew");
        metered::listeners_lost();
        self.tell(uid, What::Drifted { differences: differences.into() });
        true
    }

    /// How many nodes say that they serve the pod where it is.
    fn nodes(&self, uid: &Uid) -> usize {
        let netns = self.pods.get(uid).and_then(|pod| pod.hold.netns());
        netns.map_or(0, |netns| self.tools.served.of(uid, netns.id()))
    }

    /// A pod is in trouble; the same trouble again is no news.
    pub(super) fn quarantine(&mut self, uid: &Uid, reason: &Reason) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        metered::failed();
        if pod.quarantine(reason, Instant::now()) {
            let reason = Chain(reason).to_string();
            error!(pod = %pod.spec.workload, %uid, reason, "pod quarantined");
            self.tell(uid, What::Quarantined { reason });
        }
    }

    /// Nothing of ours is left in a pod.
    pub(super) fn left(&mut self, uid: &Uid) {
        self.tell(uid, What::Left);
        if let Some(pod) = self.pods.remove(uid) {
            info!(pod = %pod.spec.workload, %uid, "pod left");
        }
    }

    fn tell(&self, uid: &Uid, what: What) {
        let Some(Pod { spec, .. }) = self.pods.get(uid) else { return };
        let occurrence = Occurrence { uid: uid.clone(), workload: spec.workload.clone(), what };
        self.outlets.tell.tell(occurrence);
    }

    pub(super) fn publish_board(&self) {
        let before = Arc::clone(&self.outlets.board.borrow());
        let board = view::board(&self.looked, &self.pods, &self.tools.served, &before);
        if board != *before {
            view::count(&board);
            self.outlets.board.send_replace(Arc::new(board));
        }
    }
}
