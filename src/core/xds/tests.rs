//! Conversations with a server that the test plays, and with one that keeps delta semantics under random changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;

mod crossing;
mod on_demand;

/// Some moment; what counts is the time from it.
#[expect(clippy::disallowed_methods, reason = "there is no other way to make an instant")]
fn start() -> Instant {
    Instant::now()
}

fn accepted(name: &str, version: &str) -> Accepted {
    Accepted { name: name.into(), version: version.into(), aliases: Vec::new() }
}

fn rejected(name: &str) -> Rejected {
    Rejected { name: name.into(), reason: "no good".into() }
}

fn names(list: &[Arc<str>]) -> Vec<&str> {
    list.iter().map(|name| &**name).collect()
}

/// The claims of one type on a new stream.
fn claims(session: &mut Session, kind: Kind) -> BTreeMap<String, String> {
    let requests = session.opened(start());
    let requests = requests.into_iter().filter(|request| *request.type_url == *kind.url());
    let claims = requests.flat_map(|request| request.initial_versions);
    claims.map(|(name, version)| (name.to_string(), version.to_string())).collect()
}

fn take(session: &mut Session, kind: Kind, list: Vec<Accepted>) -> Request {
    session.handled(kind, "n", Handled { accepted: list, ..Handled::default() }, start())
}

fn all_events(session: &mut Session) -> Vec<Event> {
    std::iter::from_fn(|| session.poll()).collect()
}

#[test]
fn the_first_requests_ask_for_everything_and_say_who_we_are() {
    let requests = Session::new(Mode::Wildcard).opened(start());
    let urls: Vec<&str> = requests.iter().map(|request| &*request.type_url).collect();
    assert_eq!(urls, Kind::ALL.map(Kind::url));
    for request in &requests {
        let Request { with_node, subscribe, unsubscribe, initial_versions, nonce, refusal, .. } = request;
        assert!(*with_node && subscribe.is_empty() && unsubscribe.is_empty() && initial_versions.is_empty());
        assert!(nonce.is_empty() && refusal.is_none());
    }
}

#[test]
fn on_demand_the_first_request_asks_for_nothing() {
    let requests = Session::new(Mode::OnDemand).opened(start());
    assert_eq!((names(&requests[0].subscribe), names(&requests[0].unsubscribe)), (vec!["*"], vec!["*"]));
    assert!(requests[1].subscribe.is_empty() && requests[1].unsubscribe.is_empty());
}

#[test]
fn it_is_synced_when_every_type_was_answered_be_it_badly() {
    let mut session = Session::new(Mode::Wildcard);
    session.opened(start());
    assert_eq!(session.waits_for(), Kind::ALL);
    take(&mut session, Kind::Address, vec![accepted("w", "1")]);
    assert_eq!(session.waits_for(), [Kind::Authorization]);
    let bad = Handled { rejected: vec![rejected("ns/p")], ..Handled::default() };
    session.handled(Kind::Authorization, "n", bad, start());
    assert!(session.is_synced());
    session.closed(start(), None, 0);
    assert!(session.is_synced());

    let mut on_demand = Session::new(Mode::OnDemand);
    on_demand.opened(start());
    assert_eq!(on_demand.waits_for(), [Kind::Authorization]);
}

#[test]
fn a_response_is_acknowledged_or_refused_with_the_names_and_reasons() {
    let mut session = Session::new(Mode::Wildcard);
    session.opened(start());
    let ack = take(&mut session, Kind::Address, vec![accepted("w", "1")]);
    assert_eq!((&*ack.nonce, &*ack.type_url, ack.refusal), ("n", Kind::Address.url(), None));
    let bad = Handled { rejected: vec![rejected("a"), rejected("b")], ..Handled::default() };
    let nack = session.handled(Kind::Address, "m", bad, start()).refusal.unwrap();
    assert_eq!((nack.code, &*nack.message), (3, "a: no good; b: no good"));
    let unknown = session.unknown_type("type.example/x", "o");
    assert_eq!((&*unknown.nonce, &*unknown.type_url), ("o", "type.example/x"));
    assert!(unknown.refusal.unwrap().message.contains("type.example/x"));
}

