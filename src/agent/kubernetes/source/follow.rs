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
use kube::core::Request;
use kube::core::params::WatchParams;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use self::trouble::Trouble;
use self::watch::{End, Watch};
use super::Change;
use super::freshness::{Freshness, Resource};
use crate::kubernetes::call::{self, Error};
use crate::kubernetes::facts::{NamespaceFacts, PodFacts, Relevant};
use crate::kubernetes::list::List;
use crate::kubernetes::metered;
use crate::kubernetes::pause::{Pace, Pauses};
use crate::kubernetes::wire;

mod trouble;
mod watch;

/// Refusals after which a watch does not go on from its version: a server that was restored from a backup does not know it yet.
const MOST_REFUSALS: u32 = 3;

/// What has happened to a resource.
#[derive(Debug)]
pub(super) enum Delta<T> {
    /// These are all there are.
    All(Vec<T>),
    /// There is this one, new or changed.
    One(T),
    /// This one was deleted.
    Gone(T),
}

/// What can be followed.
pub(super) trait Followed: Sized {
    type Wire: DeserializeOwned;
    fn version(wire: &Self::Wire) -> &str;
    fn of(wire: Self::Wire, relevant: &Relevant) -> Option<Self>;
    fn change(delta: Delta<Self>) -> Change;
}

impl Followed for PodFacts {
    type Wire = wire::Pod;
    fn version(wire: &wire::Pod) -> &str {
        &wire.metadata.resource_version
    }
    fn of(wire: wire::Pod, relevant: &Relevant) -> Option<Self> {
        Self::of(wire, relevant)
    }
    fn change(delta: Delta<Self>) -> Change {
        Change::Pods(delta)
    }
}

impl Followed for NamespaceFacts {
    type Wire = wire::Namespace;
    fn version(wire: &wire::Namespace) -> &str {
        &wire.metadata.resource_version
    }
    fn of(wire: wire::Namespace, relevant: &Relevant) -> Option<Self> {
        Self::of(wire, relevant)
    }
    fn change(delta: Delta<Self>) -> Change {
        Change::Namespaces(delta)
    }
}

/// Follows one resource.
pub(super) struct Follow {
    pub(super) client: Client,
    pub(super) resource: Resource,
    /// A field selector, or nothing.
    pub(super) selector: String,
    /// What of the objects is kept.
    pub(super) relevant: Relevant,
    pub(super) pace: Pace,
    pub(super) freshness: Freshness,
    pub(super) changes: mpsc::Sender<Change>,
}

/// Nobody wants to know any more.
#[derive(Debug)]
struct Unwanted;

/// What following has been like so far.
struct Course {
    pauses: Pauses,
    trouble: Trouble,
}

impl Follow {
    /// Runs until nobody takes the changes.
    pub(super) async fn run<T: Followed>(self) {
        let mut course = Course { pauses: Pauses::new(&self.pace), trouble: Trouble::new(self.resource) };
        loop {
            match self.list::<T>().await {
                Ok((objects, version)) => {
                    course.trouble.over("list");
                    if self.hand_on(T::change(Delta::All(objects))).await.is_err()
                        || self.watch::<T>(version, &mut course).await.is_err()
                    {
                        return;
                    }
                }
                Err(error) => course.trouble.met("list", &error),
            }
            sleep(course.pauses.next()).await;
        }
    }

    async fn hand_on(&self, change: Change) -> Result<(), Unwanted> {
        self.changes.send(change).await.map_err(|_| Unwanted)
    }

    /// All objects, and the version they are of.
    async fn list<T: Followed>(&self) -> Result<(Vec<T>, String), Error> {
        let list =
            List { path: self.resource.path(), field_selector: self.selector(), within: self.pace.answer };
        list.all(&self.client, |wire| T::of(wire, &self.relevant), || self.freshness.heard(self.resource))
            .await
    }

    /// Watches for as long as no change can have been missed.
    async fn watch<T: Followed>(&self, mut version: String, course: &mut Course) -> Result<(), Unwanted> {
        let listed = Instant::now();
        let mut refusals = 0;
        while listed.elapsed() < self.pace.relist {
            let begun = Instant::now();
            let stream = match self.open(&version).await {
                Ok(stream) => stream,
                Err(error) => {
                    course.trouble.met("watch", &error);
                    refusals += u32::from(error.code().is_some());
                    if error.is_final() || refusals >= MOST_REFUSALS {
                        return Ok(());
                    }
                    sleep(course.pauses.next()).await;
                    continue;
                }
            };
            course.trouble.over("watch");
            refusals = 0;
            let end = self.read::<T>(stream, &mut version, course).await?;
            self.ended(&end);
            if !end.leaves_nothing_out() {
                return Ok(());
            }
            if begun.elapsed() < self.pace.first {
                sleep(course.pauses.next()).await;
            } else {
                course.pauses.reset();
            }
        }
        Ok(())
    }

    async fn open(&self, version: &str) -> Result<Watch, Error> {
        let seconds = u32::try_from(self.pace.watch.as_secs()).unwrap_or(u32::MAX);
        let params =
            WatchParams { field_selector: self.selector(), ..WatchParams::default().timeout(seconds) };
        let request = Request::new(self.resource.path()).watch(&params, version);
        let reader = call::open(&self.client, request, self.pace.answer).await?;
        self.freshness.heard(self.resource);
        Ok(Watch::new(reader, Instant::now() + self.pace.watch + self.pace.grace))
    }

    /// Hands on what a watch says until it ends; `version` is how far that was.
    async fn read<T: Followed>(
        &self,
        mut watch: Watch,
        version: &mut String,
        course: &mut Course,
    ) -> Result<End, Unwanted> {
        loop {
            let said = match watch.next::<T>(&self.relevant).await {
                Ok(said) => said,
                Err(end) => return Ok(end),
            };
            self.freshness.heard(self.resource);
            course.pauses.reset();
            if let Some(delta) = said.delta {
                self.hand_on(T::change(delta)).await?;
            }
            *version = said.version;
        }
    }

    fn ended(&self, end: &End) {
        let resource = self.resource.name();
        metered::watch_restarted(resource, end.reason());
        match end {
            End::Failed { message } => warn!(resource, message, "a watch has failed, listing again"),
            End::Garbage => warn!(resource, "a watch says what makes no sense, listing again"),
            End::Ended | End::Silent | End::Expired => {
                debug!(resource, reason = end.reason(), "a watch has ended");
            }
        }
    }

    fn selector(&self) -> Option<String> {
        (!self.selector.is_empty()).then(|| self.selector.clone())
    }
}
