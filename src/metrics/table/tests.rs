use metrics::{Counter, GaugeFn as _, HistogramFn as _};

use super::*;
use crate::group::Counters;

const IDLE: Duration = Duration::from_secs(900);
const CLOSED: &[&str] = &["reporter", "flags"];

fn table(shape: Shape, most: usize) -> Table {
    Table::new(shape, Some(Limits { most, idle: Some(IDLE), closed: CLOSED }))
}

fn counters(most: usize) -> Table {
    table(Shape::Counters(1), most)
}

/// A table, and a clock that a test sets.
struct At<'t>(&'t Table, Instant);

impl At<'_> {
    fn series(&self, labels: &[(&str, &str)]) -> Arc<Series> {
        self.0.series(labels.iter().copied(), || self.1)
    }

    fn count(&self, labels: &[(&str, &str)]) {
        Counter::from_arc(self.series(labels)).increment(1);
    }

    fn later(self, by: Duration) -> Self {
        Self(self.0, self.1 + by)
    }

    /// The labels and values of all series.
    fn all(&self) -> Vec<(String, u64)> {
        let all = self.0.all(self.1);
        let mut all: Vec<_> = all.iter().map(|it| (it.labels.to_string(), it.count(0).unwrap())).collect();
        all.sort();
        all
    }
}

