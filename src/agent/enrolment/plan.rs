//! Decides what to do next about each pod: a pure function of what the file wants, what is, and the time.
//!
//! Level-triggered: it may be asked after every event, and says nothing about a pod that is being worked on or whose
//! next attempt is not due. At most one step per pod; the next one follows from the state the first one leaves.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use culvert_sys::netns::{Netns, NetnsId};
use tokio::time::Instant;

use super::state::{Hold, Pod, Pods, Reason, Work};
use crate::namespaces::{Host, Missing, Wanted};
use crate::pod::{Others, PodSpec, Uid};

#[cfg(test)]
mod tests;

/// What is wanted, with the namespaces as last seen.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) others: Others,
}

/// One step for one pod.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) uid: Uid,
    pub(crate) action: Action,
}

#[derive(Debug)]
pub(crate) enum Action {
    /// Put the rules in, or right.
    Program(PodSpec, Arc<Netns>),
    /// Let new connections pass; then nodes are told to let go of the others.
    Release(Departure),
    /// Take the rest of the rules out, then let the namespace go.
    Withdraw(Departure),
    /// Let the namespace go as it is: it is no longer the pod's. Whatever still runs there stays captured.
    Abandon,
    /// Tell the nodes who the pod is now.
    Rename(PodSpec),
    /// Quarantine the pod without an attempt.
    Refuse(PodSpec, Reason),
    /// Nothing of ours is left in the pod, and it is wanted no more, or has to be waited for.
    Forget,
}

/// Why a pod parts with a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Departure {
    /// The pod left the file. Each step is repeated until it succeeds.
    Leave,
    /// The file names another namespace for the pod. Each step is tried once, so that the new one is not kept waiting; what
    /// cannot be taken out stays, and the nodes let go of the pod all the same.
    Move,
}

/// What to do next.
pub(crate) fn plan(looked: &Looked, pods: &Pods, host: &Host, now: Instant) -> Vec<Step> {
    let wanted = &looked.wanted;
    let wishes: BTreeMap<&Uid, &Wanted> = wanted.iter().map(|wish| (&wish.spec.uid, wish)).collect();
    let mut steps = Vec::new();
    let mut step = |uid: &Uid, action| steps.push(Step { uid: uid.clone(), action });
    for (uid, pod) in pods {
        if !wishes.contains_key(uid)
            && let Some(action) = leave(pod, looked.others.may_run(uid), now)
        {
            step(uid, action);
        }
    }
    let mut owners = Owners::of(&wishes, pods);
    for wish in wanted {
        let uid = &wish.spec.uid;
        let action = match pods.get(uid) {
            Some(pod) => go_on(wish, pod, &mut owners, host, now),
            None => attempt(wish, &mut owners, host),
        };
        if let Some(action) = action {
            step(uid, action);
        }
    }
    steps
}

/// A pod that is gone takes its rules with it; if something of it still runs, what was captured stays refused.
fn leave(pod: &Pod, may_run: bool, now: Instant) -> Option<Action> {
    match (pod.work, &pod.hold) {
        (Work::Busy, _) => None,
        (Work::Idle, Hold::Nothing) => Some(Action::Forget),
        (Work::Idle, _) if !may_run => Some(Action::Abandon),
        (Work::Idle, _) => part(pod, Departure::Leave, now).filter(|_| pod.due(now)),
    }
}

/// The next step out of the namespace the pod is in: the rules that keep track of its connections stay until every node had
/// time to end those.
fn part(pod: &Pod, why: Departure, now: Instant) -> Option<Action> {
    match &pod.hold {
        Hold::Nothing => None,
        Hold::Touched(_) | Hold::Enrolled(_) => Some(Action::Release(why)),
        Hold::Released(_, until) => (now >= *until).then_some(Action::Withdraw(why)),
    }
}

