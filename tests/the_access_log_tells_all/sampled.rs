//! A share of what ended well is enough, for those of whom the operator says so.

use std::collections::BTreeSet;

use crate::harness::cluster::ECHO;
use crate::harness::metrics::counter;
use crate::harness::talk::{SOON, assert_echo, assert_reset};

use super::rig::Rig;

const SAMPLED_OUT: &str = "culvert_access_log_sampled_out_total";
const CONNECTIONS: usize = 60;

/// The client's connections are not logged, of all others half.
const SETTING: (&str, &str) =
    ("CULVERT_ACCESS_LOG_SAMPLING", "spiffe://cluster.local/ns/default/sa/client=0,0.5");

#[test]
fn both_ends_keep_the_same_and_count_the_others() {
    let rig = Rig::start("access-share", &[SETTING]);
    let to = (rig.cluster.server.ip4(), ECHO);
    (0..CONNECTIONS).for_each(|_| assert_echo(&rig.cluster.neighbour, to, b"one of many"));
    let out = || traces(&rig.one.log_text(), "trace=", "src.workload=\"neighbour\"");
    let inward = || traces(&rig.two.log_text(), "\"trace\":\"", "\"src.workload\":\"neighbour\"");
    let sampled_out = |node| usize::try_from(counter(node, SAMPLED_OUT, &[])).unwrap();
    let all = || {
        out().len() + sampled_out(&rig.cluster.one) == CONNECTIONS
            && inward().len() + sampled_out(&rig.cluster.two) == CONNECTIONS
    };
    rig.cluster.lab.wait_until(SOON, "each connection is logged or counted, at both ends", all).unwrap();
    assert_eq!(out(), inward());
    assert!((5..CONNECTIONS - 5).contains(&out().len()), "{} of {CONNECTIONS}", out().len());
}

#[test]
fn failures_are_always_logged() {
    let rig = Rig::start("access-share-failed", &[SETTING]);
    let (client, server) = (&rig.cluster.client, &rig.cluster.server);
    let closed = server.listen(0).unwrap().local_addr().unwrap().port();
    assert_echo(client, (server.ip4(), ECHO), b"well");
    assert_reset(client, (server.ip4(), closed));
    let of = |node| counter(node, SAMPLED_OUT, &[]);
    let counted = || (of(&rig.cluster.one), of(&rig.cluster.two)) == (1, 1);
    rig.cluster.lab.wait_until(SOON, "what ended well is counted", counted).unwrap();
    let line = rig.one.wait_for_log("\taccess\t", SOON).unwrap();
    assert!(line.contains("\terror\t") && line.contains("error="), "{line}");
    let failed = rig.two.wait_for_log("\"scope\":\"access\"", SOON).unwrap();
    assert!(failed.contains("workload_refused"), "{failed}");
    let all = [rig.one.log_text(), rig.two.log_text()].concat();
    assert_eq!(all.matches("connection complete").count(), 2, "{all}");
}

#[test]
fn a_setting_that_makes_no_sense_is_named_at_the_start() {
    let cluster = crate::harness::cluster::Cluster::without_mesh("access-wrong").unwrap();
    for (name, value, said) in [
        (SETTING.0, "lots", "`lots` is no share"),
        (SETTING.0, "batch=0.1", "`batch` is no identity"),
        ("CULVERT_ACCESS_LOG_INTERVAL", "10ms", "must be at least 1s"),
        ("CULVERT_ACCESS_LOG_INTERVAL", "often", "`often` is not a duration"),
    ] {
        let launch = cluster.lab.node_launch(&cluster.one).unwrap().env(name, value);
        let program = cluster.lab.start(launch).unwrap();
        let status = program.wait_for_exit(SOON).unwrap();
        let text = program.log_text();
        assert_eq!(status.code(), Some(2), "{text}");
        assert!(text.contains(name) && text.contains(said), "{text}");
    }
}

/// The traces of connections that are logged as complete and are of somebody.
fn traces(log: &str, before: &str, whose: &str) -> BTreeSet<String> {
    let of = |line: &str| Some(line.split_once(before)?.1.chars().take(32).collect());
    log.lines()
        .filter(|line| line.contains("connection complete") && line.contains(whose))
        .filter_map(of)
        .collect()
}
