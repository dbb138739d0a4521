//! Answers that are worth having once: whoever wants one that is being asked for waits for it, and for a while it is kept.
//!
//! What is asked, and for how long an answer is worth keeping, is for the user.

use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::recent::Recent;

/// An answer, and how long it is kept.
type Kept<V> = OnceCell<(V, Instant)>;

/// Answers by what they are about.
#[derive(Debug)]
pub(super) struct Answers<K, V>(Mutex<Recent<K, Arc<Kept<V>>>>);

impl<K: Eq + Hash + Clone, V: Clone> Answers<K, V> {
    /// Remembers at most so many.
    pub(super) fn new(most: usize) -> Self {
        Self(Mutex::new(Recent::new(most)))
    }

    /// Gives the answer that is known or on its way, and asks only if there is neither. When whoever asks gives up, one of those who wait
    /// asks in his place. Cancel safe.
    pub(super) async fn get(&self, key: &K, ask: impl Future<Output = (V, Duration)>) -> V {
        let kept = self.kept(key);
        let asked = async {
            let (answer, keep) = ask.await;
            (answer, Instant::now() + keep)
        };
        kept.get_or_init(|| asked).await.0.clone()
    }

    fn kept(&self, key: &K) -> Arc<Kept<V>> {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = recent.get(key)
            && kept.get().is_none_or(|(_, until)| *until > Instant::now())
        {
            return Arc::clone(kept);
        }
        let kept = Arc::new(OnceCell::new());
        recent.insert(key.clone(), Arc::clone(&kept));
        kept
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::task::JoinSet;
    use tokio::time::{advance, sleep, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[derive(Clone)]
    struct Bench(Arc<(Answers<u8, u32>, AtomicU32)>);

    impl Bench {
        fn new() -> Self {
            Self(Arc::new((Answers::new(100), AtomicU32::new(0))))
        }

        /// An answer takes a second, and is kept for two; each is another one.
        async fn get(&self, key: u8) -> u32 {
            let (answers, asked) = &*self.0;
            let ask = async {
                sleep(SECOND).await;
                (asked.fetch_add(1, Ordering::Relaxed) + 1, SECOND * 2)
            };
            answers.get(&key, ask).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_asked_for_once_and_kept_for_a_while() {
        let bench = Bench::new();
        let mut together = JoinSet::new();
        for _ in 0..10 {
            let bench = bench.clone();
            together.spawn(async move { bench.get(1).await });
        }
        assert_eq!(together.join_all().await, [1; 10]);
        assert_eq!((bench.get(1).await, bench.get(2).await), (1, 2));
        advance(SECOND).await;
        assert_eq!((bench.get(2).await, bench.get(1).await), (2, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_takes_nobody_along() {
        let bench = Bench::new();
        let patient = bench.clone();
        let impatient = timeout(SECOND / 2, bench.get(1));
        let (gone, answer) = tokio::join!(impatient, async { patient.get(1).await });
        assert!(gone.is_err());
        assert_eq!(answer, 1);
    }
}
