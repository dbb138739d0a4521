//! The pods this node serves, or would if it could.

use std::collections::HashMap;
use std::sync::Arc;

use culvert_api::{Bytes, Pod, PodState};
use culvert_core::identity::SpiffeId;
use culvert_core::snapshot::Snapshot;

use super::problem::Refusal;
use super::query::Query;
use super::{Sources, json, moment, page};
use crate::identity::Phase;
use crate::ledger::Book;
use crate::proxy::PodInfo;
use crate::state::{PodState as Known, State};

/// What is known of pods beside themselves.
struct About {
    snapshot: Arc<Snapshot>,
    /// Of identities without a certificate, why.
    uncertified: HashMap<SpiffeId, String>,
    /// Of pods whose names cannot be resolved, why.
    unresolved: Vec<(PodInfo, String)>,
}

/// `/v1/pods`.
pub(super) fn list(sources: &Sources, query: &Query) -> Result<Vec<u8>, Refusal> {
    let known = all(&sources.shown.state).into_iter();
    let part = page::by_text(query, known.map(|entry| (key(&entry), entry)))?;
    let about = About::read(sources);
    Ok(json(&part.show(|(known, book)| about.pod(known, book.as_deref()))))
}

/// A pod, and its book if it is served.
type Entry = (Known, Option<Arc<Book>>);

/// All pods, each with the newest of its books.
fn all(state: &State) -> Vec<Entry> {
    let books = state.ledger().books();
    let open = books.iter().filter(|book| book.gone().is_none());
    // A pod that has come again may still have an older one.
    let book_of: HashMap<(&str, &str), &Arc<Book>> =
        open.map(|book| ((book.pod.namespace.as_str(), book.pod.name.as_str()), book)).collect();
    let entry = |known: Known| {
        let book = book_of.get(&(known.pod.namespace.as_str(), known.pod.name.as_str()));
        let book = book.map(|book| Arc::clone(book)).filter(|_| known.trouble.is_none());
        (known, book)
    };
    everybody(state).map(entry).collect()
}

/// The pods the agent has told of, and the one that is served without it.
pub(super) fn everybody(state: &State) -> impl Iterator<Item = Known> {
    state.pods().into_iter().chain(state.own_pod())
}

/// By namespace and name; a uid is there once.
fn key((known, _): &Entry) -> String {
    let PodInfo { namespace, name, .. } = &known.pod;
    [namespace, name, known.uid.as_str()].join("\0")
}

impl About {
    fn read(sources: &Sources) -> Self {
        let listed = sources.shown.identities.list().into_iter();
        let without = listed.filter(|listed| listed.phase == Phase::Unavailable);
        Self {
            snapshot: sources.shown.mesh.snapshot(),
            uncertified: without.map(|it| (it.identity, it.error.unwrap_or_default())).collect(),
            unresolved: sources.shown.state.dns().map(|dns| dns.troubles()).unwrap_or_default(),
        }
    }

    fn pod(&self, known: Known, book: Option<&Book>) -> Pod {
        let Known { uid, pod, state, since, trouble } = known;
        let identity = identity(&self.snapshot, &pod);
        let reason = match &trouble {
            Some(trouble) => Some(trouble.error.clone()),
            None => self.wrong_all_the_same(&pod, identity.as_ref()),
        };
        let (to_server, to_client) = book.map_or((0, 0), bytes);
        let totals = book.map(|book| &book.totals);
        Pod {
            uid,
            service_account: pod.service_account,
            namespace: pod.namespace,
            name: pod.name,
            identity: identity.as_ref().map(ToString::to_string),
            state: if state == "Up" { PodState::Up } else { PodState::Pending },
            reason,
            since: moment::text(since),
            next_try: trouble.map(|trouble| moment::text(trouble.next)),
            open: book.map_or(0, |book| book.open() as u64),
            connections: totals.map_or(0, |totals| totals.begun()),
            refused: totals.map_or(0, |totals| totals.refused()),
            broken: totals.map_or(0, |totals| totals.broken()),
            bytes: Bytes { to_server, to_client },
        }
    }

    /// What is wrong with a pod although it is served.
    fn wrong_all_the_same(&self, pod: &PodInfo, identity: Option<&SpiffeId>) -> Option<String> {
        let Some(identity) = identity else {
            return Some("its workload is not in the mesh state, so that nobody knows who it is".into());
        };
        if let Some(error) = self.uncertified.get(identity) {
            return Some(format!("it has no certificate: {error}"));
        }
        let unresolved = self.unresolved.iter().find(|(of, _)| of == pod);
        unresolved.map(|(_, error)| format!("names are not resolved for it: {error}"))
    }
}

/// Who a pod is.
pub(super) fn identity(snapshot: &Snapshot, pod: &PodInfo) -> Option<SpiffeId> {
    let workload = snapshot.local_workload(&pod.namespace, &pod.name, &pod.service_account)?;
    workload.identity().ok()
}

/// What connections have moved, those that are open included.
fn bytes(book: &Book) -> (u64, u64) {
    let moved = book.live().into_iter().map(|record| Arc::clone(&record.facts().moved));
    moved.fold(book.totals.bytes(), |(forth, back), moved| {
        (forth + moved.forth.bytes(), back + moved.back.bytes())
    })
}
