use std::cell::Cell;

use super::*;

/// A thread, for each of which there are rates.
const ONE: usize = 1;

/// A crowd in a world of its own: time passes when somebody comes, and of it a part is waited for the processor.
struct World {
    crowd: Crowd,
    now: Instant,
    waited: Duration,
    others: bool,
}

impl World {
    fn new(others: bool) -> Self {
        let now = Instant::now();
        let crowd = Crowd { rates: Rates::of(ONE), ..Crowd::new(now) };
        Self { crowd, now, waited: Duration::ZERO, others }
    }

    /// As many as come in a second at this rate, while a part of the time is waited.
    fn second(&mut self, rate: f64, part: f64) -> Vec<Next> {
        let mut all = Vec::new();
        let end = self.now + Duration::from_secs(1);
        while self.now < end {
            let next = self.come(rate, part);
            // Whoever has to wait is followed by nobody.
            let pause = if let Next::After(pause) = next { pause } else { Duration::ZERO };
            self.now += pause;
            all.push(next);
        }
        all
    }

    fn come(&mut self, rate: f64, part: f64) -> Next {
        let gone = Duration::from_secs_f64(1.0 / rate);
        self.now += gone;
        self.waited += gone.mul_f64(part);
        let seen = Seen { by: thread::current().id(), at: self.now, waited: self.waited };
        self.crowd.next(self.now, || Some(seen), || self.others)
    }
}

fn position(all: &[Next], which: impl Fn(&Next) -> bool) -> Option<usize> {
    all.iter().position(which)
}

#[test]
fn a_crowd_is_large_for_as_long_as_more_come_than_usual() {
    let mut world = World::new(true);
    let usual = world.second(2500.0, 0.0);
    assert!(usual.iter().all(|next| *next == Next::Soon));
    let many = world.second(6000.0, 0.0);
    let first = position(&many, |next| *next == Next::AfterOthers).unwrap();
    assert!(first < 200 && many[first..].iter().all(|next| *next == Next::AfterOthers), "{first}");
    let usual = world.second(2500.0, 0.0);
    let last = usual.iter().rposition(|next| *next == Next::AfterOthers).unwrap();
    assert!(last < 500, "{last}");
}

#[test]
fn who_begins_too_much_while_processors_are_short_is_held_to_a_rate_and_soon() {
    let mut world = World::new(true);
    let all = world.second(10_000.0, 0.5);
    let limited = position(&all, |next| *next == Next::Limited).unwrap();
    assert!(limited < 200, "{limited} had begun");
    assert!(all[limited + 1..].iter().all(|next| matches!(next, Next::After(_))));
    let begun = world.second(10_000.0, 0.5).len();
    assert!((490..510).contains(&begun), "{begun}");
}

#[test]
fn a_limit_is_over_after_a_while_unless_processors_are_still_short() {
    let seconds = |world: &mut World, part: f64| {
        world.second(10_000.0, 0.5);
        for _ in 0..HOLD.as_secs() {
            world.second(10_000.0, part);
        }
        world.second(10_000.0, part)
    };
    let free = seconds(&mut World::new(true), 0.0);
    assert!(free.len() > 9000 && free.iter().all(|next| *next == Next::AfterOthers), "{}", free.len());
    let held = seconds(&mut World::new(true), 0.5);
    assert!(held.len() < 600, "{}", held.len());
}

#[test]
fn who_begins_little_is_never_limited() {
    let mut world = World::new(true);
    let all = world.second(2900.0, 0.9);
    assert!(all.iter().all(|next| *next == Next::Soon));
}

#[test]
fn nobody_is_limited_where_there_are_no_others_or_processors_enough() {
    for (others, part) in [(false, 0.5), (true, 0.09)] {
        let all = World::new(others).second(10_000.0, part);
        assert!(all.len() > 9000 && !all.contains(&Next::Limited), "{others} {part}");
    }
}

#[test]
fn what_another_thread_has_waited_and_what_was_long_ago_says_nothing() {
    let mut world = World::new(true);
    let elsewhere = thread::spawn(|| thread::current().id()).join().unwrap();
    let looks = Cell::new(0);
    for number in 0..1000_u32 {
        world.now += Duration::from_micros(100);
        let look = || {
            looks.set(looks.get() + 1);
            let by = if looks.get() % 2 == 0 { thread::current().id() } else { elsewhere };
            Some(Seen { by, at: world.now, waited: Duration::from_secs(number.into()) })
        };
        let next = world.crowd.next(world.now, look, || true);
        assert_ne!(next, Next::Limited, "{number}");
    }
    assert!((10..=20).contains(&looks.get()), "{} looks in 0.1 s", looks.get());
    let mut world = World::new(true);
    world.second(10_000.0, 0.0);
    world.now += Duration::from_secs(1);
    world.waited += Duration::from_secs(1);
    let all: Vec<_> = (0..200).map(|_| world.come(10_000.0, 0.0)).collect();
    assert!(!all.contains(&Next::Limited));
}

#[test]
fn a_kernel_that_says_nothing_of_processors_limits_nobody() {
    let mut world = World::new(true);
    let looks = Cell::new(0);
    let look = || {
        looks.set(looks.get() + 1);
        None
    };
    for _ in 0..1000 {
        world.now += Duration::from_micros(100);
        assert_ne!(world.crowd.next(world.now, look, || true), Next::Limited);
    }
    assert!(looks.get() <= 20, "{} looks in 0.1 s", looks.get());
}
