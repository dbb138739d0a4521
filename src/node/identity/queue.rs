//! Who may call the certificate authority next.
//!
//! In go requests with a priority and the time they were due; out come turns, to at most [`CALLS`] at once, the highest
//! priority first and the longest due among equals. Of these, at most [`QUIET`] are calls that no connection waits for:
//! a burst of prefetches or renewals never holds up a connection. It does not know what is asked for.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

/// Calls at once.
const CALLS: usize = 8;

/// Calls at once that no connection waits for.
const QUIET: usize = 6;

/// How much a call matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Priority {
    /// Renewals and repeated attempts.
    Background,
    /// The first certificate of an identity that will be needed.
    Warmup,
    /// A connection waits.
    RealTime,
}

/// The queue. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Queue(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    calls: usize,
    quiet: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: BTreeMap<Order, Arc<Notify>>,
    running: usize,
    /// Those of the running that no connection waited for when they began.
    quiet: usize,
    joined: u64,
}

/// The least is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Order {
    priority: Reverse<Priority>,
    due: Instant,
    /// Tells equals apart.
    number: u64,
}

/// A place in the queue, and then a call: dropping it leaves the queue, or makes room for the next.
#[derive(Debug)]
pub(super) struct Place {
    queue: Queue,
    order: Order,
    turn: Arc<Notify>,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self::of(CALLS, QUIET)
    }

    fn of(calls: usize, quiet: usize) -> Self {
        Self(Arc::new(Inner { calls, quiet, state: Mutex::default() }))
    }

    /// Joins the queue with what was due at `due`.
    pub(super) fn join(&self, priority: Priority, due: Instant) -> Place {
        let turn = Arc::new(Notify::new());
        let mut state = self.state();
        state.joined += 1;
        let order = Order { priority: Reverse(priority), due, number: state.joined };
        state.waiting.insert(order, Arc::clone(&turn));
        self.serve(&mut state);
        drop(state);
        Place { queue: self.clone(), order, turn }
    }

    /// Gives turns while there is room.
    fn serve(&self, state: &mut State) {
        while state.running < self.0.calls
            && let Some(first) = state.waiting.first_entry()
        {
            if first.key().is_quiet() {
                if state.quiet == self.0.quiet {
                    return;
                }
                state.quiet += 1;
            }
            state.running += 1;
            first.remove().notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Order {
    fn is_quiet(self) -> bool {
        self.priority.0 != Priority::RealTime
    }
}

impl Place {
    /// Waits for the turn; to be awaited until it comes, once. Cancel safe.
    pub(super) async fn turn(&self) {
        self.turn.notified().await;
    }

    /// Moves forward if this priority is higher. Once it is the turn, that changes nothing.
    pub(super) fn raise(&mut self, priority: Priority) {
        if priority <= self.order.priority.0 {
            return;
        }
        let mut state = self.queue.state();
        let Some(turn) = state.waiting.remove(&self.order) else { return };
        self.order.priority = Reverse(priority);
        state.waiting.insert(self.order, turn);
        self.queue.serve(&mut state);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        if state.waiting.remove(&self.order).is_none() {
            state.running -= 1;
            state.quiet -= usize::from(self.order.is_quiet());
        }
        self.queue.serve(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    struct Bench {
        queue: Queue,
        now: Instant,
    }

    impl Bench {
        fn of(calls: usize, quiet: usize) -> Self {
            Self { queue: Queue::of(calls, quiet), now: Instant::now() }
        }

        fn join(&self, priority: Priority, due: u64) -> Place {
            self.queue.join(priority, self.now + Duration::from_secs(due))
        }
    }

    /// Whether it is this place's turn.
    fn called(place: &Place) -> bool {
        !place.queue.state().waiting.contains_key(&place.order)
    }

    /// Ends one call after the other and says in which order these were served.
    fn served(first: Place, mut waiting: Vec<(&'static str, Place)>) -> Vec<&'static str> {
        let mut order = Vec::new();
        let mut running = first;
        while !waiting.is_empty() {
            assert!(!waiting.iter().any(|(_, place)| called(place)), "one call at a time");
            drop(running);
            let next = waiting.iter().position(|(_, place)| called(place)).expect("one is next");
            let (name, place) = waiting.remove(next);
            order.push(name);
            running = place;
        }
        order
    }

    #[test]
    fn priority_counts_first_and_then_the_time_it_was_due() {
        let bench = Bench::of(1, 1);
        let running = bench.join(Priority::Background, 0);
        assert!(called(&running));
        let waiting = vec![
            ("first background", bench.join(Priority::Background, 1)),
            ("second background", bench.join(Priority::Background, 1)),
            ("warmup", bench.join(Priority::Warmup, 3)),
            ("real time", bench.join(Priority::RealTime, 4)),
            ("overdue background", bench.join(Priority::Background, 0)),
        ];
        let expected = ["real time", "warmup", "overdue background", "first background", "second background"];
        assert_eq!(served(running, waiting), expected);
    }

    #[test]
    fn a_priority_only_rises() {
        let bench = Bench::of(1, 1);
        let running = bench.join(Priority::RealTime, 0);
        let mut late = bench.join(Priority::Background, 9);
        let mut soon = bench.join(Priority::RealTime, 5);
        let warm = bench.join(Priority::Warmup, 1);
        late.raise(Priority::RealTime);
        late.raise(Priority::Background);
        soon.raise(Priority::Warmup);
        let waiting = vec![("late", late), ("soon", soon), ("warm", warm)];
        assert_eq!(served(running, waiting), ["soon", "late", "warm"]);
    }

    #[test]
    fn quiet_calls_leave_room_for_connections() {
        let bench = Bench::of(3, 2);
        let [one, two] = [Priority::Background, Priority::Warmup].map(|priority| bench.join(priority, 0));
        let mut three = bench.join(Priority::Background, 0);
        assert!(called(&one) && called(&two) && !called(&three));
        let urgent = bench.join(Priority::RealTime, 1);
        assert!(called(&urgent));
        drop(urgent);
        assert!(!called(&three), "the room of connections stays free");
        three.raise(Priority::RealTime);
        assert!(called(&three));
        drop((one, two, three));
        let state = bench.queue.state();
        assert_eq!((state.running, state.quiet, state.waiting.len()), (0, 0, 0));
    }

    #[test]
    fn who_leaves_the_queue_takes_no_turn() {
        let bench = Bench::of(1, 1);
        let running = bench.join(Priority::Warmup, 0);
        drop(bench.join(Priority::RealTime, 0));
        let other = bench.join(Priority::Background, 0);
        drop(running);
        assert!(called(&other));
    }

    #[tokio::test]
    async fn a_turn_that_came_before_it_was_awaited_is_not_lost() {
        let place = Bench::of(1, 1).join(Priority::Background, 0);
        place.turn().await;
    }
}
