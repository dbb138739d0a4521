//! When the API server was last heard of each resource.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::kubernetes::metered;

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resource {
    Pods,
    Namespaces,
}

impl Resource {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pods => "pods",
            Self::Namespaces => "namespaces",
        }
    }

    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Pods => "/api/v1/pods",
            Self::Namespaces => "/api/v1/namespaces",
        }
    }
}

/// Shared by who listens and who wants to know. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Freshness(Arc<Mutex<Heard>>);

#[derive(Debug, Default)]
struct Heard {
    pods: Option<Instant>,
    namespaces: Option<Instant>,
}

impl Freshness {
    /// For how long nothing at all was heard of pods or of namespaces, whichever is longer; nothing before the first lists. A server
    /// that works says something about once a minute.
    pub(crate) fn age(&self) -> Option<Duration> {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Some(heard.pods?.min(heard.namespaces?).elapsed())
    }

    pub(super) fn heard(&self, resource: Resource) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let which = match resource {
            Resource::Pods => &mut heard.pods,
            Resource::Namespaces => &mut heard.namespaces,
        };
        *which = Some(Instant::now());
    }

    pub(super) fn measure(&self) {
        if let Some(age) = self.age() {
            metered::view_age(age);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_as_old_as_the_older_half() {
        let freshness = Freshness::default();
        assert_eq!(freshness.age(), None);
        freshness.heard(Resource::Pods);
        assert_eq!(freshness.age(), None);
        tokio::time::advance(Duration::from_secs(7)).await;
        freshness.heard(Resource::Namespaces);
        assert_eq!(freshness.age(), Some(Duration::from_secs(7)));
        freshness.heard(Resource::Pods);
        assert_eq!(freshness.age(), Some(Duration::ZERO));
    }
}
