//! What is said of objects in their status, so that `kubectl describe` tells what became of a policy or of a waypoint.
//!
//! In go conditions, as they are derived; out come statuses that have them, the conditions of others untouched. One replica writes: the
//! one that leads. Only what differs is written, and `lastTransitionTime` moves only when the answer has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use culvert_derive::{Condition, Key, Kind, entry};
use culvert_kubernetes::{Client, Error, Pace, Pauses};
use culvert_process::exit::Chain;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::api::{Api, Written};

/// What we say something about; conditions of other types belong to others.
const OURS: [&str; 5] = [
    "ZtunnelAccepted",
    "culvert.dev/Enforced",
    "culvert.dev/Accepted",
    "istio.io/WaypointBound",
    entry::GIVEN,
];

/// Objects whose status is ours to write to. That of others is for whoever makes something of them.
const WRITTEN: [Kind; 5] = [
    Kind::Service,
    Kind::ServiceEntry,
    Kind::WorkloadEntry,
    Kind::AuthorizationPolicy,
    Kind::PeerAuthentication,
];

/// Longer than anybody runs.
const FOR_EVER: Duration = Duration::from_secs(1 << 30);

/// What is to be said of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    generation: i64,
    conditions: Vec<Condition>,
}

/// What is to be said. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Statuses(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    said: Mutex<Book>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Book {
    all: BTreeMap<Key, Said>,
    /// What is to be said besides, because of others of its kind.
    besides: BTreeMap<Key, (i64, Condition)>,
    /// What has to be looked at.
    pending: BTreeSet<Key>,
    /// What could not be written, and is tried again when all others have been.
    failed: BTreeSet<Key>,
}

impl Statuses {
    /// Takes what is to be said of objects from now on.
    pub(super) fn say(&self, news: Vec<(Key, i64, Vec<Condition>)>) {
        let mut book = self.book();
        for (key, generation, conditions) in news {
            if !WRITTEN.contains(&key.kind) {
                continue;
            }
            book.pending.insert(key.clone());
            book.all.insert(key, Said { generation, conditions });
        }
        drop(book);
        self.0.news.notify_one();
    }

    /// Takes what is to be said besides, of these objects and of no others.
    pub(super) fn say_besides(&self, news: BTreeMap<Key, (i64, Condition)>) {
        let mut book = self.book();
        let before = std::mem::replace(&mut book.besides, news);
        let differs: Vec<Key> = {
            let (old, new) = (&before, &book.besides);
            let keys = old.keys().chain(new.keys());
            keys.filter(|key| old.get(*key) != new.get(*key)).cloned().collect()
        };
        book.pending.extend(differs);
        drop(book);
        self.0.news.notify_one();
    }

    /// Nothing is said any more of an object that is gone.
    pub(super) fn forget(&self, key: &Key) {
        let mut book = self.book();
        book.all.remove(key);
        book.besides.remove(key);
        book.pending.remove(key);
        book.failed.remove(key);
    }

    /// Nothing is said any more of objects of a kind but of these.
    pub(super) fn retain(&self, kind: Kind, there: impl FnOnce() -> BTreeSet<Key>) {
        if WRITTEN.contains(&kind) {
            let there = there();
            self.book().all.retain(|key, _| key.kind != kind || there.contains(key));
        }
    }

    /// Everything is looked at anew: another replica may have written, or failed to.
    fn look_at_all(&self) {
        let mut book = self.book();
        let all: Vec<Key> = book.all.keys().chain(book.besides.keys()).cloned().collect();
        book.pending.extend(all);
    }

    /// Takes one object to look at.
    fn next(&self) -> Option<(Key, Said)> {
        let mut book = self.book();
        let key = book.pending.pop_first()?;
        let besides = book.besides.get(&key).cloned();
        // Where there is nothing to say any more, that holds whatever has become of the object.
        let generation = besides.as_ref().map_or(i64::MAX, |(generation, _)| *generation);
        let mut said = book.all.get(&key).cloned().unwrap_or(Said { generation, conditions: Vec::new() });
        said.conditions.extend(besides.map(|(_, condition)| condition));
        Some((key, said))
    }

