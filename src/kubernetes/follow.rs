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
//! A resource that need not be there is listed again after a while when the server says that it does not have it, and has no objects
//! until then.
//!
//! A watch goes on from a version only where nothing can be missing in between. What the changes mean is not known here.

use kube::Client;
use kube::core::Request as Paths;
use kube::core::params::WatchParams;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, sleep};
use tracing::{debug, info, warn};

use self::trouble::Trouble;
use self::watch::{End, Watch};
use crate::absence;
use crate::asker::Asker;
use crate::call::{self, Error};
use crate::freshness::Pulse;
use crate::list::List;
use crate::pause::{Pace, Pauses};
use crate::resource::{Presence, Resource};

mod trouble;
mod watch;

#[cfg(test)]
mod tests;

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
    /// Runs until nobody takes the changes, or until it is dropped. Of each object, read as a `W`, `keep` makes what is kept of it, if
    /// anything; `say` makes of a delta what the channel takes. Deltas arrive in the order in which things happened, and nothing is read
    /// while the channel is full.
    ///
    /// A list or a watch with an object in it that is no `W` fails as a whole, and nothing of it is handed on; with a
    /// [`Lenient<W>`](crate::Lenient) that object is handed to `keep` by name, and the others as usual.
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
            absent: false,
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
    /// The server does not have it, and that there are none was handed on.
    absent: bool,
}

impl<W: DeserializeOwned, T, C> Following<W, T, C> {
    async fn run(mut self) {
        loop {
            let Ok(pause) = self.round().await else { return };
            sleep(pause).await;
        }
    }

    /// Lists and watches, until there has to be another list after a pause.
    async fn round(&mut self) -> Result<Duration, Unwanted> {
        let (objects, version) = match self.list().await {
            Ok(listed) => listed,
            Err(error) => return self.unlisted(error).await,
        };
        self.trouble.over("list");
        if std::mem::take(&mut self.absent) {
            info!(resource = self.what.resource.name, "the API server has it");
        }
        self.hand_on(Delta::All(objects)).await?;
        self.watch(version).await?;
        Ok(self.pauses.next())
    }

    /// There is no list. That is no trouble of a resource that need not be there, and is not.
    async fn unlisted(&mut self, error: Error) -> Result<Duration, Unwanted> {
        if let Err(error) = self.absent(error).await {
            self.trouble.met("list", &error);
            return Ok(self.pauses.next());
        }
        self.what.pulse.heard();
        self.trouble.over("list");
        self.pauses.reset();
        if !std::mem::replace(&mut self.absent, true) {
            info!(resource = self.what.resource.name, "the API server does not have it, so there are none");
            self.hand_on(Delta::All(Vec::new())).await?;
        }
        Ok(self.what.pace.absent)
    }

    /// Whether the server does not have the resource, and may; else what is wrong.
    async fn absent(&self, error: Error) -> Result<(), Error> {
        if !self.may_mean_absent(&error) {
            return Err(error);
        }
        let Follow { client, resource, pace, .. } = &self.what;
        let is_absent = absence::is_confirmed(client, &resource.path, pace.answer).await?;
        // It may have come between the two questions.
        if is_absent || self.absent { Ok(()) } else { Err(error) }
    }

    fn may_mean_absent(&self, error: &Error) -> bool {
        self.what.resource.presence == Presence::Optional && error.code() == Some(404)
    }

    async fn hand_on(&self, delta: Delta<T>) -> Result<(), Unwanted> {
        self.changes.send((self.say)(delta)).await.map_err(|_| Unwanted)
    }

    /// All objects, and the version they are of.
    async fn list(&self) -> Result<(Vec<T>, String), Error> {
        let Follow { client, resource, pace, pulse, .. } = &self.what;
        let list = List { resource, within: pace.answer };
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
                // The list will tell.
                Err(error) if self.may_mean_absent(&error) => return Ok(()),
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
