//! Addresses for `ServiceEntries` that have none, written into their status: from there everybody takes them, and every replica after us.
//!
//! In goes who is to be given what, as it follows from all entries; out come statuses. One replica writes: the one that leads. What is
//! known may be old, so an entry is read before it is written, and written only as it was read: of two who take themselves for the
//! leader the slower one is refused. Whether two entries have one address is not looked at here: that follows from the entries, and the
//! younger is then given others.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use culvert_derive::Key;
use culvert_derive::entry::Allotment;
use culvert_kubernetes::{Client, Error, Pace, Pauses};
use culvert_process::exit::Chain;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use super::api::{Api, Written};
use super::contest::Contests;
use super::due::{self, Due};
use super::mesh::Allotments;

/// How much longer than usual the pauses of an entry may be that cannot be written: it has them for itself.
const PATIENCE: u32 = 8;

/// Gives addresses.
pub(super) struct Giver {
    client: Client,
    allotments: Allotments,
    leads: watch::Receiver<bool>,
    pace: Pace,
    wanted: HashMap<String, Allotment>,
    due: Due,
    contests: Contests,
    failing: HashMap<String, Pauses>,
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Given,
    /// It is another one than is known, which is heard of; or there is none any more.
    Other,
    /// It was given the same before, and somebody has taken that away: it is left so for a while.
    Taken(Duration),
}

impl Giver {
    pub(super) fn new(
        client: &Client,
        (allotments, leads): (Allotments, watch::Receiver<bool>),
        pace: Pace,
    ) -> Self {
        Self {
            client: client.clone(),
            allotments,
            leads,
            pace: Pace { longest: pace.longest * PATIENCE, ..pace },
            wanted: HashMap::new(),
            due: Due::default(),
            contests: Contests::default(),
            failing: HashMap::new(),
        }
    }

    /// Runs for as long as anybody says who is to be given what; writes whenever we lead.
    pub(super) async fn run(mut self) {
        self.take_note();
        loop {
            self.due.ripen(Instant::now());
            let leads = *self.leads.borrow_and_update();
            if leads && let Some(entry) = self.due.take_any() {
                self.give(entry).await;
                if self.allotments.has_changed().unwrap_or(false) {
                    self.take_note();
                }
                continue;
            }
            let next = self.due.next_time().filter(|_| leads);
            tokio::select! {
                changed = self.allotments.changed() => match changed {
                    Ok(()) => self.take_note(),
                    Err(_) => return,
                },
                Ok(()) = self.leads.changed() => {}
                () = due::wait(next) => {}
            }
        }
    }

    /// Takes what is wanted from now on.
    fn take_note(&mut self) {
        let all = Arc::clone(&self.allotments.borrow_and_update());
        let wanted = all.iter().map(|allotment| (allotment.key.to_string(), allotment.clone())).collect();
        let before = std::mem::replace(&mut self.wanted, wanted);
        for entry in before.keys().filter(|entry| !self.wanted.contains_key(*entry)) {
            self.due.forget(entry);
            self.failing.remove(entry);
        }
        all.iter().for_each(|allotment| self.due.at_once(&allotment.key.to_string()));
        self.contests.tidy(Instant::now());
    }

    /// Looks at an entry, and writes it. What is still wanted a while later is looked at again, whatever was heard meanwhile.
    async fn give(&mut self, entry: String) {
        let Some(allotment) = self.wanted.get(&entry).cloned() else { return };
        let answer = self.write(&entry, &allotment).await;
        let pauses = self.failing.entry(entry.clone()).or_insert_with(|| Pauses::new(&self.pace));
        let again_in = match answer {
            Ok(Outcome::Given) => {
                tracing::info!(%entry, addresses = allotment.addresses.len(), "addresses given");
                pauses.reset();
                self.pace.longest
            }
            Ok(Outcome::Other) => pauses.next(),
            Ok(Outcome::Taken(pause)) => {
                tracing::warn!(%entry, again_in = ?pause, "addresses that were given are taken away again: let one alone write the status of ServiceEntries");
                return self.due.rest(&entry, Instant::now() + pause);
            }
            Err(error) => {
                let pause = pauses.next();
                tracing::warn!(%entry, again_in = ?pause, error = %Chain(&error), "addresses cannot be given; it is tried again");
                pause
            }
        };
        self.due.not_before(&entry, Instant::now() + again_in);
    }

    async fn write(&mut self, entry: &str, allotment: &Allotment) -> Result<Outcome, Error> {
        let Key { kind, namespace, name } = &allotment.key;
        let entries = Api::at(&self.client, kind.path_in(namespace));
        let Some(object) = entries.get::<Value>(name).await? else { return Ok(Outcome::Other) };
        let Some(patch) = allotment.patch(&object) else { return Ok(Outcome::Other) };
        let now = Instant::now();
        if let Some(pause) = self.contests.undone(entry, now).filter(|pause| !pause.is_zero()) {
            return Ok(Outcome::Taken(pause));
        }
        match entries.merge_status(name, &patch).await {
            Ok(Written::Done) => {
                self.contests.written(entry, now);
                Ok(Outcome::Given)
            }
            Ok(Written::Outdone) => Ok(Outcome::Other),
            Err(error) if error.is_gone() => Ok(Outcome::Other),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
