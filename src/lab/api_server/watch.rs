//! One watch: a body that never ends by itself, one JSON object on each line, one line in each chunk.
//!
//! ```text
//!  start: [ADDED of all objects] [BOOKMARK initial-events-end] ─▶ changes, orders, bookmarks ─▶ end: timeout, order, too old
//! ```
//!
//! A watch keeps nothing but the revision it has come to; what happened since is in the store's history. Selectors are
//! applied to both sides of a change: what stops matching is DELETED for this watch, and what starts to is ADDED.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::call::Options;
use super::faults::{Faults, StreamingLists, TooOld};
use super::refusal::Refusal;
use super::shape::Shape;
use super::state::{Shared, State};
use super::store::{Change, Store, with_revision};
use super::watches::{Act, Order};

/// Starts a watch.
pub(crate) fn start(shared: &Arc<Shared>, shape: Shape, options: Options) -> Result<Body, Refusal> {
    let bell = shared.bell();
    let mut state = shared.lock();
    let opening = Opening::of(&state, &options)?;
    let number = state.watches.add(&shape.kind.plural);
    let mut watch = Watch {
        shared: Arc::clone(shared),
        number,
        revision: state.store.revision(),
        ends: options.timeout.map(|timeout| Instant::now() + timeout),
        bookmark: None,
        lines: VecDeque::new(),
        closing: None,
        shape,
        options,
        bell,
    };
    watch.open(&state, opening);
    drop(state);
    Ok(Body::from_stream(futures::stream::unfold(watch, next)))
}

/// How a watch begins.
#[derive(Debug)]
enum Opening {
    /// With all objects as they are, and maybe a bookmark that says that these were all.
    Objects { marked: bool },
    /// With what happened after a revision.
    Changes(u64),
    /// With an ERROR event, and that was it.
    Error(Refusal),
}

impl Opening {
    fn of(state: &State, options: &Options) -> Result<Self, Refusal> {
        let (store, faults) = (&state.store, &state.faults);
        let asked = options.revision.unwrap_or_default();
        if options.initial_events {
            return Self::streaming_list(store, faults, asked);
        }
        if asked == 0 {
            return Ok(Self::Objects { marked: false });
        }
        match (store.since(asked).is_err(), faults.too_old) {
            (false, _) => Ok(Self::Changes(asked)),
            (true, TooOld::Event) => Ok(Self::Error(too_old(asked, store.revision()))),
            (true, TooOld::Status) => Err(too_old(asked, store.revision())),
        }
    }

    fn streaming_list(store: &Store, faults: &Faults, asked: u64) -> Result<Self, Refusal> {
        match faults.streaming_lists {
            StreamingLists::Supported if asked > store.revision() => {
                Err(Refusal::too_new(asked, store.revision()))
            }
            StreamingLists::Supported => Ok(Self::Objects { marked: true }),
            StreamingLists::Invalid => Err(Refusal::invalid_options(
                "sendInitialEvents",
                "Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled",
            )),
            StreamingLists::ErrorEvent(code) => Ok(Self::Error(Refusal::of_code(code))),
        }
    }
}

fn too_old(asked: u64, current: u64) -> Refusal {
    Refusal::expired(format!("too old resource version: {asked} ({current})"))
}

/// A watch that is open.
struct Watch {
    shared: Arc<Shared>,
    number: u64,
    shape: Shape,
    options: Options,
    /// All changes up to this one have been turned into lines.
    revision: u64,
    /// Lines to send.
    lines: VecDeque<Bytes>,
    /// What to do after the lines.
    closing: Option<Closing>,
    ends: Option<Instant>,
    /// When the next bookmark is due; none while it waits for nothing.
    bookmark: Option<Instant>,
    bell: watch::Receiver<()>,
}

#[derive(Debug, Clone, Copy)]
enum Closing {
    End,
    Break,
}

/// The next chunk of the body.
async fn next(mut watch: Watch) -> Option<(io::Result<Bytes>, Watch)> {
    loop {
        if let Some(line) = watch.lines.pop_front() {
            return Some((Ok(line), watch));
        }
        match watch.closing {
            Some(Closing::End) => return None,
            Some(Closing::Break) => {
                // Gives the connection the time to write what it has been given before.
                tokio::task::yield_now().await;
                return Some((Err(io::ErrorKind::ConnectionAborted.into()), watch));
            }
            None => {}
        }
        watch.bell.mark_unchanged();
        let stalled = watch.collect();
        if watch.lines.is_empty() && watch.closing.is_none() {
            watch.wait(stalled).await;
        }
    }
}

