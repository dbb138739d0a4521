use super::records::MOST;
use super::*;

fn endpoint(number: usize) -> Endpoint {
    let port = u16::try_from(number).unwrap();
    let address = SocketAddr::from(([10, 0, 0, 1], port));
    Endpoint { workload: format!("uid {number}").into(), incarnation: 0, address }
}

/// A clock, and what is known at its time.
struct Clock {
    now: Instant,
    records: Records,
}

impl Clock {
    fn new() -> Self {
        Self { now: Instant::now(), records: Records::default() }
    }

    fn wait(&mut self, seconds: u64) -> &mut Self {
        self.now += Duration::from_secs(seconds);
        self
    }

    /// Lets endpoint 1 fail; says for how many seconds it is set aside for it.
    fn fail(&mut self) -> Option<u64> {
        self.records.failed(&endpoint(1), self.now).map(|pause| pause.as_secs())
    }

    fn is_set_aside(&self) -> bool {
        self.records.is_set_aside(&endpoint(1), self.now)
    }
}

#[test]
fn the_third_failure_in_a_row_sets_an_endpoint_aside_for_a_while() {
    let mut clock = Clock::new();
    assert_eq!((clock.fail(), clock.wait(15).fail()), (None, None));
    assert!(!clock.is_set_aside());
    assert_eq!(clock.wait(15).fail(), Some(10));
    assert!(clock.is_set_aside());
    assert!(clock.wait(9).is_set_aside());
    assert!(!clock.wait(1).is_set_aside());
}

#[test]
fn failures_that_are_far_apart_are_forgiven() {
    let mut clock = Clock::new();
    for _ in 0..10 {
        assert_eq!((clock.fail(), clock.wait(20).fail(), clock.wait(11).fail()), (None, None, None));
        clock.wait(31);
    }
}

#[test]
fn the_last_three_failures_count() {
    let mut clock = Clock::new();
    assert_eq!((clock.fail(), clock.wait(29).fail()), (None, None));
    assert_eq!((clock.wait(2).fail(), clock.wait(29).fail()), (None, None));
    assert_eq!(clock.wait(1).fail(), Some(10));
}

#[test]
fn a_success_clears_everything() {
    let mut clock = Clock::new();
    for _ in 0..5 {
        assert_eq!((clock.fail(), clock.fail()), (None, None));
        clock.records.succeeded(&endpoint(1));
    }
    assert_eq!((clock.fail(), clock.fail(), clock.fail()), (None, None, Some(10)));
    clock.records.succeeded(&endpoint(1));
    assert!(!clock.is_set_aside());
    assert_eq!((clock.fail(), clock.fail(), clock.fail()), (None, None, Some(10)));
}

#[test]
fn an_endpoint_that_fails_again_is_set_aside_twice_as_long_up_to_a_limit() {
    let mut clock = Clock::new();
    assert_eq!((clock.fail(), clock.fail(), clock.fail()), (None, None, Some(10)));
    let mut pause = 10;
    for expected in [20, 40, 80, 160, 300, 300] {
        assert_eq!(clock.wait(pause - 1).fail(), None, "it is set aside still");
        assert_eq!(clock.wait(1).fail(), Some(expected));
        pause = expected;
    }
}

#[test]
fn an_endpoint_nobody_has_tried_for_long_begins_anew() {
    let mut clock = Clock::new();
    assert_eq!((clock.fail(), clock.fail(), clock.fail()), (None, None, Some(10)));
    assert_eq!(clock.wait(10 + 299).fail(), Some(20));
    assert_eq!(clock.wait(20 + 300).fail(), None);
}

#[test]
fn no_more_than_so_many_are_known_and_those_set_aside_are_kept() {
    let mut clock = Clock::new();
    assert_eq!((clock.fail(), clock.fail(), clock.fail()), (None, None, Some(10)));
    for number in 2..9000 {
        clock.now += Duration::from_millis(1);
        clock.records.failed(&endpoint(number), clock.now);
        assert!(clock.records.len() <= MOST);
    }
    assert_eq!(clock.records.len(), MOST);
    assert!(clock.is_set_aside());
}

#[test]
fn what_is_over_is_forgotten_with_the_next_failure() {
    let mut clock = Clock::new();
    for number in 2..100 {
        clock.records.failed(&endpoint(number), clock.now);
    }
    clock.wait(30).fail();
    assert_eq!(clock.records.len(), 1);
}

fn pod(name: &str) -> PodInfo {
    PodInfo { name: name.to_owned(), namespace: "n".to_owned(), service_account: "default".to_owned() }
}

fn set_aside(pod: &SetAside, number: usize, now: Instant) {
    (0..3).for_each(|_| pod.failed(&endpoint(number), now));
}

#[test]
fn a_pod_does_not_care_what_others_could_not_reach() {
    let (node, now) = (OfNode::default(), Instant::now());
    let [one, other] = ["one", "other"].map(|name| node.begin(pod(name)));
    let Endpoint { workload: uid, address, .. } = endpoint(1);
    let workload = Workload { uid, ..Workload::default() };
    set_aside(&one, 1, now);
    assert_eq!(one.reputation(&workload, address, now), Reputation::SetAside);
    assert_eq!(one.clone().reputation(&workload, address, now), Reputation::SetAside);
    assert_eq!(one.reputation(&workload, SocketAddr::new(address.ip(), 2), now), Reputation::Good);
    assert_eq!(one.reputation(&Workload::default(), address, now), Reputation::Good);
    assert_eq!(other.reputation(&workload, address, now), Reputation::Good);
    one.succeeded(&endpoint(1));
    assert!(one.knows_nothing());
    assert_eq!(one.reputation(&workload, address, now), Reputation::Good);
}

#[test]
fn what_is_set_aside_is_listed_by_pod() {
    let (node, now) = (OfNode::default(), Instant::now());
    let [b, a, idle] = ["b", "a", "idle"].map(|name| node.begin(pod(name)));
    set_aside(&b, 1, now);
    set_aside(&a, 2, now);
    set_aside(&a, 1, now);
    idle.failed(&endpoint(1), now);
    let list = |after: u64| -> Vec<(String, Vec<(Endpoint, u64)>)> {
        let all = node.list(now + Duration::from_secs(after)).into_iter();
        all.map(|(pod, listed)| {
            (pod.name, listed.into_iter().map(|it| (it.endpoint, it.left.as_secs())).collect())
        })
        .collect()
    };
    let of_a = ("a".to_owned(), vec![(endpoint(1), 6), (endpoint(2), 6)]);
    assert_eq!(list(4), [of_a.clone(), ("b".to_owned(), vec![(endpoint(1), 6)])]);
    drop(b);
    assert_eq!(list(4), [of_a]);
    assert_eq!(list(10), []);
}