#[test]
fn the_text_of_a_refusal_is_bounded() {
    let list = (0..1_000).map(|n| Rejected { name: format!("{n}").into(), reason: "é".repeat(10_000) });
    let nack = Nack::of(&list.collect::<Vec<_>>()).unwrap();
    assert!(nack.message.len() < 6000, "{}", nack.message.len());
    let (_, more) = nack.message.rsplit_once("; and ").unwrap();
    assert!(more.ends_with(" more"), "{more}");
}

#[test]
fn what_was_accepted_is_claimed_and_what_was_not_is_not() {
    let mut session = Session::new(Mode::Wildcard);
    session.opened(start());
    let first = Handled {
        accepted: vec![accepted("foo0", "0.0.1"), accepted("kept", "0.0.1")],
        rejected: vec![rejected("corrupt")],
        ..Handled::default()
    };
    session.handled(Kind::Address, "1", first, start());
    let second = Handled { rejected: vec![rejected("kept")], ..Handled::default() };
    session.handled(Kind::Address, "2", second, start());
    let expected = [("foo0", "0.0.1"), ("kept", "0.0.1")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    assert_eq!(claims(&mut session, Kind::Address), BTreeMap::from(expected));
    assert_eq!(claims(&mut session, Kind::Authorization), BTreeMap::new());
}

#[test]
fn a_policy_that_was_rejected_is_claimed_as_something_else() {
    let mut session = Session::new(Mode::Wildcard);
    session.opened(start());
    take(&mut session, Kind::Authorization, vec![accepted("ns/p", "0.0.1")]);
    let bad = Handled { rejected: vec![rejected("ns/p")], ..Handled::default() };
    session.handled(Kind::Authorization, "2", bad, start());
    let claimed = claims(&mut session, Kind::Authorization);
    assert_ne!(claimed["ns/p"], "0.0.1");
    take(&mut session, Kind::Authorization, vec![accepted("ns/p", "0.0.2")]);
    assert_eq!(claims(&mut session, Kind::Authorization)["ns/p"], "0.0.2");
}

#[test]
fn a_silent_stream_is_given_up_and_a_quiet_one_is_not() {
    let (mut session, now) = (Session::new(Mode::Wildcard), start());
    session.opened(now);
    assert_eq!(session.deadline(), Some(now + FIRST_RESPONSE_DEADLINE));
    session.handle_deadline(now + FIRST_RESPONSE_DEADLINE - Duration::from_millis(1));
    assert_eq!(session.poll(), None);
    session.handle_deadline(now + FIRST_RESPONSE_DEADLINE);
    assert_eq!(all_events(&mut session), [Event::Silent]);
    session.closed(now, None, 0);
    assert_eq!(session.deadline(), None);
    session.opened(now);
    take(&mut session, Kind::Address, Vec::new());
    assert_eq!(session.deadline(), None);
}

#[test]
fn a_stream_that_never_answered_could_not_be_reached() {
    let mut session = Session::new(Mode::Wildcard);
    assert_eq!(session.classify(14, ""), Closed::Unreachable);
    session.opened(start());
    assert_eq!(session.classify(7, ""), Closed::Unreachable);
    take(&mut session, Kind::Address, Vec::new());
    assert_eq!(session.classify(7, ""), Closed::Failed);
}

/// A session on demand with an open stream.
fn on_demand(now: Instant) -> Session {
    let mut session = Session::new(Mode::OnDemand);
    session.opened(now);
    session
}

/// Asks for a name that has to be asked for.
#[track_caller]
fn ask(session: &mut Session, name: &str, now: Instant) -> WaiterId {
    match session.demand(name, now) {
        Demand::Pending(waiter) => waiter,
        other @ (Demand::Known | Demand::Unknown | Demand::Overloaded) => panic!("{name} is {other:?}"),
    }
}

fn subscriptions(events: &[Event]) -> Vec<(Vec<&str>, Vec<&str>)> {
    let of = |event: &'_ Event| match event {
        Event::Send(_) => true,
        Event::Answer(..) | Event::Silent => false,
    };
    let sent = events.iter().filter(|event| of(event)).filter_map(|event| match event {
        Event::Send(request) => Some((names(&request.subscribe), names(&request.unsubscribe))),
        Event::Answer(..) | Event::Silent => None,
    });
    sent.collect()
}

