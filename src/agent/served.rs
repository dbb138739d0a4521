//! What connected nodes say of each pod: that they serve it, or why they do not.
//!
//! In go the answers of nodes, each for as long as it holds; out come counts and reasons for those who show them or wait for them.
//! An answer is about a pod in one network namespace: what a node serves elsewhere is of no use to the pod. Nothing follows from
//! it here.

use std::collections::BTreeMap;
use std::sync::Arc;

use culvert_sys::netns::NetnsId;
use tokio::sync::watch;

use crate::pod::Uid;

/// What all nodes say. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Served(Arc<watch::Sender<Answers>>);

/// The answers that hold, of all nodes about all pods.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    last: u64,
    of: BTreeMap<Uid, Vec<Answer>>,
}

#[derive(Debug)]
struct Answer {
    number: u64,
    netns: NetnsId,
    /// Nothing: it serves the pod.
    refusal: Option<Arc<str>>,
}

/// One node's answer, which holds until this is dropped.
#[derive(Debug)]
pub(crate) struct Holds {
    uid: Uid,
    number: u64,
    served: Served,
}

impl Served {
    /// How many nodes serve the pod in this namespace.
    pub(crate) fn of(&self, uid: &Uid, netns: NetnsId) -> usize {
        self.0.borrow().about(uid, netns).filter(|answer| answer.refusal.is_none()).count()
    }

    /// Why a node does not serve the pod in this namespace, in its own words; the newest answer, when there are several.
    pub(crate) fn refusal(&self, uid: &Uid, netns: NetnsId) -> Option<Arc<str>> {
        self.0.borrow().about(uid, netns).filter_map(|answer| answer.refusal.clone()).last()
    }

    /// Notifies whenever an answer comes, or holds no longer.
    pub(crate) fn changes(&self) -> watch::Receiver<Answers> {
        self.0.subscribe()
    }

    /// Notes that a node serves the pod.
    pub(crate) fn serves(&self, uid: &Uid, netns: NetnsId) -> Holds {
        self.note(uid, netns, None)
    }

    /// Notes why a node does not serve the pod.
    pub(crate) fn refuses(&self, uid: &Uid, netns: NetnsId, reason: Arc<str>) -> Holds {
        self.note(uid, netns, Some(reason))
    }

    fn note(&self, uid: &Uid, netns: NetnsId, refusal: Option<Arc<str>>) -> Holds {
        let mut number = 0;
        self.0.send_modify(|answers| {
            answers.last += 1;
            number = answers.last;
            answers.of.entry(uid.clone()).or_default().push(Answer { number, netns, refusal });
        });
        Holds { uid: uid.clone(), number, served: self.clone() }
    }
}

impl Answers {
    /// Oldest first.
    fn about(&self, uid: &Uid, netns: NetnsId) -> impl Iterator<Item = &Answer> {
        self.of.get(uid).into_iter().flatten().filter(move |answer| answer.netns == netns)
    }
}

impl Drop for Holds {
    fn drop(&mut self) {
        self.served.0.send_modify(|answers| {
            let Some(of_pod) = answers.of.get_mut(&self.uid) else { return };
            of_pod.retain(|answer| answer.number != self.number);
            if of_pod.is_empty() {
                answers.of.remove(&self.uid);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use culvert_sys::netns::Netns;

    use super::*;

    #[test]
    fn answers_count_for_as_long_as_they_hold_and_where_they_were_given() {
        let (served, uid) = (Served::default(), Uid::from("u"));
        let (here, elsewhere) = (Netns::current().unwrap().id(), Netns::create().unwrap());
        let mut changes = served.changes();
        let first = served.serves(&uid, here);
        let second = served.serves(&uid, here);
        let _other = served.serves(&uid, elsewhere.id());
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        assert_eq!((served.of(&uid, here), served.of(&uid, elsewhere.id())), (2, 1));
        drop(first);
        assert!(changes.has_changed().unwrap(), "that an answer holds no longer is news");
        assert_eq!(served.of(&uid, here), 1);
        drop(second);
        assert_eq!(served.of(&uid, here), 0);
        assert_eq!(served.of(&Uid::from("somebody else"), here), 0);
    }

    #[test]
    fn a_refusal_is_told_until_the_node_serves_the_pod() {
        let (served, uid, netns) = (Served::default(), Uid::from("u"), Netns::current().unwrap().id());
        let refuses = served.refuses(&uid, netns, "no descriptor left".into());
        assert_eq!(served.of(&uid, netns), 0, "a refusal is not service");
        assert_eq!(served.refusal(&uid, netns).as_deref(), Some("no descriptor left"));
        drop(refuses);
        let _serves = served.serves(&uid, netns);
        assert_eq!((served.of(&uid, netns), served.refusal(&uid, netns)), (1, None));
    }

    #[test]
    fn nothing_is_left_of_pods_that_are_gone() {
        let (served, netns) = (Served::default(), Netns::current().unwrap().id());
        drop((0..100).map(|n| served.serves(&Uid::from(&*n.to_string()), netns)).collect::<Vec<_>>());
        assert!(served.0.borrow().of.is_empty());
    }
}
