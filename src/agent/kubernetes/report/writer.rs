//! Writes the annotations that are due: some at a time, and not too many in a second.

use std::time::Duration;

use culvert_kubernetes::{Client, Error, Pace};
use culvert_process::exit::Chain;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, warn};

use super::super::metered;
use super::claims::{Claims, Fate, Write};
use super::patch;
use super::withdrawal::Asked;
use crate::board::Boards;
use crate::cluster::{Claim, Views};

/// Writes at a time.
const AT_ONCE: usize = 8;

/// Writes in a second, and as many at once after a quiet second.
const RATE: u32 = 20;

/// When a board that has never changed is believed: there is nothing on it.
const SETTLED: Duration = Duration::from_secs(30);

/// How long nothing happens at most.
const IDLE: Duration = Duration::from_secs(3600);

/// Runs for as long as views and boards are published, and nobody asks for a withdrawal. What is being written then is seen to its
/// end, so that it cannot arrive later.
pub(super) async fn run(
    client: &Client,
    pace: &Pace,
    mut views: Views,
    mut boards: Boards,
    mut asked: Asked,
) {
    let mut claims = Claims::default();
    let mut allowance = Allowance::new(Instant::now());
    let mut running = FuturesUnordered::new();
    let mut denied = false;
    let settled = Instant::now() + SETTLED;
    let mut has_board = !boards.borrow().is_empty();
    loop {
        let now = Instant::now();
        has_board |= now >= settled;
        observe(&mut claims, &views, has_board.then_some(&boards), now);
        while running.len() < AT_ONCE
            && allowance.has_one(now)
            && let Some(write) = claims.next(now)
        {
            allowance.take();
            running.push(send(client, pace.answer, write));
        }
        let mut wake = claims.wake_at(now).unwrap_or(now + IDLE);
        if wake <= now {
            // Something is due, and waits for its turn.
            wake = if running.len() < AT_ONCE { allowance.next_at(now) } else { now + IDLE };
        }
        if !has_board {
            wake = wake.min(settled);
        }
        tokio::select! {
            changed = views.changed() => if changed.is_err() { return },
            changed = boards.changed() => match changed {
                Ok(()) => has_board = true,
                Err(_) => return,
            },
            Some((write, result)) = running.next() => {
                let fate = judge(&write, &result, &mut denied);
                claims.done(&write, fate, Instant::now());
            }
            () = asked.wait() => break,
            () = sleep_until(wake) => {}
        }
    }
    while running.next().await.is_some() {}
}

fn observe(claims: &mut Claims, views: &Views, boards: Option<&Boards>, now: Instant) {
    let Some(view) = views.borrow().clone() else { return };
    let board = boards.map(|boards| boards.borrow().clone());
    claims.observe(&view, board.as_deref(), now);
}

async fn send(client: &Client, within: Duration, write: Write) -> (Write, Result<(), Error>) {
    let result = patch::claim(client, &write.uid, &write.workload, write.claim, within).await;
    (write, result)
}

fn judge(write: &Write, result: &Result<(), Error>, denied: &mut bool) -> Fate {
    let pod = &write.workload;
    let (fate, counted) = match result {
        Ok(()) => (Fate::Written, name(write.claim)),
        Err(error) if error.is_gone() => (Fate::Gone, "gone"),
        Err(error) => (Fate::Failed, error.reason()),
    };
    metered::annotation(counted);
    match result {
        Ok(()) => {
            *denied = false;
            debug!(%pod, uid = %write.uid, claim = name(write.claim), "annotation written");
        }
        Err(error) if fate == Fate::Gone => debug!(%pod, uid = %write.uid, error = %Chain(error), "pod gone"),
        Err(error) if error.code() == Some(403) => {
            if !std::mem::replace(denied, true) {
                let error = Chain(error);
                error!(
                    %pod, %error,
                    "not allowed; unless an admission policy is what refused, give the agent's service account a ClusterRole with patch on pods/status"
                );
            }
        }
        Err(error) => {
            let error = Chain(error);
            warn!(%pod, %error, "what has become of the pod cannot be written to it, trying again");
        }
    }
    fate
}

fn name(claim: Claim) -> &'static str {
    match claim {
        Claim::Enabled => "enabled",
        Claim::Pending => "pending",
        Claim::Absent | Claim::Other => "removed",
    }
}

/// Writes that may be sent.
struct Allowance {
    /// When there is one again, if all before were used: it lies in the past while some are left.
    next: Instant,
}

impl Allowance {
    const EACH: Duration = Duration::from_millis(1000 / RATE as u64);

    fn new(now: Instant) -> Self {
        Self { next: now }
    }

    fn has_one(&mut self, now: Instant) -> bool {
        // No more than a second's worth is saved up.
        if let Some(earliest) = now.checked_sub(Self::EACH * (RATE - 1)) {
            self.next = self.next.max(earliest);
        }
        self.next <= now
    }

    fn take(&mut self) {
        self.next += Self::EACH;
    }

    fn next_at(&self, now: Instant) -> Instant {
        self.next.max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_so_many_writes() {
        let start = Instant::now() + Duration::from_secs(60);
        let mut allowance = Allowance::new(start - Duration::from_secs(30));
        let mut sent = 0;
        for millisecond in 0..3000 {
            let now = start + Duration::from_millis(millisecond);
            while allowance.has_one(now) {
                allowance.take();
                sent += 1;
            }
        }
        assert_eq!(sent, 20 + 20 * 3 - 1, "what was saved up, and three seconds");
    }
}
