//! What is to be trusted, for every namespace: a ConfigMap in each, from which nodes and applications read the roots of the mesh.
//!
//! In go the root and what the API server has; out come ConfigMaps that say the same everywhere, also when somebody has changed one or
//! taken it away. One replica writes: the one that leads. No namespace waits for another: each has its own pauses, after a write that has
//! failed and when somebody else writes there as often as we do ([`Contests`]). Who that is, is said; who of both is right is not decided
//! here.

mod held;
mod place;
mod told;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use culvert_kubernetes::{Client, Delta, Error, Follow, Freshness, Pace, Pauses, Resource};
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};

use super::ASKER;
use super::api::{Api, Written};
use super::contest::Contests;
use super::due::{self, Due};
use crate::live::Live;
use crate::metered;
use crate::root::Root;

use held::Held;
use place::Place;
use told::Told;

/// The name of the ConfigMaps, and the key of the roots in them, which mounts refer to.
pub(super) const MAP: &str = "istio-ca-root-cert";
pub(super) const KEY: &str = "root-cert.pem";

/// Says that the ConfigMap belongs to the mesh.
const LABEL: (&str, &str) = ("istio.io/config", "true");

/// Namespaces that are written to at once.
const AT_ONCE: usize = 8;

/// For how long at least each of them has its place: no more than a hundred are written to in a second.
const PLACE: Duration = Duration::from_millis(80);

/// How often it is counted in how many namespaces somebody else writes.
const COUNT: Duration = Duration::from_secs(15);

/// How much longer than usual the pauses of a namespace may be that cannot be written to: it has them for itself, and there may be
/// thousands of them.
const PATIENCE: u32 = 8;

/// The longest pause of a contest in our own namespace: from what stands there replicas that start know what is trusted.
const OWN_PAUSE: Duration = Duration::from_secs(10);

/// What has been heard.
#[derive(Debug)]
enum Change {
    Namespaces(Delta<Place>),
    Maps(Delta<Held>),
}

/// Keeps the ConfigMaps as they are to be.
pub(super) struct Publisher {
    client: Client,
    /// Our own namespace.
    home: String,
    root: Live<Root>,
    leads: watch::Receiver<bool>,
    changes: mpsc::Receiver<Change>,
    /// Namespaces in which there shall be one.
    open: BTreeSet<String>,
    held: BTreeMap<String, Held>,
    /// Whether it is known which there are.
    listed: bool,
    due: Due,
    contests: Contests,
    /// Those in which it could not be written.
    failing: HashMap<String, Pauses>,
    /// Those that are being written to.
    busy: BTreeSet<String>,
    writes: JoinSet<(String, Result<Written, Error>)>,
    pace: Pace,
    told: Told,
    watches: JoinSet<()>,
}

impl Publisher {
    /// Begins to watch namespaces and ConfigMaps; writes when `leads`.
    pub(super) fn start(
        client: &Client,
        home: &str,
        (root, leads): (Live<Root>, watch::Receiver<bool>),
        pace: Pace,
        freshness: &Freshness,
    ) -> Self {
        let (sender, changes) = mpsc::channel(64);
        let mut watches = JoinSet::new();
        let follow = |resource| {
            let (client, pulse) = (client.clone(), freshness.pulse());
            Follow { client, resource, pace, pulse, asker: ASKER }
        };
        let namespaces = follow(Resource::new("namespaces", "/api/v1/namespaces"));
        watches.spawn(namespaces.run(Place::read, Change::Namespaces, sender.clone()));
        let named = format!("metadata.name={MAP}");
        let maps = follow(Resource::new("configmaps", "/api/v1/configmaps").selected(named));
        watches.spawn(maps.run(|map: ConfigMap| Held::read(map), Change::Maps, sender));
        Self {
            client: client.clone(),
            home: home.to_owned(),
            root,
            leads,
            changes,
            open: BTreeSet::new(),
            held: BTreeMap::new(),
            listed: false,
            due: Due::default(),
            contests: Contests::default(),
            failing: HashMap::new(),
            busy: BTreeSet::new(),
            writes: JoinSet::new(),
            pace: Pace { longest: pace.longest * PATIENCE, ..pace },
            told: Told::default(),
            watches,
        }
    }

    /// Runs for ever; ends when one of the watches has.
    pub(super) async fn run(mut self) {
        let mut counts = interval(COUNT);
        loop {
            let leads = *self.leads.borrow_and_update();
            self.due.ripen(Instant::now());
            if leads && self.listed {
                self.begin();
            }
            tokio::select! {
                biased;
                Some(change) = self.changes.recv() => self.note(change),
                _ = self.watches.join_next() => return,
                Some(ended) = self.writes.join_next() => match ended {
                    Ok((namespace, result)) => self.ended(namespace, result),
                    Err(_) => return,
                },
                Ok(()) = self.root.changed() => self.open.iter().for_each(|place| self.due.at_once(place)),
                Ok(()) = self.leads.changed() => {}
                () = due::wait(self.due.next_time()) => {}
                _ = counts.tick() => {
                    metered::contested(if leads { self.contests.count(Instant::now()) } else { 0 });
                }
            }
        }
    }

