//! When the API server was last heard of each resource that is followed. What was never heard counts since it is followed: a program that
//! may not list a resource, or that never reaches the server, has a view that gets older like any other.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, interval};

use crate::asker::Asker;

/// How often the age is measured.
const MEASURE: Duration = Duration::from_secs(5);

/// Shared by who listens and who wants to know. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Freshness(Arc<Mutex<Heard>>);

/// When each of them was heard; of one that never was, since when it is followed.
type Heard = Vec<Instant>;

/// Notes when something was heard of one resource.
#[derive(Debug)]
pub struct Pulse {
    of: Freshness,
    place: usize,
}

impl Freshness {
    /// A place for one more resource, of which nothing was heard from now on.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        let mut heard = self.heard();
        heard.push(Instant::now());
        Pulse { of: self.clone(), place: heard.len() - 1 }
    }

    /// For how long nothing at all was heard of that resource for which it is longest; nothing when none is followed. A server that
    /// works says something about once a minute.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        Some(self.heard().iter().min()?.elapsed())
    }

    /// Measures the age for ever.
    pub async fn measured(self, asker: Asker) {
        let mut ticks = interval(MEASURE);
        loop {
            ticks.tick().await;
            if let Some(age) = self.age() {
                asker.aged(age);
            }
        }
    }

    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pulse {
    /// Something was heard, be it that nothing has changed.
    pub fn heard(&self) {
        self.of.heard()[self.place] = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_as_old_as_its_oldest_part() {
        let freshness = Freshness::default();
        assert_eq!(freshness.age(), None, "nothing is followed");
        let (pods, namespaces) = (freshness.pulse(), freshness.pulse());
        assert_eq!(freshness.age(), Some(Duration::ZERO));
        tokio::time::advance(Duration::from_secs(5)).await;
        pods.heard();
        assert_eq!(freshness.age(), Some(Duration::from_secs(5)), "namespaces were never heard");
        namespaces.heard();
        tokio::time::advance(Duration::from_secs(7)).await;
        namespaces.heard();
        assert_eq!(freshness.age(), Some(Duration::from_secs(7)));
        pods.heard();
        assert_eq!(freshness.age(), Some(Duration::ZERO));
    }
}
