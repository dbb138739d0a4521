//! Enrolled pods are looked at for as long as they live: all of them in rounds, and those in which something has changed at once.
//!
//! In go rounds and changes, out come jobs, never so many that pods which come or go would have to wait; and what follows from what a
//! look has found.

use super::Enrolment;
use super::job::{Found, Kind};
use super::state::{Hold, Pod, Work};
use crate::pod::Uid;

/// Pods being verified at once. Some need long: whoever rules in a pod decides how much there is to look at.
const WIDTH: usize = super::WIDTH / 2;

impl Enrolment {
    /// Something has changed in a pod's namespace.
    pub(super) fn suspect(&mut self, uid: Uid) {
        if !self.suspects.contains(&uid) {
            self.suspects.push_back(uid);
        }
    }

    /// Starts to verify all enrolled pods, unless the last round is still going on.
    pub(super) fn begin_round(&mut self) {
        if self.unverified.is_empty() {
            let enrolled =
                |(uid, pod): (&Uid, &Pod)| matches!(pod.hold, Hold::Enrolled(_)).then(|| uid.clone());
            self.unverified = self.pods.iter().filter_map(enrolled).collect();
        }
    }

    /// Verifies as many pods as there is room for. Those of the round and those in which something has changed take turns, so that no
    /// pod which changes all the time keeps the others from being looked at.
    pub(super) fn verify_next(&mut self) {
        while self.jobs.len() < super::WIDTH
            && self.verifying < WIDTH
            && let Some(uid) = self.next_to_verify()
        {
            self.start(&uid, Kind::Verify);
        }
    }

    fn next_to_verify(&mut self) -> Option<Uid> {
        self.suspects_turn = !self.suspects_turn;
        if self.suspects_turn {
            self.next_suspect().or_else(|| self.next_of_round())
        } else {
            self.next_of_round().or_else(|| self.next_suspect())
        }
    }

    fn next_of_round(&mut self) -> Option<Uid> {
        while let Some(uid) = self.unverified.pop_front() {
            if self.pods.get(&uid).is_some_and(|pod| is_settled(pod) && pod.work == Work::Idle) {
                return Some(uid);
            }
        }
        None
    }

    /// Those that are being worked on stay: the change may have come after the look.
    fn next_suspect(&mut self) -> Option<Uid> {
        let pods = &self.pods;
        self.suspects.retain(|uid| pods.get(uid).is_some_and(is_settled));
        let idle = self.suspects.iter().position(|uid| pods[uid].work == Work::Idle)?;
        self.suspects.remove(idle)
    }

    /// What follows from a look at a pod.
    pub(super) fn verified(&mut self, uid: &Uid, found: Found) {
        match found {
            Found::Drift(differences) => self.drifted(uid, &differences),
            Found::Intact { fingerprint, taken } => {
                if let Some(pod) = self.pods.get_mut(uid) {
                    pod.intact = fingerprint;
                }
                self.stirred = self.untaken(uid, !taken);
            }
            Found::Ours | Found::Nothing => {}
        }
        self.watch(uid);
    }
}

/// Whether the pod is in, and nothing is known to be wrong with it.
fn is_settled(pod: &Pod) -> bool {
    matches!(pod.hold, Hold::Enrolled(_)) && pod.trouble.is_none()
}