#[test]
fn many_who_wait_for_one_name_make_one_request_and_all_are_answered() {
    let now = start();
    let mut session = on_demand(now);
    let one = ask(&mut session, "a/h", now);
    let two = ask(&mut session, "a/h", now);
    assert_eq!(subscriptions(&all_events(&mut session)), [(vec!["a/h"], vec![])]);
    let three = ask(&mut session, "a/h", now);
    assert_eq!(all_events(&mut session), []);
    take(&mut session, Kind::Address, vec![accepted("a/h", "1")]);
    let answers = [one, two, three].map(|waiter| Event::Answer(waiter, Outcome::Found));
    assert_eq!(all_events(&mut session), answers);
    assert_eq!(session.demand("a/h", now), Demand::Known);
}

#[test]
fn an_alias_is_an_answer() {
    let now = start();
    let mut session = on_demand(now);
    let waiter = ask(&mut session, "/10.0.0.1", now);
    all_events(&mut session);
    let aliased = Accepted { aliases: vec!["/10.0.0.1".into()], ..accepted("c//Pod/n/w", "1") };
    take(&mut session, Kind::Address, vec![aliased]);
    assert_eq!(all_events(&mut session), [Event::Answer(waiter, Outcome::Found)]);
    assert_eq!(session.demand("/10.0.0.1", now), Demand::Known);
    let gone = Handled { removed: vec!["c//Pod/n/w".into()], ..Handled::default() };
    session.handled(Kind::Address, "2", gone, now);
    assert_eq!(subscriptions(&all_events(&mut session)), [(vec![], vec!["/10.0.0.1"])]);
    assert!(matches!(session.demand("/10.0.0.1", now), Demand::Pending(_)));
}

#[test]
fn what_does_not_exist_is_remembered_briefly_and_not_subscribed_to() {
    let now = start();
    let mut session = on_demand(now);
    let waiter = ask(&mut session, "/192.0.2.1", now);
    all_events(&mut session);
    let unknown = || Handled { removed: vec!["/192.0.2.1".into()], ..Handled::default() };
    session.handled(Kind::Address, "1", unknown(), now);
    let events = all_events(&mut session);
    assert_eq!(events[0], Event::Answer(waiter, Outcome::Unknown));
    assert_eq!(subscriptions(&events), [(vec![], vec!["/192.0.2.1"])]);
    assert_eq!(session.demand("/192.0.2.1", now), Demand::Unknown);
    ask(&mut session, "/192.0.2.1", now + UNKNOWN_KEPT);
    assert_eq!(subscriptions(&all_events(&mut session)), [(vec!["/192.0.2.1"], vec![])]);
}

#[test]
fn everybody_who_waits_has_a_deadline_of_its_own() {
    let now = start();
    let later = now + Duration::from_secs(2);
    let mut session = on_demand(now);
    take(&mut session, Kind::Authorization, Vec::new());
    let first = ask(&mut session, "a/h", now);
    let second = ask(&mut session, "a/h", later);
    all_events(&mut session);
    assert_eq!(session.deadline(), Some(now + DEMAND_DEADLINE));
    session.handle_deadline(now + DEMAND_DEADLINE);
    assert_eq!(all_events(&mut session), [Event::Answer(first, Outcome::TimedOut)]);
    session.handle_deadline(later + DEMAND_DEADLINE);
    let events = all_events(&mut session);
    assert_eq!(events[0], Event::Answer(second, Outcome::TimedOut));
    assert_eq!(subscriptions(&events), [(vec![], vec!["a/h"])]);
    assert_eq!(session.deadline(), None);
}