    fn note(&mut self, change: Change) {
        match change {
            Change::Namespaces(Delta::All(places)) => {
                let before = std::mem::take(&mut self.open);
                places.into_iter().for_each(|place| self.namespace(place));
                let gone = &before - &self.open;
                gone.iter().for_each(|place| self.forget(place));
            }
            Change::Namespaces(Delta::One(place)) => self.namespace(place),
            Change::Namespaces(Delta::Gone(place)) => self.forget(&place.name),
            Change::Maps(Delta::All(all)) => {
                self.listed = true;
                self.held = all.into_iter().map(|held| (held.namespace.clone(), held)).collect();
                self.open.clone().iter().for_each(|place| self.look(place));
            }
            Change::Maps(Delta::One(held)) => {
                let place = held.namespace.clone();
                self.held.insert(place.clone(), held);
                self.look(&place);
            }
            Change::Maps(Delta::Gone(held)) => {
                let place = held.namespace.clone();
                self.held.remove(&place);
                self.look(&place);
            }
        }
    }

    fn namespace(&mut self, Place { name, is_open }: Place) {
        if is_open {
            self.due.at_once(&name);
            self.open.insert(name);
        } else {
            self.forget(&name);
        }
    }

    /// Nothing is to be written there any more.
    fn forget(&mut self, place: &str) {
        self.open.remove(place);
        self.due.forget(place);
        self.contests.forget(place);
        self.failing.remove(place);
    }

    fn is_right(&self, place: &str) -> bool {
        !self.open.contains(place)
            || self.held.get(place).is_some_and(|held| held.says(self.root.borrow().bundle()))
    }

    /// Finds out whether something is to be done in a namespace about which something was heard, and when.
    fn look(&mut self, place: &str) {
        if self.is_right(place) {
            return self.contests.stands(place);
        }
        let now = Instant::now();
        let longest = if place == self.home { OWN_PAUSE } else { Duration::MAX };
        let pause = self.contests.undone(place, now).map(|pause| pause.min(longest));
        if pause.is_some() {
            metered::undone();
        }
        match pause.filter(|pause| !pause.is_zero()) {
            Some(pause) => {
                self.due.not_before(place, now + pause);
                let by = self.held.get(place).map(|held| held.by.as_deref());
                self.told.contest((place, by), pause, self.contests.count(now));
            }
            None => self.due.at_once(place),
        }
    }

    /// Begins to write wherever it is time to.
    fn begin(&mut self) {
        while self.busy.len() < AT_ONCE {
            let Some(place) = self.due.take(&self.busy) else { return };
            if self.is_right(&place) {
                continue;
            }
            let roots = self.root.borrow().bundle().to_owned();
            let maps = Api::at(&self.client, format!("/api/v1/namespaces/{place}/configmaps"));
            let is_there = self.held.contains_key(&place);
            self.contests.written(&place, Instant::now());
            self.busy.insert(place.clone());
            self.writes.spawn(async move {
                let (result, ()) = tokio::join!(write(&maps, &roots, is_there), sleep(PLACE));
                (place, result)
            });
        }
    }

    fn ended(&mut self, namespace: String, result: Result<Written, Error>) {
        self.busy.remove(&namespace);
        let error = match result {
            Ok(Written::Done) => {
                self.failing.remove(&namespace);
                return;
            }
            // Somebody else was faster: that is heard of, and looked at again.
            Ok(Written::Outdone) => return self.contests.unwritten(&namespace),
            Err(error) => error,
        };
        self.contests.unwritten(&namespace);
        if !self.open.contains(&namespace) {
            return;
        }
        let now = Instant::now();
        let pauses = self.failing.entry(namespace.clone()).or_insert_with(|| Pauses::new(&self.pace));
        self.due.not_before(&namespace, now + pauses.next());
        self.told.failure(&namespace, &error, self.failing.len());
    }
}

/// Somebody else may be faster.
async fn write(maps: &Api, roots: &str, is_there: bool) -> Result<Written, Error> {
    let mut map = json!({
        "metadata": { "labels": { LABEL.0: LABEL.1 } },
        "data": { KEY: roots },
    });
    if is_there {
        return maps.merge(MAP, &map).await;
    }
    map["apiVersion"] = "v1".into();
    map["kind"] = "ConfigMap".into();
    map["metadata"]["name"] = MAP.into();
    maps.create(&map).await
}

#[cfg(test)]
mod tests;
