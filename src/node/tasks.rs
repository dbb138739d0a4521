//! Tasks with an owner: dropping it ends them all.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::task::{JoinError, JoinSet};

/// A set of running tasks.
#[derive(Debug, Default)]
pub(crate) struct Tasks(Mutex<JoinSet<()>>);

impl Tasks {
    /// Runs `work` until it ends or the owner is dropped.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut set = self.lock();
        set.spawn(work);
        // Finished tasks are taken out here, so that the set holds what runs, and what ended since the last call.
        while let Some(ended) = set.try_join_next() {
            report(ended);
        }
    }

    /// Waits until all have ended. When it is not waited for any more, they are ended.
    pub(crate) async fn finished(&self) {
        let mut set = std::mem::take(&mut *self.lock());
        while let Some(ended) = set.join_next().await {
            report(ended);
        }
    }

    fn lock(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a task panicked; only what it worked on is lost");
    }
}
