//! For tests: a follower of an API server that breaks on command.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use culvert_lab::api_server::ApiServer;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::{Asker, Client, Delta, Follow, Freshness, Pace, Resource, client};

/// Until something must have happened.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const TESTS: Asker = Asker {
    name: "tests",
    watch_restarts: "tests_watch_restarts_total",
    api_errors: "tests_api_errors_total",
    view_age: "tests_view_age_seconds",
};

pub(crate) fn pace() -> Pace {
    Pace {
        first: Duration::from_millis(20),
        longest: Duration::from_millis(100),
        answer: Duration::from_secs(1),
        watch: Duration::from_secs(30),
        grace: Duration::from_millis(300),
        relist: Duration::from_secs(3600),
        absent: Duration::from_millis(20),
    }
}

pub(crate) fn client(api: &ApiServer) -> Client {
    client::at(api.url().parse().unwrap()).unwrap()
}

/// What a follower says, and what there is by that.
pub(crate) struct Heard<T> {
    pub(crate) deltas: mpsc::Receiver<Delta<T>>,
    pub(crate) freshness: Freshness,
    pub(crate) there: BTreeSet<T>,
    task: JoinHandle<()>,
}

impl<T: Debug + Ord + Send + 'static> Heard<T> {
    /// Follows a resource; at most one delta waits.
    pub(crate) fn of<W: DeserializeOwned + 'static>(
        api: &ApiServer,
        resource: Resource,
        keep: impl Fn(W) -> Option<T> + Send + Sync + 'static,
    ) -> Self {
        let freshness = Freshness::default();
        let pulse = freshness.pulse();
        let follow = Follow { client: client(api), resource, pace: pace(), pulse, asker: TESTS };
        let (changes, deltas) = mpsc::channel(1);
        let task = tokio::spawn(follow.run(keep, |delta| delta, changes));
        Self { deltas, freshness, there: BTreeSet::new(), task }
    }

    pub(crate) async fn next(&mut self) -> Delta<T> {
        timeout(PATIENCE, self.deltas.recv()).await.expect("a delta in time").expect("a follower")
    }

    /// Takes deltas until what there is by them is as it should be.
    pub(crate) async fn until(&mut self, when: &str, is: impl Fn(&BTreeSet<T>) -> bool) {
        while !is(&self.there) {
            let Ok(Some(delta)) = timeout(PATIENCE, self.deltas.recv()).await else {
                panic!("{when}: {:?}", self.there)
            };
            match delta {
                Delta::All(all) => self.there = all.into_iter().collect(),
                Delta::One(one) => _ = self.there.insert(one),
                Delta::Gone(gone) => _ = self.there.remove(&gone),
            }
        }
    }
}

impl<T> Drop for Heard<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits for what nobody tells of.
pub(crate) async fn eventually(what: &str, is: impl Fn() -> bool) {
    let looking = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(PATIENCE, looking).await.is_ok(), "{what}");
}
