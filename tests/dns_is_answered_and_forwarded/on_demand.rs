//! `XDS_ON_DEMAND=true`: the node knows what was asked for, and asks for a name while its query waits.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::rig::{ENTRY, Rig, look_up};
use super::{SOON, WEB};
use crate::harness::metrics::counter;
use crate::harness::talk::assert_echo;

/// What the node program lets a query wait, and less than ten of them.
const FIVE_WAITS: Duration = Duration::from_millis(2500);

fn start(name: &str) -> Rig {
    Rig::start_with(name, &[("XDS_ON_DEMAND", "true"), ("RUST_LOG", "info,dns=debug")]).unwrap()
}

fn demands(rig: &Rig, result: &str) -> u64 {
    counter(&rig.node, "culvert_dns_demands_total", &[&format!("result=\"{result}\"")])
}

#[test]
fn a_host_that_exists_in_the_mesh_alone_is_asked_for_found_and_connected_to() {
    let rig = start("dns-demand");
    let server = rig.cluster.ip4();
    assert_eq!(rig.dig_short(server, "entry.example A"), [ENTRY.ip().to_string()]);
    assert_echo(&rig.client, ENTRY, b"found by its name");
    let web: [IpAddr; 2] = rig.web.ips();
    for name in ["web", "web.default", WEB] {
        let found = look_up(&rig, server, name);
        assert!(web.iter().all(|ip| found.contains(ip)), "{name}: {found:?}");
    }
    assert_eq!(look_up(&rig, server, "entry.example"), [ENTRY.ip()], "with a search list as well");
    assert_eq!(
        rig.cluster.queries("entry.example"),
        [] as [IpAddr; 0],
        "it is not the nameserver that knows"
    );
    // Two services; all other forms of their names led to what was known by then, or asked for.
    let asked = demands(&rig, "answered");
    assert!((2..=6).contains(&asked), "{asked}");
}

#[test]
fn a_name_nobody_in_the_mesh_has_costs_one_question() {
    let rig = start("dns-demand-unknown");
    let server = rig.cluster.ip4();
    for words in ["known.example A", "known.example AAAA", "known.example A +tcp", "known.example TXT"] {
        assert!(!rig.dig_short(server, words).is_empty(), "{words}");
    }
    assert_eq!(demands(&rig, "answered"), 1);
    assert!(rig.dig(server, "unknown.example A").contains("status: NXDOMAIN"));
    assert_eq!((demands(&rig, "answered"), demands(&rig, "timed_out")), (2, 0));
    assert!(rig.cluster.queries("known.example").len() >= 2, "it is asked");
}

#[test]
fn while_the_control_plane_is_away_others_answer_as_ever() {
    let rig = start("dns-demand-away");
    let server = rig.cluster.ip4();
    assert_eq!(rig.dig_short(server, "entry.example A"), [ENTRY.ip().to_string()]);
    rig.lab.control().unwrap().kill_hard().unwrap();
    // Some find out.
    let ask =
        |name: String| assert_eq!(rig.dig_short(server, &format!("{name}.load.example A")), ["192.0.2.1"]);
    (0..3).for_each(|n| ask(format!("first-{n}")));
    let begun = Instant::now();
    (0..10).for_each(|n| ask(format!("then-{n}")));
    assert!(begun.elapsed() < FIVE_WAITS, "{:?}", begun.elapsed());
    assert!(demands(&rig, "not_waited") >= 10 && demands(&rig, "timed_out") <= 3);
    assert_eq!(rig.dig_short(server, "entry.example A"), [ENTRY.ip().to_string()], "it is known");
    rig.lab.start_control().unwrap();
    let is_found = || rig.dig_short(server, &format!("{WEB} A")) == [rig.web.ip4().to_string()];
    rig.lab.wait_until(SOON, "it is asked again", is_found).unwrap();
}
