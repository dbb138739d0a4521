//! Hears of changes in pods' namespaces as they happen, so that drift does not wait for the next round.
//!
//! In go the kernel's notifications, out come the UIDs of pods that want verifying. A burst of changes is one. What cannot be
//! watched (descriptors run out) is still looked at in every round.

use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tracing::debug;

use super::Enrolment;
use super::state::Hold;
use crate::pod::Uid;
use crate::rules::Changes;

/// Who changes rules changes several.
const SETTLE: Duration = Duration::from_millis(100);

/// A pod is watched for as long as this lives.
#[derive(Debug)]
pub(crate) struct Watch(AbortHandle);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Watch {
    /// Whether nothing will be heard any more.
    fn is_over(&self) -> bool {
        self.0.is_finished()
    }

    fn start(uid: Uid, mut changes: Changes, tell: mpsc::Sender<Uid>) -> Self {
        let task = async move {
            while changes.next().await.is_some() {
                tokio::time::sleep(SETTLE).await;
                if tell.send(uid.clone()).await.is_err() {
                    return;
                }
            }
        };
        Self(tokio::spawn(task).abort_handle())
    }
}

impl Enrolment {
    /// Watches an enrolled pod, unless that is done already.
    pub(super) fn watch(&mut self, uid: &Uid) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        let Hold::Enrolled(enrolled) = &pod.hold else { return };
        if pod.watch.as_ref().is_some_and(|watch| !watch.is_over()) {
            return;
        }
        match self.tools.rules.changes(&enrolled.netns) {
            Ok(changes) => pod.watch = Some(Watch::start(uid.clone(), changes, self.changed.0.clone())),
            Err(error) => debug!(%uid, %error, "changes in the pod's namespace cannot be heard of"),
        }
    }
}