    fn has_failed(&self) -> bool {
        !self.book().failed.is_empty()
    }

    fn fail(&self, key: Key) {
        self.book().failed.insert(key);
    }

    /// Has what could not be written tried again; gives whether there is any.
    fn again(&self) -> bool {
        let mut book = self.book();
        let failed = std::mem::take(&mut book.failed);
        book.pending.extend(failed);
        !book.pending.is_empty()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes statuses for as long as it is run, whenever we lead.
pub(super) async fn write(client: Client, statuses: Statuses, mut leads: watch::Receiver<bool>, pace: Pace) {
    let mut pauses = Pauses::new(&pace);
    loop {
        if leads.wait_for(|leads| *leads).await.is_err() {
            return;
        }
        statuses.look_at_all();
        while *leads.borrow() {
            let Some((key, said)) = statuses.next() else {
                let pause = if statuses.has_failed() { pauses.next() } else { FOR_EVER };
                tokio::select! {
                    () = statuses.0.news.notified() => continue,
                    _ = leads.changed() => break,
                    () = sleep(pause) => {}
                }
                if !statuses.again() {
                    pauses.reset();
                }
                continue;
            };
            match put(&client, &key, &said).await {
                Ok(Written::Done) => pauses.reset(),
                Ok(Written::Outdone) => statuses.fail(key),
                Err(error) => {
                    tracing::warn!(object = %key, error = %Chain(&error), "a status is not written");
                    statuses.fail(key);
                }
            }
        }
    }
}

/// Has an object say what is to be said of it, if there is such an object.
async fn put(client: &Client, key: &Key, said: &Said) -> Result<Written, Error> {
    let objects = Api::at(client, key.kind.path_in(&key.namespace));
    let Some(object) = objects.get::<Value>(&key.name).await? else { return Ok(Written::Done) };
    let Some(change) = change(&object, said, &now()) else { return Ok(Written::Done) };
    match objects.merge_status(&key.name, &change).await {
        // It has gone meanwhile, or has no status.
        Err(error) if error.is_gone() => Ok(Written::Done),
        written => written,
    }
}

/// What has to be merged into an object so that it says what is to be said; nothing if it does already. An object that is newer than what
/// is known of it is left alone: what is to be said of it is on its way.
fn change(object: &Value, said: &Said, now: &str) -> Option<Value> {
    let metadata = &object["metadata"];
    if metadata["generation"].as_i64().is_some_and(|generation| generation > said.generation) {
        return None;
    }
    let before: Vec<Value> = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let is_ours = |it: &&Value| it["type"].as_str().is_some_and(|kind| OURS.contains(&kind));
    let mut after: Vec<Value> = before.iter().filter(|it| !is_ours(it)).cloned().collect();
    after.extend(said.conditions.iter().map(|condition| {
        let old = before.iter().find(|it| it["type"] == condition.kind);
        written(condition, (said.generation, now), old)
    }));
    let same = before.len() == after.len() && after.iter().all(|it| before.contains(it));
    let version = &metadata["resourceVersion"];
    (!same).then(|| json!({ "metadata": { "resourceVersion": version }, "status": { "conditions": after } }))
}

/// A condition as it is written. When it has become so is kept for as long as it is so.
fn written(condition: &Condition, (generation, now): (i64, &str), old: Option<&Value>) -> Value {
    let status = if condition.holds { "True" } else { "False" };
    let since = old.filter(|old| old["status"] == status).and_then(|old| old["lastTransitionTime"].as_str());
    json!({
        "type": condition.kind,
        "status": status,
        "reason": condition.reason,
        "message": condition.message,
        "observedGeneration": generation,
        "lastTransitionTime": since.unwrap_or(now),
    })
}

/// The moment, to the second.
fn now() -> String {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).expect("a year with four digits")
}

#[cfg(test)]
mod tests;
