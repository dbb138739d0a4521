//! Everything the server knows, behind one lock, and the bell that rings when it changes.
//!
//! Test threads and the server's thread both take the lock, briefly; nobody waits for anything while holding it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

use super::faults::Faults;
use super::store::Store;
use super::tokens::Tokens;
use super::watches::Watches;

/// What all parts of the server share.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

/// What the server knows.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) faults: Faults,
    pub(crate) tokens: Tokens,
    pub(crate) watches: Watches,
    pub(crate) log: Log,
}

impl Shared {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), changed: watch::Sender::new(()) })
    }

    /// Looks at the state, or changes what no watch could want to know.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and wakes the watches.
    pub(crate) fn change<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let done = work(&mut self.lock());
        self.changed.send_replace(());
        done
    }

    /// Rings whenever the state has been changed.
    pub(crate) fn bell(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}

/// One request as it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// As rules of who may do what have it: `list`, `watch`, `patch`. Empty for paths that name no resource.
    pub verb: String,
    /// `pods`, `pods/status`. Empty for paths that name no resource.
    pub resource: String,
    /// The HTTP method.
    pub method: String,
    /// The path.
    pub path: String,
    /// What is behind the question mark, as it was sent.
    pub query: String,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The `Content-Type` header.
    pub content_type: Option<String>,
    /// The body, where it is JSON; else null.
    pub body: Value,
}

/// How many requests are remembered.
const REMEMBERED: usize = 10_000;

/// The newest requests, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Log(VecDeque<Request>);

impl Log {
    pub(crate) fn add(&mut self, request: Request) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(request);
    }

    pub(crate) fn all(&self) -> Vec<Request> {
        self.0.iter().cloned().collect()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
