use serde_json::{Value, json};

use super::super::Format;
use super::super::tests::logged;

fn object(work: impl FnOnce()) -> (String, Value) {
    let line = logged(Format::Json, work);
    assert!(line.ends_with('\n') && line.lines().count() == 1, "{line:?}");
    let mut value: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let time = value["time"].take();
    let time = time.as_str().unwrap();
    assert!(time.len() == 27 && time.ends_with('Z'), "{time}");
    value.as_object_mut().unwrap().remove("time");
    (line, value)
}

#[test]
fn a_line_is_an_object_with_what_is_known_in_order() {
    let (line, value) = object(|| {
        tracing::info!(
            target: "access",
            { src.addr = %"1.2.3.4:5", src.workload = "a\"b", bytes = 7_u64, below = -7, part = 0.5, yes = true, error = None::<&str> },
            "done"
        );
    });
    let expected = json!({
        "level": "info", "scope": "access", "message": "done", "src.addr": "1.2.3.4:5", "src.workload": "a\"b",
        "bytes": 7, "below": -7, "part": 0.5, "yes": true,
    });
    assert_eq!(value, expected);
    let order = [
        "\"level\"",
        "\"time\"",
        "\"scope\"",
        "\"message\"",
        "\"src.addr\"",
        "\"src.workload\"",
        "\"bytes\"",
    ];
    let places: Vec<_> = order.iter().map(|key| line.find(key).unwrap()).collect();
    assert!(places.is_sorted(), "{line}");
}

#[test]
fn a_scope_keeps_its_prefix_and_a_message_may_be_absent() {
    let (_, value) = object(|| tracing::debug!(target: "culvert_node::dns", n = 1));
    assert_eq!(value, json!({"level": "debug", "scope": "culvert_node::dns", "n": 1}));
}

#[test]
fn spans_are_objects_but_not_for_connections() {
    let inside = |work: fn()| {
        object(|| {
            let outer = tracing::info_span!("proxy", wl = "ns/name", n = tracing::field::Empty);
            let _outer = outer.enter();
            let _bare = tracing::info_span!("bare").entered();
            outer.record("n", 3);
            work();
        })
        .1
    };
    let seen = inside(|| tracing::error!(target: "t", "x"));
    let expected = json!({
        "level": "error", "scope": "t", "message": "x", "proxy": {"wl": "ns/name", "n": 3}, "bare": {},
    });
    assert_eq!(seen, expected);
    let seen = inside(|| tracing::error!(target: "access", "x"));
    assert_eq!(seen, json!({"level": "error", "scope": "access", "message": "x"}));
}

#[test]
fn no_name_is_there_twice() {
    let (line, value) = object(|| {
        let _outer = tracing::info_span!("s", depth = 1).entered();
        let _inner = tracing::info_span!("s", depth = 2).entered();
        tracing::info!({ level = 3, time = "now" }, "x");
    });
    assert_eq!(value["s"], json!({"depth": 2}));
    assert_eq!((&value["level"], &value["field.level"]), (&json!("info"), &json!(3)));
    assert_eq!(line.matches("\"time\"").count(), 1, "{line}");
}

#[test]
fn what_json_cannot_say_is_not_said() {
    let (_, value) = object(|| tracing::info!(part = f64::NAN, big = u128::MAX, "x"));
    assert_eq!((&value["part"], &value["big"]), (&Value::Null, &json!(u128::MAX.to_string())));
}

#[test]
fn nothing_a_peer_says_breaks_a_line() {
    let evil = "x\n{\"level\":\"info\"}\r\t\u{0}\u{1b}\"\\";
    let (_, value) = object(|| {
        let _span = tracing::info_span!("s", evil, shown = %evil).entered();
        tracing::info!(error = %evil, plain = evil, "{evil}");
    });
    for said in
        [&value["message"], &value["error"], &value["plain"], &value["s"]["evil"], &value["s"]["shown"]]
    {
        assert_eq!(said, evil);
    }
}

#[test]
fn how_many_lines_were_lost_is_an_object_like_any_other() {
    let value: Value = serde_json::from_str(super::lost(17).strip_suffix('\n').unwrap()).unwrap();
    assert_eq!((&value["level"], &value["lines"]), (&json!("warn"), &json!(17)));
    assert!(value["message"].as_str().unwrap().starts_with("log lines were lost"), "{value}");
}
