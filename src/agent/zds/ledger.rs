//! What one node has been told and has acknowledged, and what to tell it next. Pure: no socket, no clock.
//!
//! ```text
//!             Keep (snapshot only)        Add acknowledged
//!   unknown ──────────────────────▶ Kept ─────────────────▶ Serving
//!      │                                                       ▲
//!      └──────────── Add ──▶ refused: Refused ──(again later)──┘
//!
//!   Add once more to Serving, when other facts are known of the same enrolment
//!
//!   Delete from any of them, as soon as the table no longer has what the node was told
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::message::Request;
use super::seats::Rank;
use crate::backoff::Backoff;
use crate::pod::Uid;
use crate::table::{Enrolled, Entry, Table};

/// One node's books.
#[derive(Debug, Default)]
pub(crate) struct Ledger(BTreeMap<Uid, Told>);

#[derive(Debug)]
enum Told {
    /// It may still serve the pod from an earlier session.
    Kept,
    Serving(Arc<Enrolled>),
    /// It could not start; it may go on trying by itself.
    Refused(Arc<Enrolled>, Backoff),
}

/// The requests a session begins with.
pub(crate) fn snapshot(table: &Table) -> Vec<Request> {
    let request = |(uid, entry): (&Uid, &Entry)| match entry {
        Entry::Serve(pod) => Request::Add(uid.clone(), Arc::clone(pod)),
        Entry::Keep => Request::Keep(uid.clone()),
    };
    table.iter().map(request).chain([Request::SnapshotSent]).collect()
}

impl Ledger {
    /// The next request after the snapshot, if there is anything to tell. Removals come first: a pod that is served
    /// under an old name or in an old namespace is removed before it is added.
    pub(crate) fn next(&self, table: &Table, rank: Rank, now: Instant) -> Option<Request> {
        let gone = self.0.iter().find(|(uid, told)| told.contradicts(table.get(*uid)));
        if let Some((uid, _)) = gone {
            return Some(Request::Delete(uid.clone()));
        }
        if rank == Rank::Older {
            return None;
        }
        table.iter().find_map(|(uid, entry)| match entry {
            Entry::Serve(pod) if self.wants_telling(uid, pod, now) => {
                Some(Request::Add(uid.clone(), Arc::clone(pod)))
            }
            Entry::Serve(_) | Entry::Keep => None,
        })
    }

    /// Takes in the node's answer to a request.
    pub(crate) fn answered(&mut self, request: &Request, answer: Result<(), String>, now: Instant) {
        match request {
            Request::SnapshotSent => {}
            Request::Keep(uid) => {
                self.0.insert(uid.clone(), Told::Kept);
            }
            // After a refusal there is nothing more that could be said about the pod.
            Request::Delete(uid) => {
                self.0.remove(uid);
            }
            Request::Add(uid, pod) => {
                let pod = Arc::clone(pod);
                let told = match (answer, self.0.get(uid)) {
                    (Ok(()), _) => Told::Serving(pod),
                    (Err(_), Some(Told::Refused(_, backoff))) => Told::Refused(pod, backoff.again(now)),
                    (Err(_), _) => Told::Refused(pod, Backoff::begin(now)),
                };
                self.0.insert(uid.clone(), told);
            }
        }
    }

    /// When the next refused pod is to be tried again.
    pub(crate) fn retry_at(&self) -> Option<Instant> {
        let refused = |told: &Told| match told {
            Told::Refused(_, backoff) => Some(backoff.retry_at()),
            Told::Kept | Told::Serving(_) => None,
        };
        self.0.values().filter_map(refused).min()
    }

    fn wants_telling(&self, uid: &Uid, pod: &Arc<Enrolled>, now: Instant) -> bool {
        match self.0.get(uid) {
            None | Some(Told::Kept) => true,
            Some(Told::Refused(_, backoff)) => backoff.due(now),
            // Of the same enrolment, or it would have been deleted: only what kubelet does to the pod has changed.
            Some(Told::Serving(told)) => !Arc::ptr_eq(told, pod),
        }
    }
}

