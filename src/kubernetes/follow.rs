//! One resource, listed and then watched, for ever: whatever happens, what is handed on becomes what the server has.
//!
//! ```text
//!        ┌──────────── pause ◀── fails ──┐
//!        ▼                               │
//!  ─▶ list, page by page ── complete ─▶ watch from its version ─┐
//!        ▲                               ▲   │ ended, silent, server away
//!        │                               └───┘ goes on from the last version
//!        └── expired, garbage, an error in the stream, half an hour: something may be missing
//! ```
//!
//! A watch goes on from a version only where nothing can be missing in between. What the changes mean is not known here.

use kube::Client;
use kube::core::Request as Paths;
use kube::core::params::WatchParams;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use self::trouble::Trouble;
use self::watch::{End, Watch};
use crate::asker::Asker;
use crate::call::{self, Error};
use crate::freshness::Pulse;
use crate::list::List;
use crate::pause::{Pace, Pauses};

mod trouble;
mod watch;

/// Refusals after which a watch does not go on from its version: a server that was restored from a backup does not know it yet.
const MOST_REFUSALS: u32 = 3;

/// What has happened to a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delta<T> {
    /// These are all there are.
    All(Vec<T>),
    /// There is this one, new or changed.
    One(T),
    /// This one was deleted.
    Gone(T),
}

/// What is followed.
#[derive(Debug, Clone)]
pub struct Resource {
    /// What it is called in log lines and metrics: `pods`.
    pub name: &'static str,
    /// Where it is: `/api/v1/pods`.
    pub path: String,
    /// Which of its objects, as a field selector.
    pub fields: Option<String>,
}

impl Resource {
    /// All objects at a path.
    #[must_use]
    pub fn new(name: &'static str, path: impl Into<String>) -> Self {
        Self { name, path: path.into(), fields: None }
    }

    /// Only those a field selector selects: `spec.nodeName=n1`.
    #[must_use]
    pub fn selected(self, fields: impl Into<String>) -> Self {
        Self { fields: Some(fields.into()), ..self }
    }
}

/// Follows one resource.
pub struct Follow {
    /// Whom to ask.
    pub client: Client,
    /// What for.
    pub resource: Resource,
    /// How long to wait.
    pub pace: Pace,
    /// Where to note that something was heard.
    pub pulse: Pulse,
    /// On whose behalf.
    pub asker: Asker,
}

impl Follow {
    /// Runs until nobody takes the changes. Of each object, read as a `W`, `keep` makes what is kept of it, if anything; `say` makes of a
    /// delta what the channel takes. They arrive in the order in which they happened, and nothing is read while the channel is full.
    pub async fn run<W, T, C>(
        self,
        keep: impl Fn(W) -> Option<T> + Send + Sync + 'static,
        say: impl Fn(Delta<T>) -> C + Send + Sync + 'static,
        changes: mpsc::Sender<C>,
    ) where
        W: DeserializeOwned,
    {
        let following = Following {
            keep: Box::new(keep),
            say: Box::new(say),
            changes,
            pauses: Pauses::new(&self.pace),
            trouble: Trouble::new(self.resource.name, self.asker),
            what: self,
        };
        following.run().await;
    }
}

/// Nobody wants to know any more.
#[derive(Debug)]
struct Unwanted;

/// A resource that is being followed, and what that has been like so far.
struct Following<W, T, C> {
    what: Follow,
    keep: Box<dyn Fn(W) -> Option<T> + Send + Sync>,
    say: Box<dyn Fn(Delta<T>) -> C + Send + Sync>,
    changes: mpsc::Sender<C>,
    pauses: Pauses,
    trouble: Trouble,
}

impl<W: DeserializeOwned, T, C> Following<W, T, C> {
    async fn run(mut self) {
        loop {
            match self.list().await {
                Ok((objects, version)) => {
                    self.trouble.over("list");
                    if self.hand_on(Delta::All(objects)).await.is_err() || self.watch(version).await.is_err()
                    {
                        return;
                    }
                }
                Err(error) => self.trouble.met("list", &error),
            }
            sleep(self.pauses.next()).await;
        }
    }

    async fn hand_on(&self, delta: Delta<T>) -> Result<(), Unwanted> {
        self.changes.send((self.say)(delta)).await.map_err(|_| Unwanted)
    }

    /// All objects, and the version they are of.
    async fn list(&self) -> Result<(Vec<T>, String), Error> {
        let Follow { client, resource, pace, pulse, .. } = &self.what;
        let list =
            List { path: &resource.path, field_selector: resource.fields.clone(), within: pace.answer };
        list.all(client, &self.keep, || pulse.heard()).await
    }

    /// Watches for as long as no change can have been missed.
    async fn watch(&mut self, mut version: String) -> Result<(), Unwanted> {
        let pace = self.what.pace;
        let listed = Instant::now();
        let mut refusals = 0;
        while listed.elapsed() < pace.relist {
            let begun = Instant::now();
            let stream = match self.open(&version).await {
                Ok(stream) => stream,
                Err(error) => {
                    self.trouble.met("watch", &error);
                    refusals += u32::from(error.code().is_some());
                    if error.is_final() || refusals >= MOST_REFUSALS {
                        return Ok(());
                    }
                    sleep(self.pauses.next()).await;
                    continue;
                }
            };
            self.trouble.over("watch");
            refusals = 0;
            let end = self.read(stream, &mut version).await?;
            self.ended(&end);
            if !end.leaves_nothing_out() {
                return Ok(());
            }
            if begun.elapsed() < pace.first {
                sleep(self.pauses.next()).await;
            } else {
                self.pauses.reset();
            }
        }
        Ok(())
    }

    async fn open(&self, version: &str) -> Result<Watch, Error> {
        let Follow { client, resource, pace, pulse, .. } = &self.what;
        let seconds = u32::try_from(pace.watch.as_secs()).unwrap_or(u32::MAX);
        let params = WatchParams {
            field_selector: resource.fields.clone(),
            ..WatchParams::default().timeout(seconds)
        };
        let request = Paths::new(resource.path.as_str()).watch(&params, version);
        let reader = call::open(client, request.into(), pace.answer).await?;
        pulse.heard();
        Ok(Watch::new(reader, Instant::now() + pace.watch + pace.grace))
    }

    /// Hands on what a watch says until it ends; `version` is how far that was.
    async fn read(&mut self, mut watch: Watch, version: &mut String) -> Result<End, Unwanted> {
        loop {
            let said = match watch.next(&self.keep).await {
                Ok(said) => said,
                Err(end) => return Ok(end),
            };
            self.what.pulse.heard();
            self.pauses.reset();
            if let Some(delta) = said.delta {
                self.hand_on(delta).await?;
            }
            *version = said.version;
        }
    }

    fn ended(&self, end: &End) {
        let resource = self.what.resource.name;
        self.what.asker.watch_restarted(resource, end.reason());
        match end {
            End::Failed { message } => warn!(resource, message, "a watch has failed, listing again"),
            End::Garbage => warn!(resource, "a watch says what makes no sense, listing again"),
            End::Ended | End::Silent | End::Expired => {
                debug!(resource, reason = end.reason(), "a watch has ended");
            }
        }
    }
}
