//! The load: requests at a steady pace on connections that stay, and on new ones.
//!
//! Each worker has a beat. A request that takes longer than a beat has the worker miss some, and it makes up for none of them: what
//! is measured is the time of a request and not that of a queue.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::path::error::{Doing as _, Error};
use crate::path::load::{self, SHORT};
use crate::path::topology::Bed;

/// Connections that stay.
const CONNECTIONS: u32 = 8;
/// Between two requests on each: 2,000 a second on all.
const BEAT: Duration = Duration::from_millis(4);
/// Between two new connections: 50 a second.
const NEW: Duration = Duration::from_millis(20);

/// One request.
#[derive(Debug, Clone, Copy)]
pub(in crate::path) struct Sample {
    pub(in crate::path) began: Instant,
    pub(in crate::path) took: Duration,
}

/// What one kind of requests came to.
#[derive(Debug, Default)]
pub(in crate::path) struct Tally {
    pub(in crate::path) samples: Vec<Sample>,
    pub(in crate::path) failures: u64,
    pub(in crate::path) first_failure: Option<String>,
}

/// Both kinds.
#[derive(Debug, Default)]
pub(in crate::path) struct Heard {
    pub(in crate::path) staying: Tally,
    pub(in crate::path) new: Tally,
}

/// Keeps the pace from the client's pod while something else is done.
pub(in crate::path) fn beside<T>(bed: &Bed, work: impl FnOnce() -> T) -> Result<(T, Heard), Error> {
    let (client, over) = (bed.client.netns(), AtomicBool::new(false));
    let server = IpAddr::V4(bed.server.ip4());
    thread::scope(|scope| {
        let over = &over;
        let _ends = Ends(over);
        let staying = |nth: u32| {
            // They do not all ask at once.
            let first = BEAT * nth / CONNECTIONS;
            scope.spawn(move || client.run(|| on_one(server, first, over)).and_then(|tally| tally))
        };
        let staying: Vec<_> = (0..CONNECTIONS).map(staying).collect();
        let new = scope.spawn(move || {
            let to = SocketAddr::new(server, SHORT);
            client.run(|| keep(NEW, Duration::ZERO, over, || load::ask_anew(to)))
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        let mut heard = Heard::default();
        for worker in staying {
            heard.staying.add(joined(worker.join())?);
        }
        heard.new = joined(new.join())?;
        Ok((done, heard))
    })
}

/// Ends the workers, whatever happens to who waits for them.
pub(in crate::path) struct Ends<'o>(pub(in crate::path) &'o AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn on_one(server: IpAddr, first: Duration, over: &AtomicBool) -> io::Result<Tally> {
    let mut stream = load::open(server)?;
    Ok(keep(BEAT, first, over, || load::ask(&mut stream)))
}

/// Asks at every beat until it is over.
fn keep(
    beat: Duration,
    first: Duration,
    over: &AtomicBool,
    mut ask: impl FnMut() -> io::Result<()>,
) -> Tally {
    let mut tally = Tally::default();
    let mut due = Instant::now() + first;
    while !over.load(Ordering::Relaxed) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let began = Instant::now();
        match ask() {
            Ok(()) => tally.samples.push(Sample { began, took: began.elapsed() }),
            Err(error) => tally.failed(&error),
        }
        due = next(due, beat, Instant::now());
    }
    tally
}

/// The first beat that is yet to come.
fn next(due: Instant, beat: Duration, now: Instant) -> Instant {
    let missed = now.saturating_duration_since(due).as_nanos() / beat.as_nanos();
    due + beat * u32::try_from(missed + 1).unwrap_or(1)
}

impl Tally {
    fn failed(&mut self, error: &io::Error) {
        self.failures += 1;
        self.first_failure.get_or_insert_with(|| error.to_string());
    }

    fn add(&mut self, mut other: Self) {
        self.samples.append(&mut other.samples);
        self.failures += other.failures;
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }
}

fn joined(worker: thread::Result<io::Result<Tally>>) -> Result<Tally, Error> {
    let result = worker.unwrap_or_else(|_| Err(io::Error::other("a worker's thread panicked")));
    result.doing(|| "send requests from the client's pod".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beats_that_were_missed_are_not_made_up_for() {
        let (start, beat) = (Instant::now(), Duration::from_millis(4));
        for (now, expected) in [(0, 4), (3, 4), (4, 8), (9, 12), (400, 404)] {
            let now = start + Duration::from_millis(now);
            assert_eq!(next(start, beat, now), start + Duration::from_millis(expected));
        }
    }

    #[test]
    fn what_fails_is_counted_and_has_no_time() {
        let over = AtomicBool::new(false);
        let mut asked = 0;
        let tally = keep(Duration::from_micros(10), Duration::ZERO, &over, || {
            asked += 1;
            over.store(asked == 5, Ordering::Relaxed);
            if asked == 2 { Err(io::Error::other("no")) } else { Ok(()) }
        });
        assert_eq!((tally.samples.len(), tally.failures), (4, 1));
        assert_eq!(tally.first_failure.as_deref(), Some("no"));
    }
}
