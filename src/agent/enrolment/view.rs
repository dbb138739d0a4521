//! The pods as nodes and people shall see them: pure functions of what is wanted and what is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use super::metered;
use super::plan::Looked;
use super::state::{Hold, Pod, Pods, Unserved};
use crate::board::{Board, State, Status};
use crate::namespaces::{Missing, Wanted};
use crate::pod::{NetnsSource, PodSpec, Uid};
use crate::served::Served;
use crate::table::{Entry, Table};

/// Whether each wanted pod has been tried once.
pub(super) fn settled(wanted: &[Wanted], pods: &Pods) -> bool {
    let tried = |pod: &Pod| pod.trouble.is_some() || matches!(pod.hold, Hold::Enrolled(_));
    let awaited = |wish: &Wanted| wish.found.as_ref().is_err_and(Missing::is_awaited);
    wanted.iter().all(|wish| pods.get(&wish.spec.uid).map_or_else(|| awaited(wish), tried))
}

/// Enrolled pods are served, also when they are to leave, until what they begin passes without a node; from then on by nobody,
/// a node that comes just then included. Pods that could be served, but are not enrolled yet, are kept as they are.
pub(super) fn table(wanted: &[Wanted], pods: &Pods) -> Table {
    let omitted = |pod: &Pod| {
        matches!(pod.hold, Hold::Released(..))
            || pod.trouble.as_ref().is_some_and(|trouble| trouble.node == Unserved::Omit)
    };
    let kept = wanted.iter().map(|wish| &wish.spec.uid).filter(|uid| !pods.get(*uid).is_some_and(omitted));
    let mut table: Table = kept.map(|uid| (uid.clone(), Entry::Keep)).collect();
    for (uid, pod) in pods {
        match &pod.hold {
            Hold::Enrolled(enrolled) => table.insert(uid.clone(), Entry::Serve(Arc::clone(enrolled))),
            // Adopted, and to be taken out: captured all the same until it is released.
            Hold::Touched(_) if !omitted(pod) => table.insert(uid.clone(), Entry::Keep),
            Hold::Nothing | Hold::Touched(_) | Hold::Released(..) => None,
        };
    }
    table
}

/// What has become of each pod. A state that lasts keeps its beginning.
pub(super) fn board(looked: &Looked, pods: &Pods, served: &Served, before: &Board) -> Board {
    let wanted: BTreeSet<&Uid> = looked.wanted.iter().map(|wish| &wish.spec.uid).collect();
    let awaited = looked.wanted.iter().filter(|wish| !pods.contains_key(&wish.spec.uid));
    let awaited = awaited.map(|wish| status(&wish.spec, None, (served, before)));
    let worked_on =
        pods.iter().map(|(uid, pod)| status(&pod.spec, Some((pod, wanted.contains(uid))), (served, before)));
    awaited.chain(worked_on).collect()
}

fn status(
    spec: &PodSpec,
    pod: Option<(&Pod, bool)>,
    (served, before): (&Served, &Board),
) -> (Uid, Arc<Status>) {
    let state = pod.map_or(State::Awaited, |(pod, is_wanted)| state(pod, is_wanted));
    let old = before.get(&spec.uid);
    let since = old.filter(|old| old.state == state).map_or_else(SystemTime::now, |old| old.since);
    let addresses = match &spec.netns {
        NetnsSource::Found(addresses) => Arc::clone(addresses),
        NetnsSource::Path(_) | NetnsSource::Process(_) => Arc::default(),
    };
    let netns = pod.and_then(|(pod, _)| pod.hold.netns()).map(|netns| netns.id());
    let status = Status {
        workload: spec.workload.clone(),
        addresses,
        capture: Arc::clone(&spec.capture),
        state,
        since,
        netns,
        nodes: netns.map_or(0, |netns| served.of(&spec.uid, netns)),
        refusal: netns.and_then(|netns| served.refusal(&spec.uid, netns)),
        repairs: pod.map_or(0, |(pod, _)| pod.repairs),
    };
    (spec.uid.clone(), Arc::new(status))
}

fn state(pod: &Pod, is_wanted: bool) -> State {
    let reason = pod.trouble.as_ref().map(|trouble| Arc::clone(&trouble.text));
    match (&pod.hold, reason) {
        (Hold::Released(..), _) => State::Leaving,
        (_, _) if !is_wanted => State::Leaving,
        (Hold::Enrolled(_), Some(reason)) => State::Impaired { reason },
        (Hold::Enrolled(_), None) => State::Enrolled,
        (Hold::Nothing | Hold::Touched(_), Some(reason)) => State::Quarantined { reason },
        (Hold::Nothing | Hold::Touched(_), None) => State::Programming,
    }
}

/// How many pods are in which state.
pub(super) fn count(board: &Board) {
    const STATES: [&str; 6] = ["awaited", "programming", "enrolled", "impaired", "quarantined", "leaving"];
    for state in STATES {
        let pods = board.values().filter(|status| status.state.name() == state).count();
        metered::pods(state, pods);
    }
}
