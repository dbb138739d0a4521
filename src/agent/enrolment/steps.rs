//! Taking the steps of the plan, and what follows when the work is done.
//!
//! In go steps and finished jobs, out come jobs and changed pods. What the next step is, the plan says.

use std::sync::Arc;

use culvert_process::exit::Chain;
use culvert_sys::netns::Netns;
use tokio::time::Instant;
use tracing::{error, warn};

use super::job::{Done, Job, Kind};
use super::plan::{self, Action, Departure, Step};
use super::state::{Hold, Pod, Reason, Work};
use super::{Enrolment, PARTING, WIDTH};
use crate::namespaces::Host;
use crate::pod::{PodSpec, Uid};
use crate::table::Enrolled;

impl Enrolment {
    /// Returns whether anything changed, so that there may be a next step.
    pub(super) fn take_steps(&mut self) -> bool {
        let steps = plan::plan(&self.looked, &self.pods, &self.tools.host, Instant::now());
        let mut changed = false;
        for step in steps {
            changed |= self.take(step);
        }
        changed
    }

    fn take(&mut self, Step { uid, action }: Step) -> bool {
        match action {
            Action::Program(..) | Action::Release(_) | Action::Withdraw(_) if self.jobs.len() >= WIDTH => {
                self.crowded = true;
                return false;
            }
            Action::Program(spec, netns) => self.program(&uid, spec, netns),
            Action::Release(why) => self.start(&uid, Kind::Release(why)),
            Action::Withdraw(why) => self.start(&uid, Kind::Withdraw(why)),
            Action::Refuse(spec, reason) => {
                let pod = self.pods.entry(uid.clone()).or_insert_with(|| Pod::new(spec.clone()));
                pod.spec = spec;
                self.quarantine(&uid, &reason);
            }
            Action::Abandon => self.abandon(&uid),
            Action::Rename(spec) => self.rename(&uid, spec),
            Action::Forget => {
                self.pods.remove(&uid);
            }
        }
        true
    }

    fn program(&mut self, uid: &Uid, spec: PodSpec, netns: Arc<Netns>) {
        let placed = self.pods.values().filter(|pod| pod.hold.netns().is_some()).count();
        let room = self.tools.budget.admit(placed, self.looked.wanted.len());
        let pod = self.pods.entry(uid.clone()).or_insert_with(|| Pod::new(spec.clone()));
        pod.spec = spec;
        match (&pod.hold, room) {
            (Hold::Nothing, Err(full)) => return self.quarantine(uid, &Reason::Full(full)),
            (Hold::Nothing, Ok(())) => pod.hold = Hold::Touched(netns),
            (Hold::Touched(_) | Hold::Enrolled(_) | Hold::Released(..), _) => {}
        }
        self.start(uid, Kind::Program);
    }

    pub(super) fn start(&mut self, uid: &Uid, kind: Kind) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        let Some(job) = job(uid, pod, kind, &self.tools.host) else { return };
        pod.work = Work::Busy;
        if kind == Kind::Verify {
            self.verifying += 1;
        }
        self.jobs.spawn(job.run(Arc::clone(&self.tools.rules)));
    }

    fn abandon(&mut self, uid: &Uid) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        let netns = pod.hold.netns().map(|netns| netns.id().to_string());
        warn!(pod = %pod.spec.workload, %uid, netns, "network namespace was replaced or removed");
        pod.let_go();
    }

    fn rename(&mut self, uid: &Uid, spec: PodSpec) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        if let Hold::Enrolled(enrolled) = &pod.hold
            && enrolled.workload != spec.workload
        {
            let netns = Arc::clone(&enrolled.netns);
            let enrolled = Enrolled::new(spec.workload.clone(), netns, enrolled.probes.clone());
            pod.hold = Hold::Enrolled(Arc::new(enrolled));
        }
        let is_probed_otherwise = pod.spec.capture.probe_ports != spec.capture.probe_ports;
        pod.spec = spec;
        // Whoever verifies looks up where the probes come from.
        if is_probed_otherwise {
            self.suspect(uid.clone());
        }
    }

    /// Takes in what a job has done.
    pub(super) fn finish(&mut self, done: Done) {
        let parted = self.parted();
        let Some(pod) = self.pods.get_mut(&done.uid) else { return };
        pod.work = Work::Idle;
        let passed_by = std::mem::take(&mut pod.passed_by);
        if done.kind == Kind::Verify {
            self.verifying -= 1;
        }
        match (done.kind, done.result) {
            (Kind::Program, Ok(outcome)) => {
                self.enrolled(&done.uid, outcome);
                self.watch(&done.uid);
            }
            (Kind::Verify, Ok(outcome)) => {
                let changed = pod.hold.enrol(&pod.spec.workload, outcome.probes);
                self.verified(&done.uid, outcome.found);
                self.stirred |= changed;
            }
            (Kind::Release(_), Ok(_)) => released(pod, parted),
            (Kind::Withdraw(Departure::Move), Ok(_)) => pod.let_go(),
            (Kind::Release(Departure::Move) | Kind::Withdraw(Departure::Move), Err(reason)) => {
                stuck(pod, &reason);
            }
            (Kind::Program | Kind::Verify | Kind::Release(_) | Kind::Withdraw(_), Err(reason)) => {
                self.quarantine(&done.uid, &reason);
            }
            (Kind::Withdraw(Departure::Leave), Ok(_)) => self.left(&done.uid),
        }
        self.stirred |= passed_by;
    }

    /// Until when nodes have ended the connections of a pod that is released by now. Those that wait for the first table hear of
    /// it with that.
    pub(super) fn parted(&self) -> Instant {
        let now = Instant::now();
        let told = if self.outlets.table.borrow().is_some() { now } else { self.first_pass_ends.max(now) };
        told + PARTING
    }
}

pub(super) fn job(uid: &Uid, pod: &Pod, kind: Kind, host: &Host) -> Option<Job> {
    let (netns, host) = (Arc::clone(pod.hold.netns()?), Arc::clone(host.kubelet()));
    let (name, capture) = (pod.spec.workload.to_string(), Arc::clone(&pod.spec.capture));
    Some(Job { uid: uid.clone(), kind, pod: name, netns, capture, intact: pod.intact, host })
}

pub(super) fn released(pod: &mut Pod, parted: Instant) {
    pod.watch = None;
    if let Some(netns) = pod.hold.netns().map(Arc::clone) {
        pod.hold = Hold::Released(netns, parted);
    }
    pod.trouble = None;
}

fn stuck(pod: &mut Pod, reason: &Reason) {
    let (workload, uid) = (&pod.spec.workload, &pod.spec.uid);
    error!(pod = %workload, %uid, reason = %Chain(reason), "packet rules stay in the namespace the pod has left");
    pod.let_go();
}
