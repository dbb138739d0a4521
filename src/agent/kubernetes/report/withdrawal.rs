//! Taking back what was claimed of all pods before they are let go of: peers that still believe it would send tunnels to pods where
//! nobody takes them any more.
//!
//! First the writer of annotations ends, for good; then what it has written is taken off. Events go on.

use std::sync::Arc;
use std::time::Duration;

use culvert_kubernetes::Client;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::clear::{ClearError, clear_claims};

/// What the one who runs and the one who takes back share: whether it was asked for.
pub(super) struct Withdrawing(Arc<watch::Sender<bool>>);

impl Default for Withdrawing {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Withdrawing {
    /// For the writer. That it has ended is seen by this being dropped.
    pub(super) fn asked(&self) -> Asked {
        Asked(self.0.subscribe())
    }
}

/// The writer's end.
pub(super) struct Asked(watch::Receiver<bool>);

impl Asked {
    /// Returns when it was asked for.
    pub(super) async fn wait(&mut self) {
        if self.0.wait_for(|asked| *asked).await.is_err() {
            // Nobody is left to ask.
            std::future::pending::<()>().await;
        }
    }
}

/// Takes back what a reporter has claimed.
pub(crate) struct Withdrawal {
    client: Client,
    node: Arc<str>,
    ask: Arc<watch::Sender<bool>>,
}

impl Withdrawal {
    pub(super) fn new(client: Client, node: Arc<str>, withdrawing: &Withdrawing) -> Self {
        Self { client, node, ask: Arc::clone(&withdrawing.0) }
    }

    /// Removes the annotation from all pods of the node, and says from how many. The reporter writes none any more, whatever comes of
    /// this.
    pub(crate) async fn take_back(&self, within: Duration) -> Result<usize, ClearError> {
        let until = Instant::now() + within;
        self.ask.send_replace(true);
        // A write that hangs leaves half of the time to take off the others.
        let ended = timeout(within / 2, self.ask.closed()).await;
        let left = || until.saturating_duration_since(Instant::now());
        let cleared = clear_claims(&self.client, &self.node, left()).await?;
        if ended.is_err() && timeout(left(), self.ask.closed()).await.is_ok() {
            // What was under way may have come after that.
            return Ok(cleared + clear_claims(&self.client, &self.node, within / 2).await?);
        }
        Ok(cleared)
    }
}
