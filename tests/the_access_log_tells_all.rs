//! One line for each connection, at each node it went through, with all that is known of it; failures, those of strangers included,
//! and long ones while they last. What is sampled out is counted, and both ends agree about it.

mod rig;
mod sampled;

use std::io::Write as _;

use serde_json::json;

use crate::harness::cluster::{ECHO, service_port};
use crate::harness::metrics::doubling;
use crate::harness::talk::{Ending, SOON, assert_alive, exchange_on, read_to_end};
use rig::Rig;

/// Fields of a line about a connection in a tunnel, in order; what only one of both directions has is in brackets.
const FIELDS: [&str; 22] = [
    "src.addr",
    "src.workload",
    "src.namespace",
    "src.identity",
    "src.cluster",
    "dst.addr",
    "dst.hbone_addr",
    "dst.service",
    "dst.workload",
    "dst.namespace",
    "dst.identity",
    "dst.cluster",
    "direction",
    "bytes_sent",
    "bytes_recv",
    "duration",
    "closed_by",
    "rtt",
    "retransmits",
    "tls.group",
    "id",
    "trace",
];

/// Fields that are there when a connection is opened.
const AT_OPEN: usize = 13;

#[test]
fn both_ends_tell_all_they_know_in_text_and_as_json() {
    let rig = Rig::start("access-log", &[("RUST_LOG", "info,access=debug")]);
    let (client, server) = (&rig.cluster.client, &rig.cluster.server);
    let _doubling = rig.cluster.lab.serve(server, 7100, doubling()).unwrap();
    let stream = client.connect((server.ip4(), 7100), SOON).unwrap();
    let own = stream.local_addr().unwrap();
    assert_eq!(exchange_on(stream, b"hello world"), Ending::Complete(b"hello worldhello world".to_vec()));

    let out = rig.outbound("connection complete", own);
    let names: Vec<_> = out.names().into_iter().filter(|name| name != "dst.service").collect();
    let expected: Vec<_> = FIELDS.iter().filter(|name| **name != "dst.service").copied().collect();
    assert_eq!(names, expected, "{out:?}");
    let dialled = format!("{}:7100", server.ip4());
    let ends = json!({
        "src.workload": "client", "src.namespace": "default", "src.identity": client.identity(), "src.cluster": "Kubernetes",
        "dst.hbone_addr": dialled, "dst.workload": "server", "dst.namespace": "default", "dst.identity": server.identity(),
        "dst.cluster": "Kubernetes", "closed_by": "client", "tls.group": "X25519MLKEM768",
    });
    let next = format!("{}:15008", server.ip4());
    out.assert("info", &ends);
    out.assert("info", &json!({
        "src.addr": own.to_string(), "dst.addr": next, "direction": "outbound", "bytes_sent": 11, "bytes_recv": 22,
    }));

    let inward = rig.inbound("connection complete", &out.text("trace"));
    inward.assert("info", &ends);
    inward.assert("info", &json!({
        "dst.addr": next, "direction": "inbound", "bytes_sent": 22, "bytes_recv": 11, "trace": out.text("trace"),
    }));
    assert_eq!(inward.names(), out.names(), "the same is known at both ends");
    for line in [&out, &inward] {
        let (took, rtt) = (line.text("duration"), line.text("rtt"));
        assert!(took.strip_suffix("ms").is_some_and(|number| number.parse::<u64>().is_ok()), "{took}");
        assert!(rtt.strip_suffix("ms").is_some_and(|number| number.parse::<f64>().is_ok()), "{rtt}");
        assert!(line.fields["retransmits"].is_u64(), "{line:?}");
        assert_eq!((line.text("id").len(), line.text("trace").len()), (16, 32), "{line:?}");
    }

    let opened = rig.outbound("connection opened", own);
    let expected: Vec<_> = names[..AT_OPEN - 1]
        .iter()
        .cloned()
        .chain(["tls.group".into(), "id".into(), "trace".into()])
        .collect();
    assert_eq!((opened.level.as_str(), opened.names()), ("debug", expected), "{opened:?}");
    assert_eq!(opened.text("id"), out.text("id"));
}

