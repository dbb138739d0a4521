//! Names, other names, and subscriptions that must neither be missing nor add up.

use super::*;

fn aliased(name: &str, version: &str, aliases: &[&str]) -> Accepted {
    Accepted { aliases: aliases.iter().map(|alias| Arc::from(*alias)).collect(), ..accepted(name, version) }
}

fn gone(session: &mut Session, name: &str, now: Instant) {
    let handled = Handled { removed: vec![name.into()], ..Handled::default() };
    session.handled(Kind::Address, "n", handled, now);
}

/// Whether somebody who misses a name now has the server asked.
fn is_asked(session: &mut Session, name: &str, now: Instant) -> bool {
    matches!(session.demand(name, now), Demand::Pending(_))
}

#[test]
fn an_address_that_moved_is_not_known_once_its_new_owner_is_gone() {
    let now = start();
    let mut session = on_demand(now);
    take(&mut session, Kind::Address, vec![aliased("old", "1", &["/10.0.0.1"])]);
    take(&mut session, Kind::Address, vec![aliased("new", "1", &["/10.0.0.1"])]);
    gone(&mut session, "old", now);
    assert_eq!(session.demand("/10.0.0.1", now), Demand::Known);
    gone(&mut session, "new", now);
    assert!(is_asked(&mut session, "/10.0.0.1", now));
}

#[test]
fn an_address_of_several_is_kept_until_the_last_is_gone() {
    let now = start();
    let mut session = on_demand(now);
    ask(&mut session, "/10.0.0.1", now);
    take(&mut session, Kind::Address, ["a", "b"].map(|name| aliased(name, "1", &["/10.0.0.1"])).into());
    all_events(&mut session);
    gone(&mut session, "b", now);
    assert_eq!(session.demand("/10.0.0.1", now), Demand::Known);
    assert_eq!(all_events(&mut session), []);
    gone(&mut session, "a", now);
    assert_eq!(subscriptions(&all_events(&mut session)), [(vec![], vec!["/10.0.0.1"])]);
}

#[test]
fn an_address_is_not_known_once_nothing_has_it() {
    let now = start();
    let mut session = on_demand(now);
    take(&mut session, Kind::Address, vec![aliased("w", "1", &["/10.0.0.1", "/10.0.0.2"])]);
    take(&mut session, Kind::Address, vec![aliased("w", "2", &["/10.0.0.2"])]);
    assert!(is_asked(&mut session, "/10.0.0.1", now));
    assert_eq!(session.demand("/10.0.0.2", now), Demand::Known);
}

#[test]
fn an_address_that_something_has_is_not_gone() {
    let now = start();
    let mut session = on_demand(now);
    let waiter = ask(&mut session, "/10.0.0.1", now);
    all_events(&mut session);
    let both = Handled {
        accepted: vec![aliased("w", "1", &["/10.0.0.1"])],
        removed: vec!["/10.0.0.1".into()],
        ..Handled::default()
    };
    session.handled(Kind::Address, "n", both, now);
    assert_eq!(all_events(&mut session), [Event::Answer(waiter, Outcome::Found)]);
    assert_eq!(session.demand("/10.0.0.1", now), Demand::Known);
}

#[test]
fn a_former_address_is_unsubscribed_when_the_resource_goes() {
    let now = start();
    let mut session = on_demand(now);
    ask(&mut session, "/10.0.0.1", now);
    take(&mut session, Kind::Address, vec![aliased("w", "1", &["/10.0.0.1"])]);
    take(&mut session, Kind::Address, vec![aliased("w", "2", &["/10.0.0.2"])]);
    let both = (vec!["/10.0.0.1", "w"], vec![]);
    assert_eq!(subscriptions(&all_events(&mut session)), [both], "the address may come to be another's");
    gone(&mut session, "w", now);
    assert_eq!(subscriptions(&all_events(&mut session)), [(vec![], vec!["/10.0.0.1", "w"])]);
}

/// A control plane may give a host of another namespace to who asks for it from its own.
#[test]
fn what_one_thing_was_asked_for_by_may_come_to_be_the_name_of_another() {
    let now = start();
    let mut session = on_demand(now);
    let waiter = ask(&mut session, "a/h", now);
    all_events(&mut session);
    take(&mut session, Kind::Address, vec![aliased("b/h", "1", &["a/h", "/240.0.0.1"])]);
    assert_eq!(all_events(&mut session), [Event::Answer(waiter, Outcome::Found)]);
    assert_eq!(session.demand("a/h", now), Demand::Known);
    // One of its own comes, and the other goes: the subscription is for the one there is.
    take(&mut session, Kind::Address, vec![aliased("a/h", "1", &["/240.0.0.2"])]);
    gone(&mut session, "b/h", now);
    assert_eq!(all_events(&mut session), []);
    assert!(is_asked(&mut session, "/240.0.0.1", now));
    gone(&mut session, "a/h", now);
    assert!(is_asked(&mut session, "/240.0.0.2", now) && is_asked(&mut session, "a/h", now));
}

/// The address of what is gone must not be taken for known because something else answers to its name.
#[test]
fn what_a_thing_had_goes_with_it_although_another_answers_to_its_name() {
    let now = start();
    let mut session = on_demand(now);
    ask(&mut session, "a/h", now);
    take(&mut session, Kind::Address, vec![aliased("a/h", "1", &["/240.0.0.2"])]);
    let accepted = vec![aliased("b/h", "1", &["a/h"])];
    let handled = Handled { accepted, removed: vec!["a/h".into()], ..Handled::default() };
    session.handled(Kind::Address, "2", handled, now);
    assert_eq!(session.demand("a/h", now), Demand::Known);
    assert!(is_asked(&mut session, "/240.0.0.2", now));
}

