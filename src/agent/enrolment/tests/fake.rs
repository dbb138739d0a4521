//! Packet rules that are only pretended: which namespaces have some, who failed, who was called.

use std::collections::{HashMap, HashSet};
use std::sync::{Condvar, Mutex, MutexGuard};

use ebpf_free_iptables::{Applied, Options};

use futures::StreamExt as _;
use futures::channel::mpsc::UnboundedSender;

use super::*;
use crate::rules::{Cause, Changes, Fingerprint};

/// By the clock on the wall: a test that has failed while a call is held back lets go of nothing, and its runtime waits for the call.
const HELD_AT_MOST: Duration = Duration::from_secs(60);

pub(super) struct Fake {
    table: Subscriber,
    state: Mutex<State>,
    gate: Condvar,
    calls: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    rules: HashSet<NetnsId>,
    failing: HashSet<NetnsId>,
    held_back: HashSet<NetnsId>,
    carrying: HashSet<NetnsId>,
    untaken: HashSet<NetnsId>,
    watched: HashMap<NetnsId, UnboundedSender<()>>,
    /// Makes a namespace in which something changed look otherwise.
    drifts: u64,
    /// How many times a namespace will be found to differ.
    drifting: HashMap<NetnsId, u32>,
    log: Vec<String>,
    at_once: usize,
    most_at_once: usize,
}

impl Fake {
    pub(super) fn new(table: Subscriber) -> Self {
        Self { table, state: Mutex::default(), gate: Condvar::new(), calls: watch::Sender::new(0) }
    }

    pub(super) fn fail(&self, id: NetnsId) {
        self.state().failing.insert(id);
    }

    pub(super) fn mend(&self, id: NetnsId) {
        self.state().failing.remove(&id);
    }

    pub(super) fn drift(&self, id: NetnsId, times: u32) {
        let mut state = self.state();
        state.drifting.insert(id, times);
        state.drifts += 1000;
    }

    /// The kernel says that something has changed there; whether anybody listens.
    pub(super) fn notify(&self, id: NetnsId) -> bool {
        self.state().watched.get(&id).is_some_and(|watch| watch.unbounded_send(()).is_ok())
    }

    /// Whether somebody has still to hear what the kernel has said.
    pub(super) fn unheard(&self, id: NetnsId) -> bool {
        self.state().watched.get(&id).is_some_and(|watch| !watch.is_empty())
    }

    /// Nobody takes what is captured in this namespace any more.
    pub(super) fn leave_untaken(&self, id: NetnsId) {
        self.state().untaken.insert(id);
    }

    /// Somebody carries connections in this namespace, or nobody any more.
    pub(super) fn carry(&self, id: NetnsId, carries: bool) {
        let mut state = self.state();
        if carries {
            state.carrying.insert(id)
        } else {
            state.carrying.remove(&id)
        };
    }

    /// Calls for this namespace that begin from here on wait until [`Fake::let_go`], and fail when that does not come.
    pub(super) fn hold_back(&self, id: NetnsId) {
        self.state().held_back.insert(id);
    }

    pub(super) fn let_go(&self) {
        self.state().held_back.clear();
        self.gate.notify_all();
    }

    /// An agent that was here before has done so.
    pub(super) fn put_in(&self, id: NetnsId) {
        self.state().rules.insert(id);
    }

    pub(super) fn are_in(&self, id: NetnsId) -> bool {
        self.state().rules.contains(&id)
    }

    pub(super) fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }

    pub(super) fn count(&self, call: &str) -> usize {
        self.state().log.iter().filter(|line| line.starts_with(call)).count()
    }

    pub(super) fn most_at_once(&self) -> usize {
        self.state().most_at_once
    }

    /// Waits until a call has been made this often. The last one may still be at work.
    pub(super) async fn called(&self, call: &str, times: usize) {
        let mut calls = self.calls.subscribe();
        let enough = calls.wait_for(|_| self.count(call) >= times);
        timeout(Duration::from_secs(600), enough).await.expect("the call is made in time").unwrap();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Notes the call, and whether nodes serve the pod meanwhile.
    fn call(&self, call: &str, pod: &str, id: NetnsId) -> Result<MutexGuard<'_, State>, Cause> {
        let served =
            |entry: &Entry| matches!(entry, Entry::Serve(served) if served.workload.to_string() == pod);
        let told = match self.table.borrow().as_ref() {
            None => "nothing told",
            Some(table) if table.values().any(served) => "told",
            Some(_) => "untold",
        };
        let mut state = self.state();
        state.log.push(format!("{call} {pod}, {told}"));
        state.at_once += 1;
        state.most_at_once = state.most_at_once.max(state.at_once);
        let is_held = state.held_back.contains(&id);
        drop(state);
        self.calls.send_modify(|calls| *calls += 1);
        let held = |state: &mut State| is_held && state.held_back.contains(&id);
        let (mut state, waited) = self.gate.wait_timeout_while(self.state(), HELD_AT_MOST, held).unwrap();
        state.at_once -= 1;
        if waited.timed_out() {
            return Err("it was held back for too long".into());
        }
        if state.failing.contains(&id) { Err("it is broken".into()) } else { Ok(state) }
    }
}

impl PacketRules for Fake {
    fn apply(&self, pod: &str, netns: &Netns, _: &Options) -> Result<Applied, Cause> {
        let new = self.call("apply", pod, netns.id())?.rules.insert(netns.id());
        Ok(if new { Applied::Installed } else { Applied::Unchanged })
    }

    fn verify(&self, pod: &str, netns: &Netns, _: &Options) -> Result<Vec<String>, Cause> {
        let mut state = self.call("verify", pod, netns.id())?;
        let times = state.drifting.get(&netns.id()).copied().unwrap_or(0);
        state.drifting.insert(netns.id(), times.saturating_sub(1));
        if times == 0 && state.rules.contains(&netns.id()) {
            return Ok(Vec::new());
        }
        Ok(vec!["a rule is missing".into()])
    }

    fn release(&self, pod: &str, netns: &Netns) -> Result<(), Cause> {
        self.call("release", pod, netns.id()).map(drop)
    }

    fn is_taken(&self, pod: &str, netns: &Netns, _: &Options) -> Result<bool, Cause> {
        Ok(!self.call("look after", pod, netns.id())?.untaken.contains(&netns.id()))
    }

    fn fingerprint(&self, netns: &Netns) -> Result<Fingerprint, Cause> {
        let state = self.state();
        let drifting = state.drifting.get(&netns.id()).copied().unwrap_or(0);
        Ok(Fingerprint(state.drifts + u64::from(drifting) + u64::from(state.failing.contains(&netns.id()))))
    }

    fn changes(&self, netns: &Netns) -> Result<Changes, Cause> {
        let (tell, told) = futures::channel::mpsc::unbounded();
        self.state().watched.insert(netns.id(), tell);
        Ok(told.boxed())
    }

    fn carries(&self, netns: &Netns) -> Result<bool, Cause> {
        Ok(self.state().carrying.contains(&netns.id()))
    }

    fn remove(&self, pod: &str, netns: &Netns) -> Result<(), Cause> {
        self.call("remove", pod, netns.id())?.rules.remove(&netns.id());
        Ok(())
    }
}
