//! Work that several want at the same time, done once.
//!
//! Goes in: what is wanted, and the work that gets it. Comes out: what came of it, for all who wanted it by then. It goes on
//! when nobody waits any more, and ends with its owner. Nothing is kept.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::tasks::Tasks;

/// The work that is being done, by what it is for.
#[derive(Debug)]
pub(super) struct Flights<K, V> {
    begun: Arc<Begun<K, V>>,
    tasks: Tasks,
}

#[derive(Debug)]
struct Begun<K, V>(Mutex<HashMap<K, watch::Receiver<Option<V>>>>);

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self { begun: Arc::new(Begun(Mutex::default())), tasks: Tasks::default() }
    }
}

impl<K: Clone + Eq + Hash + Send + 'static, V: Clone + Send + Sync + 'static> Flights<K, V> {
    /// Waits for the work that is being done for `key`, or else begins this one. `None` when it did not come to its end.
    pub(super) async fn join(&self, key: K, work: impl Future<Output = V> + Send + 'static) -> Option<V> {
        let mut outcome = self.begin(key, work);
        outcome.wait_for(Option::is_some).await.ok()?.clone()
    }

    /// Gives the outcome of the work that is being done for `key`, if there is any.
    pub(super) fn find(&self, key: &K) -> Option<watch::Receiver<Option<V>>> {
        self.begun.lock().get(key).cloned()
    }

    /// Gives the outcome of the work that is being done for `key`, or else begins this one. It is done whether anybody waits or not.
    pub(super) fn begin(
        &self,
        key: K,
        work: impl Future<Output = V> + Send + 'static,
    ) -> watch::Receiver<Option<V>> {
        let mut begun = self.begun.lock();
        if let Some(outcome) = begun.get(&key) {
            return outcome.clone();
        }
        let (tell, outcome) = watch::channel(None);
        begun.insert(key.clone(), outcome.clone());
        drop(begun);
        let flight = Flight { begun: Arc::clone(&self.begun), key };
        self.tasks.spawn(async move {
            // Its place is free before anybody is told how it ended, also if that is by a panic.
            let value = flight.with(work).await;
            // Fails when nobody waits any more.
            let _ = tell.send(Some(value));
        });
        outcome
    }
}

/// Work that is being done. It is not any more when this is dropped.
struct Flight<K: Eq + Hash, V> {
    begun: Arc<Begun<K, V>>,
    key: K,
}

impl<K: Eq + Hash, V> Flight<K, V> {
    async fn with(self, work: impl Future<Output = V>) -> V {
        work.await
    }
}

impl<K: Eq + Hash, V> Drop for Flight<K, V> {
    fn drop(&mut self) {
        self.begun.lock().remove(&self.key);
    }
}

impl<K, V> Begun<K, V> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, watch::Receiver<Option<V>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_several_want_is_done_once_and_then_anew() {
        let flights = Flights::default();
        let (finish, finished) = oneshot::channel();
        let first = flights.begin("key", async { finished.await.unwrap() });
        let second = flights.begin("key", std::future::pending());
        finish.send(7).unwrap();
        for mut outcome in [first, second] {
            assert_eq!(*outcome.wait_for(Option::is_some).await.unwrap(), Some(7));
        }
        assert_eq!(flights.join("key", async { 8 }).await, Some(8));
        assert!(flights.begun.lock().is_empty());
    }

    #[tokio::test]
    async fn it_goes_on_when_the_first_does_not_wait_any_more() {
        let flights = Flights::default();
        let (finish, finished) = oneshot::channel();
        drop(flights.begin("key", async { finished.await.unwrap() }));
        finish.send(7).unwrap();
        assert_eq!(flights.join("key", async { 7 }).await, Some(7));
    }

    #[tokio::test]
    async fn a_panic_is_told_to_those_who_wait_and_does_not_stay() {
        let flights = Flights::<_, u8>::default();
        assert_eq!(flights.join("key", async { panic!("on purpose") }).await, None);
        assert!(flights.begun.lock().is_empty());
        assert_eq!(flights.join("key", async { 7 }).await, Some(7));
    }
}
