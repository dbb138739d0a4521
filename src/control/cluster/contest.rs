//! Places where somebody else writes what we write, as often as we do.
//!
//! In goes when we have written somewhere and when it was found otherwise afterwards; out comes how long to leave it so. A single edit is
//! put right at once. Who undoes that as well within the [quiet](QUIET) is answered after a pause, and after twice as long the next time:
//! two who are both sure would write for as long as they run, and as fast as the API server lets them.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// What stays as it is for so long is not contested any more.
const QUIET: Duration = Duration::from_secs(600);

/// The pause after what was put right once has been undone. It doubles.
const FIRST: Duration = Duration::from_secs(1);

/// No pause is longer.
const LONGEST: Duration = Duration::from_secs(300);

/// All places we have written to.
#[derive(Debug, Default)]
pub(super) struct Contests(HashMap<String, Contest>);

#[derive(Debug)]
struct Contest {
    /// How often it was undone without a quiet time in between.
    rounds: u32,
    /// When we wrote last.
    written: Instant,
    /// As far as is known it is as we have written it.
    stands: bool,
}

impl Contests {
    /// We write there.
    pub(super) fn written(&mut self, place: &str, now: Instant) {
        match self.0.get_mut(place) {
            Some(contest) => (contest.written, contest.stands) = (now, true),
            None => {
                self.0.insert(place.to_owned(), Contest { rounds: 0, written: now, stands: true });
            }
        }
    }

    /// What we wanted to write has not been.
    pub(super) fn unwritten(&mut self, place: &str) {
        if let Some(contest) = self.0.get_mut(place) {
            contest.stands = false;
        }
    }

    /// It is as it has to be.
    pub(super) fn stands(&mut self, place: &str) {
        if let Some(contest) = self.0.get_mut(place) {
            contest.stands = true;
        }
    }

    /// It is otherwise than it has to be. Gives for how long to leave it so, if that is somebody's answer to what we have written.
    pub(super) fn undone(&mut self, place: &str, now: Instant) -> Option<Duration> {
        let contest = self.0.get_mut(place).filter(|contest| contest.stands)?;
        if now - contest.written > QUIET {
            contest.rounds = 0;
        }
        contest.rounds = contest.rounds.saturating_add(1);
        contest.stands = false;
        let doublings = contest.rounds.checked_sub(2);
        Some(doublings.map_or(Duration::ZERO, |nth| FIRST.saturating_mul(1 << nth.min(16)).min(LONGEST)))
    }

    /// Forgets what was long ago.
    pub(super) fn tidy(&mut self, now: Instant) {
        self.0.retain(|_, contest| now - contest.written <= QUIET * 2);
    }

    /// There is no such place any more.
    pub(super) fn forget(&mut self, place: &str) {
        self.0.remove(place);
    }

    /// How many places are contested.
    pub(super) fn count(&self, now: Instant) -> usize {
        let is_contested =
            |contest: &&Contest| contest.rounds > 1 && !(contest.stands && now - contest.written > QUIET);
        self.0.values().filter(is_contested).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Writes and is undone at once; gives the pause, in seconds.
    fn round(contests: &mut Contests, now: Instant) -> Option<u64> {
        contests.written("shop", now);
        contests.undone("shop", now).map(|pause| pause.as_secs())
    }

    #[test]
    fn the_first_edit_is_put_right_at_once_and_a_fight_is_left_after_longer_and_longer_pauses() {
        let (mut contests, mut now) = (Contests::default(), Instant::now());
        for pause in [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            assert_eq!(round(&mut contests, now), Some(pause));
            assert_eq!(contests.count(now), usize::from(pause > 0));
            now += SECOND * u32::try_from(pause).unwrap();
        }
        contests.written("shop", now);
        assert_eq!(contests.count(now + QUIET), 1);
        assert_eq!(contests.count(now + QUIET + SECOND), 0, "it has been quiet");
        let pause = contests.undone("shop", now + QUIET + SECOND);
        assert_eq!(pause, Some(Duration::ZERO), "an edit like the first one");
    }

    #[test]
    fn only_what_we_have_written_can_be_undone_and_that_once() {
        let (mut contests, now) = (Contests::default(), Instant::now());
        assert_eq!(contests.undone("shop", now), None);
        contests.written("shop", now);
        contests.unwritten("shop");
        assert_eq!(contests.undone("shop", now), None, "it was refused");
        assert_eq!(round(&mut contests, now), Some(0));
        assert_eq!(contests.undone("shop", now), None, "the same again");
        assert_eq!(round(&mut contests, now), Some(1));
        contests.stands("shop");
        assert_eq!(contests.count(now + QUIET + SECOND), 0, "whoever has put it right");
        contests.written("other", now);
        assert_eq!(contests.undone("other", now), Some(Duration::ZERO), "each place by itself");
        contests.forget("shop");
        assert_eq!(round(&mut contests, now), Some(0));
    }
}
