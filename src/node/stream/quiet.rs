//! What is remembered of a connection between two looks at it, so that one on which nothing moves is found without a timer of its own.
//!
//! In go looks, now and then, and what has moved meanwhile; out comes a [`Quiet`] for whoever carries the connection, once nothing has
//! moved for too long. Deliberately absent: who looks, how often, and what happens then.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures::task::AtomicWaker;
use tokio::time::Instant;

use super::Side;

/// For how long nothing may move. `None`: for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// On a connection of which one direction has ended.
    pub(crate) half_closed: Option<Duration>,
    /// On any.
    pub(crate) open: Option<Duration>,
}

/// A connection on which nothing has moved for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quiet {
    /// Who had said all there was to say.
    pub(crate) ended: Ended,
    /// For how long.
    pub(crate) time: Duration,
}

/// Which sides of a connection have said all they had to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Neither,
    Only(Side),
    /// Somebody has not taken the rest.
    Both,
}

/// A moment, in tenths of a second since the first one, which is 1: it takes a quarter of the room of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u32);

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// What had moved at the last look at which there was something new, and who had ended.
    seen: AtomicU64,
    /// When that was; 0 when nobody has looked.
    since: AtomicU32,
    /// When the first direction has ended; 0 when none has.
    half_closed: AtomicU32,
    /// Bits of the sides that have ended.
    ended: AtomicU8,
    /// Bits of those that had when it was told to end, and [`TOLD`].
    told: AtomicU8,
    waker: AtomicWaker,
}

const CLIENT: u8 = 1;
const SERVER: u8 = 2;
const BOTH: u8 = CLIENT | SERVER;
const TOLD: u8 = 4;

impl Limits {
    /// How long nothing may move on a connection that has come so far.
    fn of(&self, ended: Ended) -> Option<Duration> {
        match ended {
            Ended::Neither => self.open,
            Ended::Only(_) | Ended::Both => self.half_closed.into_iter().chain(self.open).min(),
        }
    }
}

impl Ended {
    fn of(bits: u8) -> Self {
        match bits & BOTH {
            0 => Self::Neither,
            CLIENT => Self::Only(Side::Client),
            SERVER => Self::Only(Side::Server),
            _ => Self::Both,
        }
    }
}

impl Moment {
    pub(crate) fn now() -> Self {
        static FIRST: OnceLock<Instant> = OnceLock::new();
        let now = Instant::now();
        let since = now.saturating_duration_since(*FIRST.get_or_init(|| now));
        Self(u32::try_from(since.as_millis() / 100).unwrap_or(u32::MAX - 1) + 1)
    }

    /// How long ago it was.
    pub(crate) fn until(self, now: Self) -> Duration {
        Duration::from_millis(100) * now.0.saturating_sub(self.0)
    }
}

impl Watched {
    /// A side has said all it had to say.
    pub(super) fn end(&self, side: Side) {
        let bit = match side {
            Side::Client => CLIENT,
            Side::Server => SERVER,
        };
        if self.ended.fetch_or(bit, Ordering::Relaxed) == 0 {
            self.half_closed.store(Moment::now().0, Ordering::Relaxed);
        }
    }

    pub(super) fn ended(&self) -> Ended {
        Ended::of(self.ended.load(Ordering::Relaxed))
    }

    /// Since when one direction has ended.
    pub(super) fn half_closed_since(&self) -> Option<Moment> {
        match self.half_closed.load(Ordering::Relaxed) {
            0 => None,
            since => Some(Moment(since)),
        }
    }

    /// Looks whether anything has moved since the last look; `moved` only ever grows. What is quiet for too long is told to end.
    pub(super) fn look(&self, moved: u64, limits: &Limits, now: Moment) {
        let ended = self.ended.load(Ordering::Relaxed);
        // More than 2^62 bytes are moved by nobody.
        let sight = moved << 2 | u64::from(ended);
        let since = self.since.load(Ordering::Relaxed);
        if self.seen.swap(sight, Ordering::Relaxed) != sight || since == 0 {
            return self.since.store(now.0, Ordering::Relaxed);
        }
        let too_long = |limit| Moment(since).until(now) >= limit;
        if limits.of(Ended::of(ended)).is_some_and(too_long) {
            self.told.store(TOLD | ended, Ordering::Release);
            self.waker.wake();
        }
    }

    /// Resolves when it is told to end. One at a time may wait for that. Cancel safe.
    pub(super) async fn told(&self) -> Quiet {
        std::future::poll_fn(|cx| {
            self.waker.register(cx.waker());
            let told = self.told.load(Ordering::Acquire);
            if told == 0 {
                return Poll::Pending;
            }
            let since = Moment(self.since.load(Ordering::Relaxed));
            Poll::Ready(Quiet { ended: Ended::of(told), time: since.until(Moment::now()) })
        })
        .await
    }
}

