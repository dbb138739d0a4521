//! How many have come lately to begin something, and what becomes of the next one.
//!
//! In go moments and what the thread knows of the processor, out comes when the next one may begin. It neither waits nor looks by itself.

use std::sync::LazyLock;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// So many beginnings a second are many, for each thread of the data plane. What comes at such a rate keeps half of it busy by itself.
const MANY: f64 = 3000.0;

/// And so many at once are not yet.
const BURST: f64 = 64.0;

/// How many a second may begin, for each thread, of somebody who has begun [`MANY`] while processors were short.
const HELD: f64 = 500.0;

/// For how long he is held to that; then it is looked again.
const HOLD: Duration = Duration::from_secs(5);

/// Processors are short where whoever wants one waits a tenth of the time for it, over a while.
const SHORT: f64 = 0.1;
const WHILE: Duration = Duration::from_millis(5);
/// What was seen so long ago says nothing of now.
const STALE: Duration = Duration::from_millis(100);

/// Those who have come lately: as many as come in addition to the rate they may have stay.
#[derive(Debug)]
pub(super) struct Crowd {
    rates: Rates,
    waiting: f64,
    since: Instant,
    seen: Option<Seen>,
    /// When it was last looked, whatever came of it.
    looked_at: Option<Instant>,
    held_until: Option<Instant>,
}

/// Beginnings a second.
#[derive(Debug, Clone, Copy)]
struct Rates {
    many: f64,
    held: f64,
}

/// What a thread has waited for a processor, at a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) by: ThreadId,
    pub(super) at: Instant,
    pub(super) waited: Duration,
}

/// When the next one may begin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Next {
    /// When all that is ready has had its turn.
    Soon,
    /// The same, and who wants the processor has it first.
    AfterOthers,
    /// From here on there is a limit, and it was reached.
    Limited,
    /// After a pause.
    After(Duration),
}

/// How many beginnings a second there may be of somebody who is held to it.
pub(super) fn held() -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small number, and a whole one"
    )]
    let held = RATES.held as u64;
    held
}

/// As many threads as there are unless somebody says how many there shall be, and no more than can run at a time.
static RATES: LazyLock<Rates> = LazyLock::new(|| {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    Rates::of(processors.div_ceil(4).max(2).min(processors))
});

impl Rates {
    fn of(threads: usize) -> Self {
        let threads = f64::from(u32::try_from(threads).unwrap_or(u32::MAX));
        Self { many: MANY * threads, held: HELD * threads }
    }
}

impl Crowd {
    pub(super) fn new(now: Instant) -> Self {
        Self { rates: *RATES, waiting: 0.0, since: now, seen: None, looked_at: None, held_until: None }
    }

    /// Notes one more. `look` says what the thread has waited for, and `is_limited` whether somebody may be held to a rate: both are
    /// asked only where many come, and the former, which takes some microseconds, now and then and where there may be a limit.
    pub(super) fn next(
        &mut self,
        now: Instant,
        look: impl Fn() -> Option<Seen>,
        is_limited: impl Fn() -> bool,
    ) -> Next {
        let held = self.held_until.is_some_and(|until| now < until);
        let rate = if held { self.rates.held } else { self.rates.many };
        let gone = now.saturating_duration_since(self.since).as_secs_f64() * rate;
        self.since = now;
        self.waiting = ((self.waiting - gone).max(0.0) + 1.0).min(2.0 * BURST);
        let over = self.waiting - BURST;
        if held && over > 0.0 {
            return Next::After(Duration::from_secs_f64(over / rate));
        }
        if self.waiting > BURST / 2.0 && !held && is_limited() && self.is_short(now, look) && over > 0.0 {
            self.held_until = Some(now + HOLD);
            return Next::Limited;
        }
        if over > 0.0 { Next::AfterOthers } else { Next::Soon }
    }

    /// Whether processors are short, as far as this thread knows.
    fn is_short(&mut self, now: Instant, look: impl Fn() -> Option<Seen>) -> bool {
        let since = |seen: &Seen| now.saturating_duration_since(seen.at);
        if self.looked_at.is_some_and(|at| now.saturating_duration_since(at) < WHILE) {
            return false;
        }
        self.looked_at = Some(now);
        let before = std::mem::replace(&mut self.seen, look());
        let (Some(before), Some(seen)) = (before, self.seen) else { return false };
        let waited = seen.waited.saturating_sub(before.waited);
        before.by == seen.by
            && since(&before) < STALE
            && waited.as_secs_f64() > SHORT * since(&before).as_secs_f64()
    }
}

#[cfg(test)]
mod tests;
