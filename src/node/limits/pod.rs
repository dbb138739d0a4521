//! What one pod has of everything that is limited.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::table::Limit;
use super::{Exceeded, counts};
use crate::proxy::PodInfo;

/// What one pod has.
#[derive(Debug)]
pub(crate) struct OfPod {
    pod: PodInfo,
    gauges: [AtomicU64; Limit::ALL.len()],
}

/// One place of a pod; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Held {
    of: Arc<OfPod>,
    limit: Limit,
}

impl OfPod {
    pub(super) fn new(pod: PodInfo) -> Self {
        Self { pod, gauges: [const { AtomicU64::new(0) }; Limit::ALL.len()] }
    }

    /// Takes one of so many places.
    ///
    /// # Errors
    /// When all are taken, which is counted.
    pub(crate) fn take(self: &Arc<Self>, limit: Limit) -> Result<Held, Exceeded> {
        let gauge = &self.gauges[limit as usize];
        let has = gauge.fetch_add(1, Ordering::Relaxed) + 1;
        if limit.facts().most.is_some_and(|most| has > most) {
            gauge.fetch_sub(1, Ordering::Relaxed);
            return Err(self.refuse(limit));
        }
        counts::has(limit, has);
        Ok(Held { of: Arc::clone(self), limit })
    }

    /// Counts and tells of something that is not done because there is too much of it.
    pub(crate) fn refuse(&self, limit: Limit) -> Exceeded {
        let exceeded = Exceeded(limit);
        counts::hit_by(limit, |_, unsaid| {
            let PodInfo { name, namespace, .. } = &self.pod;
            tracing::warn!(pod = name, namespace, unsaid, "{exceeded}");
        });
        exceeded
    }

    /// How much it has of something.
    pub(super) fn in_use(&self, limit: Limit) -> u64 {
        self.gauges[limit as usize].load(Ordering::Relaxed)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.of.gauges[self.limit as usize].fetch_sub(1, Ordering::Relaxed);
    }
}