#[test]
fn services_are_named_and_plaintext_has_no_identity() {
    let rig = Rig::start("access-plain", &[]);
    let (client, web) = (&rig.cluster.client, &rig.cluster.web);
    let stream = client.connect((web.ip4(), service_port(ECHO)), SOON).unwrap();
    let own = stream.local_addr().unwrap();
    assert_eq!(exchange_on(stream, b"by name"), Ending::Complete(b"by name".to_vec()));
    let out = rig.outbound("connection complete", own);
    assert_eq!(out.names(), FIELDS, "{out:?}");
    out.assert("info", &json!({"dst.service": web.hostname()}));
    rig.inbound("connection complete", &out.text("trace"))
        .assert("info", &json!({"dst.service": web.hostname()}));

    let stream = client.connect((rig.cluster.outsider.ip4(), ECHO), SOON).unwrap();
    let own = stream.local_addr().unwrap();
    assert_eq!(exchange_on(stream, b"in the open"), Ending::Complete(b"in the open".to_vec()));
    let out = rig.outbound("connection complete", own);
    let absent = ["src.identity", "dst.identity", "dst.hbone_addr", "error", "reason", "policy", "tls.group"];
    assert!(absent.iter().all(|name| !out.fields.contains_key(*name)), "{out:?}");
    out.assert(
        "info",
        &json!({"src.workload": "client", "dst.workload": "outsider", "direction": "outbound"}),
    );
}

#[test]
fn failures_say_why_and_strangers_are_told_apart() {
    let rig = Rig::start("access-failed", &[]);
    let (client, server) = (&rig.cluster.client, &rig.cluster.server);
    let closed = server.listen(0).unwrap().local_addr().unwrap().port();
    let stream = client.connect((server.ip4(), closed), SOON).unwrap();
    let own = stream.local_addr().unwrap();
    assert_eq!(exchange_on(stream, b"anybody?"), Ending::Reset);
    let out = rig.outbound("connection complete", own);
    let names = out.names();
    let at = |name: &str| {
        names.iter().position(|other| other == name).unwrap_or_else(|| panic!("no {name}: {out:?}"))
    };
    assert!(at("duration") + 1 == at("error") && at("error") < at("reason"), "{out:?}");
    out.assert("error", &json!({"dst.workload": "server", "bytes_recv": 0, "closed_by": "proxy"}));
    let inward = rig.inbound("connection complete", &out.text("trace"));
    inward.assert(
        "error",
        &json!({"src.workload": "client", "reason": "workload_refused", "closed_by": "proxy"}),
    );
    assert!(inward.text("error").contains("refused"), "{inward:?}");

    let mut stranger = rig.cluster.outsider.connect((server.ip4(), 15008), SOON).unwrap();
    let own = stranger.local_addr().unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert!(matches!(read_to_end(&mut stranger), Ending::Reset | Ending::Complete(_)));
    let line = rig.inbound("connection failed", &own.to_string());
    let expected = ["src.addr", "dst.addr", "direction", "error", "closed_by", "reason", "id"];
    assert_eq!(line.sorted_names(), rig::sorted(expected), "{line:?}");
    let dialled = format!("{}:15008", server.ip4());
    line.assert("warn", &json!({"dst.addr": dialled, "direction": "inbound", "reason": "peer_not_accepted"}));
    assert!(!line.text("error").is_empty(), "{line:?}");
}

#[test]
fn a_connection_that_lasts_is_told_of_while_it_does() {
    let rig = Rig::start("access-long", &[("CULVERT_ACCESS_LOG_INTERVAL", "1s")]);
    let mut stream = rig.cluster.client.connect((rig.cluster.server.ip4(), ECHO), SOON).unwrap();
    let own = stream.local_addr().unwrap();
    assert_alive(&mut stream, b"ten bytes!");
    let first = rig.outbound("connection open", own);
    first.assert(
        "info",
        &json!({"bytes_sent": 10, "bytes_recv": 10, "direction": "outbound", "dst.workload": "server"}),
    );
    assert!(!first.fields.contains_key("closed_by") && first.milliseconds() >= 1000, "{first:?}");
    assert_alive(&mut stream, b"ten bytes!");
    let position = rig.one.log_position();
    let later = rig.outbound_since(position, "connection open", own);
    later.assert("info", &json!({"bytes_sent": 20, "id": first.text("id")}));
    assert!(later.milliseconds() > first.milliseconds(), "{later:?}");
    rig.inbound("connection open", &first.text("trace")).assert("info", &json!({"direction": "inbound"}));
    drop(stream);
    rig.outbound("connection complete", own).assert("info", &json!({"bytes_sent": 20}));
    let told = rig.one.log_text().matches("connection open\t").count();
    assert!((2..60).contains(&told), "{told} lines in a few seconds");
}