fn go_on<'w>(
    wish: &'w Wanted,
    pod: &Pod,
    owners: &mut Owners<'w>,
    host: &Host,
    now: Instant,
) -> Option<Action> {
    if pod.work == Work::Busy {
        return None;
    }
    let Some(held) = pod.hold.netns() else {
        if wish.found.as_ref().is_err_and(Missing::is_awaited) {
            // Whatever was wrong, it is as if the pod had just been made.
            return Some(Action::Forget);
        }
        // A conflict is found in the order of the file, so the claim counts even while the pod waits.
        let action = attempt(wish, owners, host);
        return action.filter(|_| pod.due(now));
    };
    match &wish.found {
        Ok(found) if found.id() == held.id() => settle(wish, pod, held, now),
        Err(missing) if !missing.is_gone() => None,
        _ if wish.spec.netns.is_named() && wish.spec.netns != pod.spec.netns => {
            part(pod, Departure::Move, now)
        }
        _ => Some(Action::Abandon),
    }
}

/// The pod is where it was.
fn settle(wish: &Wanted, pod: &Pod, held: &Arc<Netns>, now: Instant) -> Option<Action> {
    // Adopted, and not looked at yet.
    let untried = matches!(pod.hold, Hold::Touched(_)) && pod.trouble.is_none();
    let recaptured = untried || wish.spec.capture.rules != pod.spec.capture.rules;
    if wish.spec != pod.spec && !recaptured {
        return Some(Action::Rename(wish.spec.clone()));
    }
    let released = matches!(pod.hold, Hold::Released(..));
    let again = recaptured || ((released || pod.trouble.is_some()) && pod.due(now));
    again.then(|| Action::Program(wish.spec.clone(), Arc::clone(held)))
}

/// The pod has no namespace yet.
fn attempt<'w>(wish: &'w Wanted, owners: &mut Owners<'w>, host: &Host) -> Option<Action> {
    let spec = wish.spec.clone();
    let from = spec.netns.clone();
    let netns = match &wish.found {
        Err(missing) if missing.is_awaited() => return None,
        Err(missing) => {
            return Some(Action::Refuse(spec, Reason::Namespace { from, source: missing.clone() }));
        }
        Ok(netns) if host.is(netns.id()) => return Some(Action::Refuse(spec, Reason::Host { from })),
        Ok(netns) => netns,
    };
    match owners.claim(netns.id(), &wish.spec.uid) {
        Claim::Granted => Some(Action::Program(spec, Arc::clone(netns))),
        Claim::Wait => None,
        Claim::Taken(with) => {
            Some(Action::Refuse(spec, Reason::Shared { netns: netns.id(), with: with.clone() }))
        }
    }
}

/// Which pod each namespace belongs to: the one that is there already, else the first in the file.
struct Owners<'w>(HashMap<NetnsId, Owner<'w>>);

enum Owner<'w> {
    Pod(&'w Uid),
    /// A pod that is on its way out; its rules must be gone before the next pod's come.
    Leaving,
}

enum Claim<'w> {
    Granted,
    Wait,
    Taken(&'w Uid),
}

impl<'w> Owners<'w> {
    fn of(wishes: &BTreeMap<&'w Uid, &'w Wanted>, pods: &Pods) -> Self {
        let owner = |(uid, pod): (&Uid, &Pod)| {
            let held = pod.hold.netns()?.id();
            let stays =
                wishes.get(uid).filter(|wish| wish.found.as_ref().is_ok_and(|found| found.id() == held));
            Some((held, stays.map_or(Owner::Leaving, |wish| Owner::Pod(&wish.spec.uid))))
        };
        Self(pods.iter().filter_map(owner).collect())
    }

    fn claim(&mut self, id: NetnsId, uid: &'w Uid) -> Claim<'w> {
        match self.0.entry(id).or_insert(Owner::Pod(uid)) {
            Owner::Pod(owner) if *owner == uid => Claim::Granted,
            Owner::Pod(owner) => Claim::Taken(owner),
            Owner::Leaving => Claim::Wait,
        }
    }
}
