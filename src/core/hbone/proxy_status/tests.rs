use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::*;

fn read(values: &[&str]) -> Option<(String, String, Option<String>)> {
    let said = Said::parse(values.iter().map(|value| value.as_bytes()))?;
    Some((said.proxy.into(), said.error.into(), said.details.map(Into::into)))
}

#[test]
fn what_is_said_is_understood() {
    for kind in Kind::ALL {
        let status = ProxyStatus { error: *kind, details: "workload_refused" };
        let text = status.to_string();
        let said = Said::parse([text.as_bytes()]).unwrap();
        assert_eq!((said.kind(), said.details.as_deref()), (Some(*kind), Some("workload_refused")), "{text}");
    }
    let text = ProxyStatus { error: Kind::ConnectionRefused, details: "workload_refused" }.to_string();
    assert_eq!(text, "culvert; error=connection_refused; details=\"workload_refused\"");
}

#[test]
fn the_proxy_nearest_to_the_destination_that_names_an_error_is_heard() {
    for (values, proxy, error, details) in [
        (&["a; error=dns_error"][..], "a", "dns_error", None),
        (
            &["a;error=dns_error;details=\"x, y; z\", b;error=http_request_denied"],
            "a",
            "dns_error",
            Some("x, y; z"),
        ),
        (&["a, b; error=dns_error"], "b", "dns_error", None),
        (&["a", "b; error=dns_error"], "b", "dns_error", None),
        (&["a; next-hop=\"b, c; error=no\", d; error=dns_error"], "d", "dns_error", None),
        (
            &["\"a proxy\"; error=something_new; details=\"say \\\"no\\\"\""],
            "a proxy",
            "something_new",
            Some("say \"no\""),
        ),
        (&["Envoy.1; received-status=503; error=dns_error; fatal"], "Envoy.1", "dns_error", None),
        (&["a; error=first; error=last"], "a", "last", None),
        (&["  a ;  error=dns_error  ,b"], "a", "dns_error", None),
        (&["(, b; error=dns_error"], "b", "dns_error", None),
        (&["a; Error, b; error=\"in quotation marks\""], "b", "in quotation marks", None),
    ] {
        let expected = (proxy.to_owned(), error.to_owned(), details.map(str::to_owned));
        assert_eq!(read(values), Some(expected), "{values:?}");
    }
}

#[test]
fn what_names_no_error_or_makes_no_sense_says_nothing() {
    for value in [
        "",
        ",",
        ",,,",
        "a",
        "a; error",
        "a; error=",
        "a; error=\"\"",
        "; error=dns_error",
        "a; =x",
        "\"a; error=dns_error",
        "a; details=\"x\"",
        "a; error=\"x\u{1}\"",
        "a; error=\"\\n\"",
        "a; error=\"ü\"",
    ] {
        assert_eq!(read(&[value]), None, "{value:?}");
    }
}

#[test]
fn only_so_much_is_read_and_kept() {
    let long = "x".repeat(MOST_READ);
    let value = format!("{}; error=dns_error", &long[..1000]);
    assert_eq!(read(&[&value]).unwrap().0.len(), MOST);
    assert_eq!(read(&[&format!("{long}; error=dns_error")]), None);
    assert_eq!(read(&[&long, "a; error=dns_error"]), None);
}

#[test]
fn no_input_panics_and_all_that_is_kept_can_be_printed() {
    const SAMPLES: [&str; 4] = [
        "culvert; error=connection_refused; details=\"workload_refused\"",
        "a; next-hop=\"b\\\\c\", \"d\"; error=dns_error; received-status=502",
        "a, b; error=x, c; error=y; details=\"z\"",
        "",
    ];
    let mut random = SmallRng::seed_from_u64(5);
    let mut understood = 0;
    for _ in 0..50_000 {
        let mut bytes = SAMPLES.choose(&mut random).unwrap().as_bytes().to_vec();
        for _ in 0..random.random_range(0..5) {
            let at = random.random_range(0..=bytes.len());
            let byte =
                if random.random() { b"\";=,\\ a"[random.random_range(0..7)] } else { random.random() };
            match random.random_range(0..3) {
                0 => bytes.insert(at, byte),
                1 => bytes.truncate(at),
                _ => bytes.iter_mut().skip(at).take(1).for_each(|old| *old = byte),
            }
        }
        let Some(said) = Said::parse([bytes.as_slice()]) else { continue };
        understood += 1;
        assert!(said.to_string().bytes().all(|octet| matches!(octet, b' '..=b'~')), "{said:?}");
    }
    assert!(understood > 10_000, "{understood}");
}
