//! Whether a program's tasks go on (`/healthz/live`), for those who would restart it if they did not.
//!
//! ```text
//!  count: a round every ROUND ──▶ tasks answer, each when it is its turn to run ──▶ who has not for ROUNDS is stuck
//! ```
//! A restart costs connections, so it is asked for only when nothing else helps. A task answers as long as it is run at all: what
//! it waits for, a peer or a control plane, does not matter. The rounds are counted by a task like the others and not by a clock: what
//! holds up everything, a busy machine or one that slept, holds up the count as well. Where no thread runs anything any more,
//! nobody answers the question either.
//!
//! In go tasks; out come answers. It ends and restarts nothing.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::sync::watch;

/// Time between two rounds.
const ROUND: Duration = Duration::from_secs(5);
/// Rounds in a row without an answer after which a task is stuck: a minute, and more when all goes slowly.
const ROUNDS: u64 = 12;

/// The tasks of a program. All handles know the same.
#[derive(Debug, Clone, Default)]
pub struct Liveness(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    round: watch::Sender<u64>,
    tasks: Mutex<Tasks>,
}

#[derive(Debug, Default)]
struct Tasks {
    all: BTreeMap<u64, Task>,
    next: u64,
}

#[derive(Debug)]
struct Task {
    name: String,
    role: Role,
    /// The round it answered last.
    answered: Arc<AtomicU64>,
}

/// What a task is to its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// There is one, and the program is of no use without it.
    Main,
    /// There are many, which serve one each.
    OneOfMany,
}

/// What a task answers by.
#[derive(Debug)]
#[must_use = "a task that never answers counts as stuck"]
pub struct Beat {
    tasks: Arc<Inner>,
    number: u64,
    role: Role,
    round: watch::Receiver<u64>,
    answered: Arc<AtomicU64>,
}

/// What does not go on.
#[derive(Debug, Default, PartialEq, Eq)]
struct Stuck {
    /// Whether only a restart helps.
    is_all: bool,
    names: Vec<String>,
}

impl Liveness {
    /// Of a task that must never end.
    pub fn main(&self, name: &str) -> Beat {
        self.begin(name.to_owned(), Role::Main)
    }

    /// Of a task that is one of many: the others are not restarted for it. It may end.
    pub fn one_of_many(&self, name: String) -> Beat {
        self.begin(name, Role::OneOfMany)
    }

    fn begin(&self, name: String, role: Role) -> Beat {
        let round = self.0.round.subscribe();
        let answered = Arc::new(AtomicU64::new(*round.borrow()));
        let mut tasks = self.0.lock();
        let number = tasks.next;
        tasks.next += 1;
        tasks.all.insert(number, Task { name, role, answered: Arc::clone(&answered) });
        Beat { tasks: Arc::clone(&self.0), number, role, round, answered }
    }

    /// Counts the rounds, for ever.
    pub async fn count(self) {
        loop {
            tokio::time::sleep(ROUND).await;
            self.0.round.send_modify(|round| *round += 1);
        }
    }

    /// The path `/healthz/live`. Rounds have to be counted.
    pub fn router(self) -> Router {
        Router::new().route("/healthz/live", get(live)).with_state(self)
    }