#[test]
fn what_is_asked_for_without_a_stream_is_asked_when_there_is_one() {
    let now = start();
    let mut session = Session::new(Mode::OnDemand);
    let waiter = ask(&mut session, "a/h", now);
    assert_eq!(session.poll(), None);
    assert_eq!(claims(&mut session, Kind::Address), [("a/h".to_owned(), String::new())].into());
    assert_eq!(session.poll(), None);
    take(&mut session, Kind::Address, vec![accepted("a/h", "1")]);
    assert_eq!(session.poll(), Some(Event::Answer(waiter, Outcome::Found)));
    session.closed(now, None, 0);
    assert_eq!(claims(&mut session, Kind::Address), [("a/h".to_owned(), "1".to_owned())].into());
}

#[test]
fn there_is_a_limit_to_what_is_asked_for() {
    let now = start();
    let mut session = on_demand(now);
    for n in 0..10_000 {
        ask(&mut session, &format!("/{n}"), now);
    }
    assert_eq!(session.demand("/more", now), Demand::Overloaded);
    session.handle_deadline(now + DEMAND_DEADLINE);
    ask(&mut session, "/more", now + DEMAND_DEADLINE);
}

/// A server with delta semantics: it knows what it has and what it believes the client has.
#[derive(Default)]
struct Server {
    has: BTreeMap<String, u32>,
    client: BTreeMap<String, String>,
}

impl Server {
    /// A new stream: what the client claims is what it has.
    fn opened(&mut self, requests: &[Request]) {
        let claims = requests.iter().filter(|it| *it.type_url == *Kind::Address.url());
        let claims = claims.flat_map(|it| &it.initial_versions);
        self.client = claims.map(|(name, version)| (name.to_string(), version.to_string())).collect();
    }

    /// Everything that differs; versions that are multiples of seven are no good.
    fn push(&mut self) -> Handled {
        let mut handled = Handled::default();
        for (name, version) in &self.has {
            if self.client.get(name) != Some(&version.to_string()) {
                self.client.insert(name.clone(), version.to_string());
                match version % 7 {
                    0 => handled.rejected.push(rejected(name)),
                    _ => handled.accepted.push(accepted(name, &version.to_string())),
                }
            }
        }
        let gone: BTreeSet<String> =
            self.client.keys().filter(|name| !self.has.contains_key(*name)).cloned().collect();
        self.client.retain(|name, _| !gone.contains(name));
        handled.removed = gone.iter().map(|name| name.as_str().into()).collect();
        handled
    }
}

#[test]
fn the_client_comes_to_have_what_the_server_has_however_often_the_stream_breaks() {
    let mut rng = SmallRng::seed_from_u64(3);
    let (mut session, mut server) = (Session::new(Mode::Wildcard), Server::default());
    // What the client's store holds, by the rules: accepted replaces, removed removes, rejected changes nothing.
    let mut held: BTreeMap<String, String> = BTreeMap::new();
    server.opened(&session.opened(start()));
    for step in 1..4000 {
        let name = format!("w{}", rng.random_range(0..20));
        match rng.random_range(0..5) {
            0 | 1 => drop(server.has.insert(name, step)),
            2 => drop(server.has.remove(&name)),
            3 => {
                let handled = server.push();
                for Accepted { name, version, .. } in &handled.accepted {
                    held.insert(name.to_string(), version.to_string());
                }
                handled.removed.iter().for_each(|name| drop(held.remove(&**name)));
                session.handled(Kind::Address, "n", handled, start());
                let good = |version: &str| version.parse::<u32>().unwrap() % 7 != 0;
                let expected = server.has.iter().map(|(name, version)| (name, version.to_string()));
                for (name, version) in expected.filter(|(_, version)| good(version)) {
                    assert_eq!(held.get(name), Some(&version));
                }
                assert!(held.keys().all(|name| server.has.contains_key(name)));
            }
            _ => {
                session.closed(start(), None, 0);
                assert_eq!(claims(&mut session, Kind::Address), held);
                server.opened(&session.opened(start()));
            }
        }
    }
}