impl Watch {
    fn open(&mut self, state: &State, opening: Opening) {
        match opening {
            Opening::Changes(revision) => self.revision = revision,
            Opening::Error(refusal) => self.fail(&refusal),
            Opening::Objects { marked } => {
                let objects = state.store.objects(&self.shape.kind.table());
                for (_, object) in objects.filter(|(_, object)| self.options.selector.matches(object)) {
                    self.lines.push_back(line("ADDED", &self.shape.object(object)));
                }
                if marked {
                    self.bookmark(&state.faults, true);
                }
            }
        }
    }

    /// Turns what has happened, has been ordered, or is due into lines. The answer is whether it may do nothing.
    fn collect(&mut self) -> bool {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        let Some(orders) = state.watches.orders(self.number) else { return true };
        for Order { after, act } in orders {
            self.follow(&state.store, after);
            self.act(&state.faults, act);
            if self.closing.is_some() {
                return false;
            }
        }
        self.follow(&state.store, u64::MAX);
        self.look_at_the_clock(&state.faults);
        false
    }

    /// Sends what has happened up to a revision.
    fn follow(&mut self, store: &Store, until: u64) {
        let Ok(changes) = store.since(self.revision) else {
            return self.fail(&too_old(self.revision, store.revision()));
        };
        let table = self.shape.kind.table();
        for change in changes.take_while(|change| change.revision <= until) {
            self.revision = change.revision;
            if change.key.table == table {
                self.lines.extend(self.event(change));
            }
        }
    }

    /// What a change is to this watch.
    fn event(&self, change: &Change) -> Option<Bytes> {
        let matching = |object: &Option<Arc<Value>>| {
            object.clone().filter(|object| self.options.selector.matches(object))
        };
        let (kind, object) = match (matching(&change.before), matching(&change.after)) {
            (None, Some(after)) => ("ADDED", after),
            (Some(_), Some(after)) => ("MODIFIED", after),
            // The last state that matched, as of the change that ended it.
            (Some(before), None) => ("DELETED", with_revision(&before, change.revision)),
            (None, None) => return None,
        };
        Some(line(kind, &self.shape.object(&object)))
    }

    fn act(&mut self, faults: &Faults, act: Act) {
        match act {
            Act::Bookmark => self.bookmark(faults, false),
            Act::Error(status) => self.lines.push_back(line("ERROR", &status)),
            Act::Line(text) => self.lines.push_back(format!("{text}\n").into()),
            Act::End => self.closing = Some(Closing::End),
            Act::Break(half) => {
                self.lines.push_back(Bytes::from_static(half.as_bytes()));
                self.lines.retain(|line| !line.is_empty());
                self.closing = Some(Closing::Break);
            }
        }
    }

    fn look_at_the_clock(&mut self, faults: &Faults) {
        let now = Instant::now();
        let due = *self.bookmark.get_or_insert(now + faults.bookmark_interval);
        if self.ends.is_some_and(|ends| ends <= now) {
            self.bookmark(faults, false);
            self.closing = Some(Closing::End);
        } else if due <= now {
            self.bookmark(faults, false);
            self.bookmark = Some(now + faults.bookmark_interval);
        }
    }

    fn bookmark(&mut self, faults: &Faults, initial_events_end: bool) {
        if self.options.bookmarks && !faults.no_bookmarks {
            self.lines.push_back(line("BOOKMARK", &self.shape.bookmark(self.revision, initial_events_end)));
        }
    }

    fn fail(&mut self, refusal: &Refusal) {
        self.lines.push_back(line("ERROR", &refusal.status()));
        self.closing = Some(Closing::End);
    }

    /// Until something has changed or is due; cancel safe.
    async fn wait(&mut self, stalled: bool) {
        let due = [self.ends, self.bookmark].into_iter().flatten().min().filter(|_| !stalled);
        let due = due.unwrap_or_else(|| Instant::now() + LONG);
        tokio::select! {
            _ = self.bell.changed() => {}
            () = sleep_until(due) => {}
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.change(|state| state.watches.remove(self.number));
    }
}

/// When nothing is due.
const LONG: Duration = Duration::from_secs(3600);

fn line(kind: &str, object: &Value) -> Bytes {
    format!("{}\n", json!({"type": kind, "object": object})).into()
}