fn pod(name: &str) -> [(&'static str, &str); 2] {
    [("reporter", "source"), ("pod", name)]
}

#[test]
fn equal_labels_are_one_series() {
    let table = counters(10);
    let at = At(&table, Instant::now());
    at.count(&pod("a"));
    at.count(&pod("a"));
    at.count(&[]);
    let expected = [(String::new(), 1), ("reporter=\"source\",pod=\"a\"".to_owned(), 2)];
    assert_eq!(at.all(), expected);
}

#[test]
fn a_series_that_does_not_change_is_dropped_and_begins_again() {
    let table = counters(10);
    let at = At(&table, Instant::now());
    at.count(&pod("gone"));
    at.count(&pod("busy"));
    let at = at.later(IDLE / 2);
    assert_eq!(at.all().len(), 2);
    at.count(&pod("busy"));
    let at = at.later(IDLE / 2);
    assert_eq!(at.all().len(), 2, "it was not seen to be the same for long enough");
    let at = at.later(IDLE / 2);
    assert_eq!(at.all(), [("reporter=\"source\",pod=\"busy\"".to_owned(), 2)]);
    at.count(&pod("gone"));
    assert_eq!(at.all()[1].1, 1);
}

#[test]
fn idle_series_go_also_when_nobody_looks() {
    let table = counters(usize::MAX);
    let mut at = At(&table, Instant::now());
    for round in 0..20 {
        for number in 0..1000 {
            at.count(&pod(&format!("{round}-{number}")));
        }
        at = at.later(IDLE);
    }
    let kept = table.own.load(Ordering::Relaxed);
    assert!(kept <= 3000, "{kept} series of 20000");
}

#[test]
fn a_counter_that_is_held_loses_nothing_however_long() {
    let table = counters(10);
    let at = At(&table, Instant::now());
    let held = Counter::from_arc(at.series(&pod("days")));
    held.increment(1);
    let mut at = at;
    for _ in 0..100 {
        at = at.later(IDLE);
        assert_eq!(at.all().len(), 1);
    }
    held.increment(1);
    drop(held);
    assert_eq!(at.all()[0].1, 2);
    let at = at.later(IDLE / 2);
    assert_eq!(at.all()[0].1, 2, "what was counted last is there to be read");
    assert_eq!(at.later(IDLE).all(), []);
}

#[test]
fn of_a_group_one_counter_that_is_held_keeps_all() {
    let table = table(Shape::Counters(2), 10);
    let at = At(&table, Instant::now());
    let counters = Counters::of(at.series(&pod("a")));
    counters.add(0, 1);
    let held = counters.one(1);
    drop(counters);
    let at = at.later(IDLE).later(IDLE);
    held.add(5);
    let series = at.series(&pod("a"));
    assert_eq!((series.count(0), series.count(1)), (Some(1), Some(5)));
}

#[test]
fn gauges_and_series_of_closed_labels_stay() {
    let gauges = table(Shape::Gauge, 10);
    let histograms = table(Shape::Histogram([1.0].into()), 10);
    let counters = counters(10);
    let now = Instant::now();
    let later = now + IDLE;
    At(&gauges, now).series(&pod("a")).set(1.0);
    for table in [&counters, &histograms] {
        let at = At(table, now);
        drop([at.series(&[]), at.series(&[("reporter", "source"), ("flags", "-")]), at.series(&pod("a"))]);
    }
    At(&histograms, now).series(&pod("busy")).record(0.5);
    assert_eq!(histograms.all(later).len(), 3, "a value was recorded");
    assert_eq!(counters.all(later).len(), 2);
    assert_eq!((histograms.all(later + IDLE).len(), gauges.all(later + IDLE).len()), (2, 1));
}

#[test]
fn nothing_is_dropped_when_nothing_shall_be() {
    let table = Table::new(Shape::Counters(1), Some(Limits { most: 10, idle: None, closed: &[] }));
    let at = At(&table, Instant::now());
    at.count(&pod("a"));
    assert_eq!(at.later(IDLE * 1000).all().len(), 1);
}

#[test]
fn what_there_is_no_room_for_is_counted_together_and_apart_by_closed_labels() {
    let table = counters(2);
    let at = At(&table, Instant::now());
    for name in ["a", "b", "c", "d", "a"] {
        at.count(&pod(name));
    }
    at.count(&[("reporter", "destination"), ("pod", "c")]);
    let expected = [
        ("reporter=\"destination\",pod=\"overflow\"".to_owned(), 1),
        ("reporter=\"source\",pod=\"a\"".to_owned(), 2),
        ("reporter=\"source\",pod=\"b\"".to_owned(), 1),
        ("reporter=\"source\",pod=\"overflow\"".to_owned(), 2),
    ];
    assert_eq!((at.all(), table.overflowed()), (expected.to_vec(), 3));
    // What is idle makes room.
    let at = at.later(IDLE);
    at.all();
    let at = at.later(IDLE);
    assert_eq!(at.all().len(), 2, "only the overflow is left");
    at.count(&pod("e"));
    assert_eq!((at.all().len(), table.overflowed()), (3, 3));
}

#[test]
fn guests_take_no_place_of_others_and_make_room_when_idle() {
    let table = counters(100);
    let mut at = At(&table, Instant::now());
    let guest = |at: &At<'_>, name: &str| table.guest(pod(name).into_iter(), || at.1);
    let let_in = |at: &At<'_>, of: &str| {
        (0..1000).filter(|number| guest(at, &format!("{of}{number}")).is_some()).count()
    };
    assert_eq!(let_in(&at, "a"), 10);
    assert!(guest(&at, "a0").is_some(), "who has a series keeps it");
    for number in 0..100 {
        at.count(&pod(&format!("own{number}")));
    }
    assert_eq!(table.overflowed(), 0);
    for _ in 0..2 {
        at = at.later(IDLE);
        at.all();
    }
    assert_eq!(let_in(&at, "b"), 10);
}

#[test]
fn many_threads_count_everything_while_series_come_and_go() {
    let table = counters(50);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let table = &table;
            scope.spawn(move || {
                for number in 0..5000_u32 {
                    // All series are dropped whenever they may be: what was counted in them is lost on purpose.
                    let at = At(table, start + IDLE * number);
                    at.count(&pod(&format!("{}", (number + thread) % 100)));
                    at.count(&[("reporter", "source")]);
                }
            });
        }
        scope.spawn(|| (0..500_u32).for_each(|number| drop(table.all(start + IDLE * number))));
    });
    let at = At(&table, start);
    let closed = at.all().into_iter().find(|(labels, _)| labels == "reporter=\"source\"").unwrap();
    assert_eq!(closed.1, 20_000);
    assert!(table.own.load(Ordering::Relaxed) <= 50);
    assert_eq!(
        at.0.all(start).iter().filter(|it| it.place == Place::Own && !it.labels.is_empty()).count(),
        table.own.load(Ordering::Relaxed)
    );
}