#[test]
fn what_comes_after_it_was_given_up_is_subscribed_to_again() {
    let now = start();
    let mut session = on_demand(now);
    ask(&mut session, "a/late", now);
    all_events(&mut session);
    session.handle_deadline(now + DEMAND_DEADLINE);
    assert_eq!(subscriptions(&all_events(&mut session)), [(vec![], vec!["a/late"])]);
    take(&mut session, Kind::Address, vec![accepted("a/late", "1"), accepted("a/unasked", "1")]);
    assert_eq!(subscriptions(&all_events(&mut session)), [(vec!["a/late"], vec![])]);
    assert_eq!(session.demand("a/unasked", now), Demand::Known);
}

#[test]
fn what_comes_late_under_another_name_is_subscribed_to_by_its_own() {
    let now = start();
    let mut session = on_demand(now);
    ask(&mut session, "/10.0.0.1", now);
    session.handle_deadline(now + DEMAND_DEADLINE);
    all_events(&mut session);
    take(&mut session, Kind::Address, vec![aliased("w", "1", &["/10.0.0.1"])]);
    assert_eq!(subscriptions(&all_events(&mut session)), [(vec!["w"], vec![])]);
}

#[test]
fn what_was_asked_for_by_another_name_is_asked_for_so_on_every_stream() {
    let now = start();
    let mut session = on_demand(now);
    ask(&mut session, "/10.0.0.1", now);
    take(&mut session, Kind::Address, vec![aliased("w", "1", &["/10.0.0.1"])]);
    for _ in 0..2 {
        session.closed(now, None, 0);
        let expected = [("/10.0.0.1", ""), ("w", "1")].map(|(name, version)| (name.into(), version.into()));
        assert_eq!(claims(&mut session, Kind::Address), BTreeMap::from(expected));
    }
}

#[test]
fn what_is_claimed_on_a_new_stream_is_unsubscribed_when_it_goes() {
    let now = start();
    let mut session = on_demand(now);
    take(&mut session, Kind::Address, vec![accepted("unasked", "1")]);
    session.closed(now, None, 0);
    session.opened(now);
    gone(&mut session, "unasked", now);
    assert_eq!(subscriptions(&all_events(&mut session)), [(vec![], vec!["unasked"])]);
}

#[test]
fn who_stopped_waiting_gets_no_answer_and_the_last_takes_the_subscription_along() {
    let now = start();
    let mut session = on_demand(now);
    take(&mut session, Kind::Authorization, Vec::new());
    let waiters = [(); 3].map(|()| ask(&mut session, "a/h", now));
    all_events(&mut session);
    session.forget(waiters[1]);
    session.forget(waiters[1]);
    assert_eq!(all_events(&mut session), []);
    session.forget(waiters[0]);
    session.forget(waiters[2]);
    assert_eq!(subscriptions(&all_events(&mut session)), [(vec![], vec!["a/h"])]);
    session.handle_deadline(now + DEMAND_DEADLINE);
    assert_eq!((all_events(&mut session), session.deadline()), (vec![], None));
    session.forget(waiters[0]);
}

#[test]
fn an_outage_leaves_nothing_behind_but_those_who_wait() {
    let now = start();
    let mut session = on_demand(now);
    session.closed(now, None, 0);
    for n in 0..1000 {
        ask(&mut session, &format!("/{n}"), now);
    }
    session.handle_deadline(now + DEMAND_DEADLINE);
    assert_eq!(all_events(&mut session).len(), 1000);
    let kept = format!("{session:?}");
    assert!(kept.len() < 2000, "{kept}");
}

#[test]
fn no_request_is_too_large_and_no_name_is_lost() {
    let now = start();
    let mut session = on_demand(now);
    for n in 0..9000 {
        ask(&mut session, &format!("{n:0320}"), now);
    }
    session.handle_deadline(now + DEMAND_DEADLINE);
    for n in 9000..18_000 {
        ask(&mut session, &format!("{n:0320}"), now);
    }
    let events = all_events(&mut session);
    let sent = subscriptions(&events);
    let size = |names: &[&str]| names.iter().map(|name| name.len() + 4).sum::<usize>();
    assert!(sent.iter().all(|(subscribe, unsubscribe)| size(subscribe) + size(unsubscribe) < 4 << 20));
    let names = |list: fn(&(Vec<&str>, Vec<&str>)) -> usize| sent.iter().map(list).sum::<usize>();
    assert_eq!((names(|it| it.0.len()), names(|it| it.1.len())), (9000, 9000));
}

#[test]
fn a_name_that_fits_no_message_times_out_and_holds_up_nobody() {
    let now = start();
    let mut session = on_demand(now);
    let huge = ask(&mut session, &"n".repeat(4 << 20), now);
    ask(&mut session, "a/h", now);
    assert_eq!(subscriptions(&all_events(&mut session)), [(vec!["a/h"], vec![])]);
    session.handle_deadline(now + DEMAND_DEADLINE);
    assert_eq!(session.poll(), Some(Event::Answer(huge, Outcome::TimedOut)));
}

#[test]
fn only_so_many_names_are_known_not_to_exist() {
    let now = start();
    let mut session = on_demand(now);
    for n in 0..5000 {
        ask(&mut session, &format!("/{n}"), now);
        gone(&mut session, &format!("/{n}"), now);
    }
    assert_eq!(session.demand("/4999", now), Demand::Unknown);
    assert!(is_asked(&mut session, "/0", now));
}