    fn stuck(&self) -> Stuck {
        let now = *self.0.round.borrow();
        let is_stuck = |task: &&Task| now.saturating_sub(task.answered.load(Ordering::Relaxed)) >= ROUNDS;
        let tasks = self.0.lock();
        let names = tasks.all.values().filter(is_stuck).map(|task| task.name.clone()).collect();
        let of = |role| tasks.all.values().filter(move |task| task.role == role);
        let none_goes_on =
            of(Role::OneOfMany).next().is_some() && of(Role::OneOfMany).all(|it| is_stuck(&it));
        Stuck { is_all: none_goes_on || of(Role::Main).any(|it| is_stuck(&it)), names }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Beat {
    /// Runs a task, and answers whenever it is run.
    pub async fn beside<T>(self, task: impl Future<Output = T>) -> T {
        tokio::select! {
            // Answers first: a task that always has something to do leaves nothing of its turn.
            biased;
            never = self.answer() => match never {},
            done = task => done,
        }
    }

    async fn answer(mut self) -> Infallible {
        while self.round.changed().await.is_ok() {
            self.answered.store(*self.round.borrow_and_update(), Ordering::Relaxed);
        }
        // Nobody counts any more.
        std::future::pending().await
    }
}

impl Drop for Beat {
    /// A main task that has ended does not go on; one of many may.
    fn drop(&mut self) {
        if self.role == Role::OneOfMany {
            self.tasks.lock().all.remove(&self.number);
        }
    }
}

async fn live(State(liveness): State<Liveness>) -> (StatusCode, String) {
    let Stuck { is_all, names } = liveness.stuck();
    let (status, mut text) = match is_all {
        true => (StatusCode::SERVICE_UNAVAILABLE, "stuck\n".to_owned()),
        false => (StatusCode::OK, "alive\n".to_owned()),
    };
    let seconds = ROUND.as_secs() * ROUNDS;
    for name in names {
        text += &format!("{name} has not gone on for {seconds} s or longer\n");
    }
    (status, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets rounds pass, and every task have its turn in each.
    async fn pass(rounds: u64) {
        for _ in 0..rounds {
            tokio::time::advance(ROUND).await;
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Some whose rounds have begun to be counted.
    async fn counted() -> Liveness {
        let liveness = Liveness::default();
        tokio::spawn(liveness.clone().count());
        tokio::task::yield_now().await;
        liveness
    }

    async fn answer(liveness: &Liveness) -> (u16, String) {
        let (status, text) = live(State(liveness.clone())).await;
        (status.as_u16(), text)
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_waits_or_works_without_end_goes_on() {
        let liveness = counted().await;
        tokio::spawn(liveness.main("waits").beside(std::future::pending::<()>()));
        tokio::spawn(liveness.main("works").beside(async {
            loop {
                tokio::task::consume_budget().await;
            }
        }));
        pass(3 * ROUNDS).await;
        assert_eq!(answer(&liveness).await, (200, "alive\n".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_main_task_that_is_not_run_any_more_is_told_until_it_is() {
        let liveness = counted().await;
        let beat = liveness.main("the mesh state");
        pass(ROUNDS - 1).await;
        assert_eq!(answer(&liveness).await.0, 200);
        pass(1).await;
        let (status, text) = answer(&liveness).await;
        assert_eq!(
            (status, text.as_str()),
            (503, "stuck\nthe mesh state has not gone on for 60 s or longer\n")
        );
        tokio::spawn(beat.beside(std::future::pending::<()>()));
        pass(2).await;
        assert_eq!(answer(&liveness).await.0, 200);
    }

    #[tokio::test(start_paused = true)]
    async fn a_main_task_must_not_end() {
        let liveness = counted().await;
        liveness.main("the mesh state").beside(async {}).await;
        pass(ROUNDS).await;
        assert_eq!(answer(&liveness).await.0, 503);
    }

    /// One pod's trouble must not cost the others their connections.
    #[tokio::test(start_paused = true)]
    async fn of_many_one_may_be_stuck_and_not_all() {
        let liveness = counted().await;
        let (stuck, other) = (liveness.one_of_many("pod a".into()), liveness.one_of_many("pod b".into()));
        let other = tokio::spawn(other.beside(std::future::pending::<()>()));
        pass(ROUNDS).await;
        let (status, text) = answer(&liveness).await;
        assert_eq!((status, text.as_str()), (200, "alive\npod a has not gone on for 60 s or longer\n"));
        other.abort();
        pass(1).await;
        assert_eq!(answer(&liveness).await.0, 503, "none is left that goes on");
        drop(stuck);
        assert_eq!(answer(&liveness).await.0, 200, "a pod may go");
    }

    /// A machine that slept has not stopped any task.
    #[tokio::test(start_paused = true)]
    async fn what_holds_up_everything_holds_up_the_count() {
        let liveness = counted().await;
        let beat = liveness.main("the mesh state");
        tokio::time::advance(ROUND * 1000).await;
        tokio::task::yield_now().await;
        assert_eq!(answer(&liveness).await.0, 200);
        drop(beat);
    }
}