impl Told {
    fn contradicts(&self, entry: Option<&Entry>) -> bool {
        match (self, entry) {
            (_, None) | (Self::Serving(_) | Self::Refused(..), Some(Entry::Keep)) => true,
            (Self::Serving(old) | Self::Refused(old, _), Some(Entry::Serve(new))) => {
                !old.is_same_enrolment(new)
            }
            (Self::Kept, Some(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use culvert_sys::netns::Netns;

    use super::*;
    use crate::pod::Workload;
    use crate::table::Probes;

    fn pod() -> Entry {
        let text = || "x".to_owned();
        let workload = Workload { name: text(), namespace: text(), service_account: text() };
        let netns = Arc::new(Netns::current().unwrap());
        Entry::Serve(Arc::new(Enrolled::new(workload, netns, Probes::default())))
    }

    /// The same enrolment of the pod, probed at a port.
    fn probed(entry: &Entry, port: u16) -> Entry {
        let Entry::Serve(pod) = entry else { panic!("not served") };
        let probes = Probes { ports: [port].into(), from: vec![[10, 0, 0, 1].into()] };
        Entry::Serve(Arc::new(pod.with_probes(probes)))
    }

    /// Asks for the next request, answers it, and puts it in words.
    fn step(ledger: &mut Ledger, table: &Table, now: Instant, answer: Result<(), &str>) -> String {
        let Some(request) = ledger.next(table, Rank::Newest, now) else { return "nothing".into() };
        ledger.answered(&request, answer.map_err(str::to_owned), now);
        let words = request.to_string();
        words.split(' ').next().unwrap().to_owned()
    }

    #[test]
    fn a_refused_pod_is_offered_again_at_growing_distances() {
        let (mut ledger, table) = (Ledger::default(), Table::from([("a".into(), pod())]));
        let mut now = Instant::now();
        for wait in [1, 2, 4, 8] {
            assert_eq!(step(&mut ledger, &table, now, Err("no")), "add");
            assert_eq!(step(&mut ledger, &table, now, Ok(())), "nothing");
            let retry_at = ledger.retry_at().unwrap();
            assert_eq!((retry_at - now).as_secs(), wait);
            now = retry_at;
        }
        assert_eq!(step(&mut ledger, &table, now, Ok(())), "add");
        assert_eq!(ledger.retry_at(), None);
    }

    #[test]
    fn a_refused_pod_is_deleted_like_any_other() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        let table = Table::from([("a".into(), pod())]);
        assert_eq!(step(&mut ledger, &table, now, Err("no")), "add");
        assert_eq!(step(&mut ledger, &Table::new(), now, Err("no")), "delete");
        assert_eq!(step(&mut ledger, &Table::new(), now, Ok(())), "nothing");
    }

    #[test]
    fn a_pod_that_is_enrolled_anew_is_deleted_first() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        let (old, new) = (Table::from([("a".into(), pod())]), Table::from([("a".into(), pod())]));
        assert_eq!(step(&mut ledger, &old, now, Ok(())), "add");
        assert_eq!(step(&mut ledger, &new, now, Ok(())), "delete");
        assert_eq!(step(&mut ledger, &new, now, Ok(())), "add");
        assert_eq!(step(&mut ledger, &new, now, Ok(())), "nothing");
        // It lost its rules together with its namespace.
        assert_eq!(step(&mut ledger, &Table::from([("a".into(), Entry::Keep)]), now, Ok(())), "delete");
    }

    #[test]
    fn facts_that_change_are_told_and_nothing_is_deleted_for_them() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        let plain = pod();
        let (one, two) = (probed(&plain, 1), probed(&plain, 2));
        for entry in [plain, one, two] {
            let table = Table::from([("a".into(), entry)]);
            assert_eq!(step(&mut ledger, &table, now, Ok(())), "add");
            assert_eq!(step(&mut ledger, &table, now, Ok(())), "nothing");
        }
        let anew = Table::from([("a".into(), probed(&pod(), 2))]);
        assert_eq!(step(&mut ledger, &anew, now, Ok(())), "delete");
    }

    #[test]
    fn an_older_node_is_told_removals_only() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        let (a, b) = (pod(), pod());
        assert_eq!(step(&mut ledger, &Table::from([("a".into(), a)]), now, Ok(())), "add");
        let next = ledger.next(&Table::from([("b".into(), b.clone())]), Rank::Older, now);
        assert!(matches!(next, Some(Request::Delete(uid)) if uid == "a".into()));
        ledger.answered(&Request::Delete("a".into()), Ok(()), now);
        assert!(ledger.next(&Table::from([("b".into(), b.clone())]), Rank::Older, now).is_none());
        let facts = Table::from([("b".into(), probed(&b, 1))]);
        assert!(ledger.next(&facts, Rank::Older, now).is_none());
    }
}
