//! The end of the enrolment: what is under way is finished, what is half out goes out, and if asked for everything does.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use super::job::{Done, Kind};
use super::plan::Departure;
use super::state::{Hold, Pod};
use super::steps::{job, released};
use super::{Enrolment, Exit, WIDTH, cleanup};

/// How long running jobs may take to end before the agent exits anyway.
const EXIT_WAIT: Duration = Duration::from_secs(8);

impl Enrolment {
    pub(super) async fn end(mut self, exit: Exit) -> Result<(), cleanup::Error> {
        let finish = async {
            while let Some(Ok(done)) = self.jobs.join_next().await {
                self.finish(done);
            }
        };
        if tokio::time::timeout(EXIT_WAIT, finish).await.is_err() {
            warn!("work on some pods did not end in time; it is repeated at the next start");
        }
        let deadline = Instant::now() + cleanup::DEADLINE;
        if exit == Exit::RemoveRules {
            let captured = |pod: &Pod| matches!(pod.hold, Hold::Touched(_) | Hold::Enrolled(_));
            // A pod that cannot be released cannot be cleaned up either, and that is reported.
            let _ = self.undo(Kind::Release(Departure::Leave), captured, deadline).await;
        }
        let parted = self.pods.values().filter_map(|pod| match pod.hold {
            Hold::Released(_, until) => Some(until),
            Hold::Nothing | Hold::Touched(_) | Hold::Enrolled(_) => None,
        });
        if let Some(parted) = parted.max() {
            sleep_until(parted).await;
        }
        let left = |pod: &Pod| exit == Exit::RemoveRules || matches!(pod.hold, Hold::Released(..));
        let result = self.undo(Kind::Withdraw(Departure::Leave), left, deadline).await;
        debug!(left = self.pods.len(), "cleaned up");
        result
    }

    /// Does one kind of work on all these pods, at the end.
    async fn undo(
        &mut self,
        kind: Kind,
        which: impl Fn(&Pod) -> bool,
        deadline: Instant,
    ) -> Result<(), cleanup::Error> {
        let rules = Arc::clone(&self.tools.rules);
        let jobs = self
            .pods
            .iter()
            .filter(|(_, pod)| which(pod))
            .filter_map(|(uid, pod)| job(uid, pod, kind, &self.tools.host));
        cleanup::run(jobs.collect(), rules, (WIDTH, deadline), |done| self.undone(done)).await
    }

    fn undone(&mut self, done: &Done) {
        let (uid, parted) = (&done.uid, self.parted());
        match (done.kind, self.pods.get_mut(uid)) {
            (Kind::Release(_), Some(pod)) => released(pod, parted),
            (Kind::Release(_) | Kind::Program | Kind::Verify | Kind::Withdraw(_), _) => {
                self.pods.remove(uid);
            }
        }
        self.looked.wanted.retain(|wish| wish.spec.uid != *uid);
        self.publish();
    }
}
