use std::net::SocketAddr;

use super::super::Format;
use super::super::tests::logged;

fn columns(work: impl FnOnce()) -> Vec<String> {
    let line = logged(Format::Plain, work);
    let line = line.strip_suffix('\n').unwrap_or_else(|| panic!("not a whole line: {line:?}"));
    assert!(!line.contains('\n'), "{line}");
    let mut columns = line.split('\t').map(str::to_owned);
    is_a_time(&columns.next().unwrap());
    columns.collect()
}

fn is_a_time(text: &str) {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000000Z");
}

#[test]
fn a_line_is_five_columns() {
    let addr: SocketAddr = "10.0.0.1:80".parse().unwrap();
    let got = columns(
        || tracing::info!(target: "access", { src.addr = %addr, bytes = 7, who = "a b", dst.identity = None::<&str> }, "done"),
    );
    assert_eq!(got, ["info", "access", "done", "src.addr=10.0.0.1:80 bytes=7 who=\"a b\""]);
}

#[test]
fn the_fifth_column_is_left_out_when_there_is_nothing_in_it_and_the_message_stays() {
    assert_eq!(columns(|| tracing::warn!(target: "culvert_node::flow", "no")), ["warn", "node::flow", "no"]);
    assert_eq!(
        columns(|| tracing::debug!(target: "dns", domain = "a.b.")),
        ["debug", "dns", "", "domain=\"a.b.\""]
    );
}

#[test]
fn spans_follow_the_target_but_not_for_connections() {
    let inside = |work: fn()| {
        columns(|| {
            let outer = tracing::info_span!("proxy", wl = "ns/name", n = tracing::field::Empty);
            let _outer = outer.enter();
            let _inner = tracing::info_span!("bare").entered();
            outer.record("n", 3);
            work();
        })
    };
    let spans = inside(|| tracing::error!(target: "culvert_node", "x"));
    assert_eq!(spans, ["error", "node:proxy{wl=\"ns/name\" n=3}:bare", "x"]);
    assert_eq!(inside(|| tracing::error!(target: "access", "x")), ["error", "access", "x"]);
}

#[test]
fn nothing_a_peer_says_breaks_a_line_or_a_column() {
    let evil = "x\n2026-01-01\tinfo\taccess\tforged\r\u{1b}[31m\u{2028}\u{85}";
    let got = columns(|| {
        tracing::info!(error = %evil, debug = ?evil, plain = evil, many = ?[evil], "got {evil}");
    });
    assert_eq!(got.len(), 4, "{got:?}");
    assert!(got[2].starts_with("got x\\n2026-01-01\\tinfo"), "{got:?}");
    assert!(!got.concat().chars().any(super::breaks), "{got:?}");
}

#[test]
fn a_peer_breaks_no_line_through_a_span_either() {
    let got = columns(|| {
        let _span = tracing::info_span!("s", name = %"a\nb\tc").entered();
        tracing::info!("x");
    });
    assert_eq!(got[1], "process::log::text::tests:s{name=a\\nb\\tc}");
}

#[test]
fn how_many_lines_were_lost_is_a_line_like_any_other() {
    let line = super::lost(17);
    let (time, rest) = line.split_once('\t').unwrap();
    is_a_time(time);
    assert!(rest.starts_with("warn\tprocess::log::text\tlog lines were lost"), "{rest}");
    assert!(rest.ends_with("\tlines=17\n"), "{rest}");
}
