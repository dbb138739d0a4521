//! What became of a connection: one report for each, in the books, in the metrics, in the access log and for a collector of
//! telemetry, failures before the first byte included.

pub(crate) mod access;
mod dry_run;
mod failure;
mod labels;
pub(crate) mod sampling;

use std::net::SocketAddr;
use std::sync::{Arc, MutexGuard};
use std::time::Instant;

use culvert_core::hbone::TraceParent;
use culvert_core::refusal::Flag;
use culvert_metrics::Counters;

use crate::capture;
use crate::ledger::{Book, Direction, Facts, Record, Stage, Tried};
use crate::limits::{By, OfPod, Place};
use crate::stream::Moved;

pub(crate) use dry_run::count_dry_run;
pub(crate) use failure::Failure;
pub(crate) use labels::{Labels, describe as describe_metrics, show};

const PROBES: &str = "culvert_kubelet_probes_total";

/// The report on one connection. It is given when this is dropped, whatever happens to the task.
#[derive(Debug)]
pub(crate) struct Report {
    book: Arc<Book>,
    record: Arc<Record>,
    /// What counts it, once the connection is made: looked up once, because its labels are many.
    counters: Option<Counters>,
    /// What it holds of what its pod may have.
    place: Option<Place>,
    is_given: bool,
}

impl Report {
    /// Begins the report on an accepted connection.
    pub(crate) fn begin(
        book: &Arc<Book>,
        direction: Direction,
        client: SocketAddr,
        destination: SocketAddr,
    ) -> Box<Self> {
        let record = book.begin(direction, client, destination);
        Box::new(Self { book: Arc::clone(book), record, counters: None, place: None, is_given: false })
    }

    /// Begins the report on a captured connection.
    pub(crate) fn of(book: &Arc<Book>, direction: Direction, captured: &capture::Captured) -> Box<Self> {
        Self::begin(book, direction, captured.client, captured.destination)
    }

    /// Takes the place of one more connection of its pod, until it is over.
    pub(crate) fn hold(&mut self, limits: &Arc<OfPod>, by: By<'_>) -> Result<(), Failure> {
        self.place = Some(limits.connect(by)?);
        Ok(())
    }

    /// Sees to it that it has the descriptors it needs.
    pub(crate) fn needs(&mut self, descriptors: u32) -> Result<(), Failure> {
        let place = self.place.as_mut().map_or(Ok(()), |place| place.needs(descriptors));
        place.map_err(Failure::from)
    }

    /// What is known of the connection.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// Writes down the trace a peer says that it belongs to.
    pub(crate) fn follow(&self, said: TraceParent) {
        let trace = self.book.telemetry.follow(said);
        self.facts().trace = trace;
    }

    /// What becomes known of it, to be written down. Never held for longer than that takes.
    pub(crate) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.record.facts()
    }

    /// What counts the bytes.
    pub(crate) fn moved(&self) -> Arc<Moved> {
        Arc::clone(&self.facts().moved)
    }

    /// What is to be said of the attempt at hand, should another one follow.
    pub(crate) fn attempt(&self, failure: &Failure) -> Tried {
        let error = failure.in_words().into();
        Tried { at: Instant::now(), address: self.facts().destination, reason: failure.reason(), error }
    }

    /// Says that the connection is made, and that all is known about both ends.
    pub(crate) fn opened(&mut self) {
        let probe = {
            let mut facts = self.record.facts();
            facts.enter(Stage::Open);
            facts.probe
        };
        if !probe {
            self.name_counters();
        }
        access::opened(&self.record);
    }

    /// Says how it ended; without this it was cut off by a drain.
    pub(crate) fn end(mut self, result: Result<(), Failure>) {
        self.give(result);
    }

    fn give(&mut self, result: Result<(), Failure>) {
        self.is_given = true;
        self.count(result.as_ref().err());
        let ended = self.book.end(&self.record, result);
        let logged = access::ended(&self.record, &ended);
        self.book.telemetry.ended(&self.book, &self.record, logged);
    }

    /// What a peer that is not let in says of itself is in the log alone.
    fn counters(&self, facts: &Facts, flag: Flag) -> Counters {
        let hearsay = labels::Hearsay { counts: self.counters.is_some() };
        labels::counters(self.record.direction, facts, flag, hearsay)
    }

    fn name_counters(&mut self) {
        let facts = self.record.facts();
        let hearsay = labels::Hearsay { counts: true };
        let counters = labels::counters(self.record.direction, &facts, Flag::None, hearsay);
        counters.add(labels::OPENED, 1);
        // The counters' names take the server's point of view, on both reporters.
        facts.moved.forth.belong_to(counters.one(labels::RECEIVED));
        facts.moved.back.belong_to(counters.one(labels::SENT));
        // Shown before anything is counted in it: a rate is seen from the first one on.
        counters.add(labels::CLOSED, 0);
        self.counters = Some(counters);
    }

    fn count(&self, failure: Option<&Failure>) {
        let mut facts = self.record.facts();
        if facts.probe {
            let result = failure.map_or("ok", Failure::reason);
            metrics::counter!(PROBES, vec![metrics::Label::new("result", result)]).increment(1);
            return;
        }
        facts.moved.forth.tell();
        facts.moved.back.tell();
        // Records are kept; their series need not be.
        facts.moved = Arc::new(facts.moved.settled());
        if self.counters.is_none() {
            // Refused before any byte: it still was a connection, and closed must not outnumber opened.
            self.counters(&facts, Flag::None).add(labels::OPENED, 1);
        }
        let flag = failure.map_or(Flag::None, Failure::flag);
        match &self.counters {
            Some(counters) if flag == Flag::None => counters.add(labels::CLOSED, 1),
            _ => {
                let counters = self.counters(&facts, flag);
                counters.add(labels::CLOSED, 1);
                if flag != Flag::None {
                    counters.add(labels::FAILED, 1);
                }
            }
        }
        if let Some(failure) = failure {
            let by = metrics::Label::new("reason", failure.reason());
            metrics::counter!("culvert_connections_ended_early_total", vec![by]).increment(1);
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if !self.is_given {
            self.give(Err(Failure::Drained));
        }
    }
}
