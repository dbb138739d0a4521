use tracing_subscriber::reload;

use super::{Below, Directives, Filter, Invalid, MAX_LENGTH};

/// The layer has to live for the filter to mean anything.
fn filter(asked: &str) -> (reload::Layer<Directives, Below>, Filter) {
    Filter::for_layer(asked).unwrap()
}

fn check(asked: &str, said: &str, expected: &str) {
    let (_layer, filter) = filter(asked);
    filter.append(said).unwrap();
    assert_eq!(filter.current(), expected, "{asked:?} + {said:?}");
}

#[test]
fn what_is_said_later_counts() {
    check("", "", "hickory_proto=off,info");
    check("info", "debug", "hickory_proto=off,debug");
    check("info", "off", "hickory_proto=off,off");
    check("info", "warning", "hickory_proto=off,warn");
    check("info", "critical", "hickory_proto=off,error");
    check("info", "DEBUG", "hickory_proto=off,debug");
    check("info", "access=debug,info", "hickory_proto=off,access=debug,info");
    check("info", "access:debug,info", "hickory_proto=off,access=debug,info");
    check("info", "access:debug, warn ,", "hickory_proto=off,access=debug,warn");
    check("info,access=debug", "access=off", "hickory_proto=off,access=off,info");
    check("access=debug", "dns=trace", "hickory_proto=off,access=debug,dns=trace");
    check("info", "h2::proto:debug", "hickory_proto=off,h2::proto=debug,info");
    check("info", "hickory_proto=warn", "hickory_proto=warn,info");
    check("hickory_proto=warn,info", "debug", "hickory_proto=warn,debug");
}

#[test]
fn targets_may_be_named_as_lines_name_them() {
    check("info", "node::flow:debug", "culvert_node::flow=debug,hickory_proto=off,info");
    check("info", "culvert_node::flow=debug", "culvert_node::flow=debug,hickory_proto=off,info");
    check("info", "node=trace", "hickory_proto=off,culvert_node=trace,info");
    check("info", "serving=debug", "culvert_serving=debug,hickory_proto=off,info");
}

#[test]
fn what_is_neither_a_level_nor_a_target_with_one_changes_nothing() {
    let (_layer, filter) = filter("info");
    for wrong in [
        "access",
        "verbose",
        "3",
        "access=",
        "=debug",
        ":debug",
        "access=loud",
        "access:loud",
        "a::debug",
        "a b=info",
        "[span]=info",
        "a[s{x=1}]=info",
        "a=b=info",
        "debug,access",
        "debug,access=",
        "=",
        ":",
        "a\n=info",
    ] {
        assert_eq!(filter.append(wrong), Err(Invalid::Level(wrong.to_owned())), "{wrong:?}");
        assert_eq!(filter.reset_and_append(wrong), Err(Invalid::Level(wrong.to_owned())), "{wrong:?}");
    }
    assert_eq!(filter.current(), "hickory_proto=off,info");
    assert_eq!(Invalid::Level("loud".into()).to_string(), "Invalid level provided: loud");
}

#[test]
fn a_reset_leads_back_to_the_start() {
    let (_layer, filter) = filter("warn,access=info");
    filter.append("debug,dns=trace").unwrap();
    filter.reset();
    assert_eq!(filter.current(), "hickory_proto=off,access=info,warn");
    filter.append("debug,dns=trace").unwrap();
    filter.reset_and_append("info").unwrap();
    assert_eq!(filter.current(), "hickory_proto=off,access=info,info");
}

#[test]
fn an_invalid_reset_leaves_what_was_set() {
    let (_layer, filter) = filter("info");
    filter.append("debug").unwrap();
    assert!(filter.reset_and_append("loud").is_err());
    assert_eq!(filter.current(), "hickory_proto=off,debug");
}

#[test]
fn a_filter_does_not_grow_with_what_is_repeated_nor_without_bound() {
    let (_layer, filter) = filter("info");
    for round in 0..1000 {
        filter.append(["debug,access=info", "info,access:debug"][round % 2]).unwrap();
    }
    assert_eq!(filter.current(), "hickory_proto=off,access=debug,info");

    let refused = (0..1000).find_map(|n| filter.append(&format!("target_{n}=debug")).err());
    assert_eq!(refused, Some(Invalid::TooLong));
    assert!(filter.current().len() <= MAX_LENGTH, "{}", filter.current().len());
    filter.append("off").unwrap();
}

#[test]
fn a_start_filter_that_makes_no_sense_is_named() {
    let error = Filter::for_layer("access=loud").unwrap_err();
    assert!(error.contains("`access=loud`"), "{error}");
}

#[test]
fn a_change_has_its_effect_at_once() {
    use super::super::tests;
    use tracing_subscriber::layer::SubscriberExt as _;
    let (layer, filter) = filter("info");
    let sink = tests::Sink::default();
    let writer = sink.clone();
    let lines = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer).with(lines), || {
        let say = |what: &str| {
            tracing::debug!(target: "access", "{what}");
            sink.text().contains(what)
        };
        assert!(!say("one"));
        filter.append("access:debug").unwrap();
        assert!(say("two"));
        filter.reset();
        assert!(!say("three"));
    });
}