impl fmt::Display for Quiet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.time;
        match self.ended {
            Ended::Neither => write!(f, "nothing has moved for {time:?} (idle time)"),
            Ended::Only(Side::Client) => write!(
                f,
                "the client has sent all it had, and for {time:?} the server has neither sent nor ended (half-closed idle time)"
            ),
            Ended::Only(Side::Server) => write!(
                f,
                "the server has sent all it had, and for {time:?} the client has neither sent nor ended (half-closed idle time)"
            ),
            Ended::Both => write!(
                f,
                "both sides have sent all they had, and for {time:?} nothing of what is left was taken (half-closed idle time)"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const MINUTE: Duration = Duration::from_secs(60);
    const LIMITS: Limits = Limits { half_closed: Some(HOUR), open: None };

    /// A connection, how much has moved on it, and a clock.
    struct Bench {
        watched: Watched,
        moved: u64,
        limits: Limits,
    }

    impl Bench {
        fn new(limits: Limits) -> Self {
            Self { watched: Watched::default(), moved: 0, limits }
        }

        /// Looks once a minute, for so long, and says when and why it was told to end.
        async fn pass(&self, time: Duration) -> Option<(Duration, Quiet)> {
            let began = Instant::now();
            while began.elapsed() < time {
                self.watched.look(self.moved, &self.limits, Moment::now());
                if let Some(quiet) = self.watched.told().now_or_never() {
                    return Some((began.elapsed(), quiet));
                }
                tokio::time::advance(MINUTE).await;
            }
            None
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_open_may_be_quiet_for_ever() {
        assert_eq!(Bench::new(LIMITS).pass(HOUR * 24 * 365).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_half_closed_one_that_is_quiet_for_an_hour_ends() {
        for (side, other) in
            [(Side::Client, "the server has neither"), (Side::Server, "the client has neither")]
        {
            let bench = Bench::new(LIMITS);
            assert_eq!(bench.pass(HOUR * 5).await, None);
            bench.watched.end(side);
            let (after, quiet) = bench.pass(HOUR * 5).await.unwrap();
            assert_eq!((after, quiet), (HOUR, Quiet { ended: Ended::Only(side), time: HOUR }));
            let said = quiet.to_string();
            assert!(said.contains(other) && said.contains("3600s"), "{said}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_half_closed_one_on_which_anything_moves_goes_on() {
        let mut bench = Bench::new(LIMITS);
        bench.watched.end(Side::Client);
        for _ in 0..100 {
            assert_eq!(bench.pass(HOUR - MINUTE).await, None);
            bench.moved += 1;
        }
        let (after, _) = bench.pass(HOUR * 5).await.unwrap();
        assert_eq!(after, HOUR);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_takes_after_both_have_ended_ends_too() {
        let bench = Bench::new(LIMITS);
        bench.watched.end(Side::Client);
        assert_eq!(bench.pass(HOUR - MINUTE).await, None);
        // That is something new: the time begins anew.
        bench.watched.end(Side::Server);
        let (after, quiet) = bench.pass(HOUR * 5).await.unwrap();
        assert_eq!((after, quiet.ended), (HOUR, Ended::Both));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_time_holds_for_both_kinds() {
        let limits = Limits { open: Some(MINUTE * 5), ..LIMITS };
        for end in [None, Some(Side::Server)] {
            let bench = Bench::new(limits);
            if let Some(side) = end {
                bench.watched.end(side);
            }
            let (after, quiet) = bench.pass(HOUR * 5).await.unwrap();
            assert_eq!((after, quiet.time), (MINUTE * 5, MINUTE * 5));
            assert_eq!(quiet.ended, end.map_or(Ended::Neither, Ended::Only));
        }
        let never = Bench::new(Limits::default());
        never.watched.end(Side::Client);
        assert_eq!(never.pass(HOUR * 24 * 30).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_known_since_when_it_is_half_closed() {
        let watched = Watched::default();
        assert_eq!((watched.half_closed_since(), watched.ended()), (None, Ended::Neither));
        watched.end(Side::Server);
        tokio::time::advance(MINUTE).await;
        watched.end(Side::Client);
        tokio::time::advance(MINUTE).await;
        assert_eq!(watched.half_closed_since().unwrap().until(Moment::now()), MINUTE * 2);
        assert_eq!(watched.ended(), Ended::Both);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_is_woken() {
        let bench = Bench::new(Limits { open: Some(MINUTE), half_closed: None });
        let (quiet, ()) = tokio::join!(bench.watched.told(), async {
            for _ in 0..3 {
                tokio::task::yield_now().await;
                bench.watched.look(0, &bench.limits, Moment::now());
                tokio::time::advance(MINUTE).await;
            }
        });
        assert_eq!(quiet, Quiet { ended: Ended::Neither, time: MINUTE * 2 });
    }

    #[test]
    fn a_connection_that_is_idle_keeps_little() {
        assert!(size_of::<Watched>() <= 48, "{}", size_of::<Watched>());
    }
}
