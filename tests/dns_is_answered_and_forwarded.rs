//! A captured pod's queries: names of the mesh are answered by the mesh, and all others by whom the pod asks.

mod clients;
mod load;
mod on_demand;
mod rig;
mod trouble;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use culvert_lab::http;
use rig::{Rig, look_up, shared};

use crate::harness::command::run;
use crate::harness::metrics::counter;
use crate::harness::nameserver::dig;
use crate::harness::talk::SOON;

const WEB: &str = "web.default.svc.cluster.local";

#[test]
fn a_service_is_found_over_both_transports_and_families() {
    let rig = shared();
    for (server, transport) in rig.cluster.ways() {
        for (kind, address) in [("A", IpAddr::from(rig.web.ip4())), ("AAAA", rig.web.ip6().into())] {
            let found = rig.dig_short(server, &format!("{WEB} {kind} {transport}"));
            assert_eq!(found, [address.to_string()], "{kind} from {server} {transport}");
        }
    }
    let said = rig.dig(rig.cluster.ip4(), &format!("{WEB} A"));
    let name = format!("{WEB}.");
    let record = [&name, "30", "IN", "A", &rig.web.ip4().to_string()].join(" ");
    let is_record = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ") == record;
    assert!(said.contains("flags: qr aa rd ra;") && said.lines().any(is_record), "{said}");
    assert_eq!(rig.cluster.queries(WEB), [] as [IpAddr; 0], "it is not the nameserver that knows");
}

#[test]
fn letters_come_back_as_they_were_written() {
    let rig = shared();
    let said = rig.dig(rig.cluster.ip4(), "wEb.DEFAULT.svc.cluster.LOCAL A");
    assert_eq!(said.matches("wEb.DEFAULT.svc.cluster.LOCAL.").count(), 2, "{said}");
    for _ in 0..2 {
        let said = rig.dig(rig.cluster.ip4(), "KNOWN.exAMple A");
        assert!(said.contains(";KNOWN.exAMple."), "{said}");
    }
}

#[test]
fn a_host_that_exists_in_the_mesh_alone_is_found_and_never_denied() {
    let rig = shared();
    assert_eq!(rig.dig_short(rig.cluster.ip4(), "entry.example A"), ["240.240.0.1"]);
    for kind in ["AAAA", "TXT", "TYPE65"] {
        let said = rig.dig(rig.cluster.ip4(), &format!("entry.example {kind}"));
        assert!(said.contains("status: NOERROR") && said.contains("ANSWER: 0, AUTHORITY: 1"), "{said}");
        assert!(said.contains("\tIN\tSOA\t"), "{said}");
    }
}

#[test]
fn every_other_name_is_asked_of_the_server_the_pod_has_chosen() {
    let rig = shared();
    for (server, address) in [(&rig.cluster, "192.0.2.1"), (&rig.other, "192.0.2.2")] {
        for (ip, transport) in server.ways() {
            let found = rig.dig_short(ip, &format!("known.example A {transport}"));
            assert_eq!(found, [address], "from {ip} {transport}");
        }
        // It is the pod who asks, and nobody in its place.
        let own = rig.client.ips();
        let asked = server.queries("known.example");
        assert!(!asked.is_empty() && asked.iter().all(|ip| own.contains(ip)), "{asked:?}");
    }
}

#[test]
fn records_of_all_kinds_and_no_such_name_are_passed_on() {
    let rig = shared();
    let server = rig.cluster.ip4();
    assert_eq!(rig.dig_short(server, "known.example TXT"), ["\"a text\""]);
    assert_eq!(rig.dig_short(server, "known.example MX"), ["10 mail.example."]);
    assert_eq!(rig.dig_short(server, "version.bind TXT CH").len(), 1, "another class");
    for transport in ["+notcp", "+tcp"] {
        let said = rig.dig(server, &format!("unknown.example A {transport}"));
        assert!(said.contains("status: NXDOMAIN") && said.contains(" ra"), "{said}");
        let said = rig.dig(server, &format!("unknown.ns.svc.cluster.local A {transport}"));
        assert!(said.contains("status: NXDOMAIN"), "{said}");
    }
}

#[test]
fn what_does_not_fit_is_cut_and_comes_whole_over_tcp() {
    let rig = shared();
    let server = rig.cluster.ip4();
    let cut = rig.dig(server, "many.example A +noedns +ignore");
    assert!(cut.contains("flags: qr") && cut.contains(" tc "), "{cut}");
    let size = cut.lines().find_map(|line| line.split_once("rcvd: ")?.1.parse::<u32>().ok()).unwrap();
    assert!(size <= 512, "{cut}");
    assert_eq!(rig.dig_short(server, "many.example A +noedns").len(), 100);
    assert_eq!(rig.dig_short(server, "many.example A +bufsize=4096 +ignore").len(), 100);
}

#[test]
fn a_later_version_of_edns_is_refused_for_all_names() {
    let rig = shared();
    for name in [WEB, "known.example"] {
        let said = rig.dig(rig.cluster.ip4(), &format!("{name} A +edns=1 +noednsnegotiation"));
        assert!(said.contains("status: BADVERS") && said.contains("EDNS: version: 0"), "{said}");
    }
}

#[test]
fn programs_find_services_by_the_names_kubernetes_gives_them() {
    let rig = shared();
    let web: [IpAddr; 2] = rig.web.ips();
    for server in [rig.cluster.ip4(), rig.cluster.ip6()] {
        for name in ["web", "web.default", "web.default.svc", WEB] {
            let found = look_up(&rig, server, name);
            assert!(web.iter().all(|ip| found.contains(ip)), "{name} from {server}: {found:?}");
        }
        // The first attempt carries a search domain; it is answered with an alias.
        assert_eq!(look_up(&rig, server, "entry.example"), ["240.240.0.1".parse::<IpAddr>().unwrap()]);
        assert!(look_up(&rig, server, "known.example").contains(&"192.0.2.1".parse().unwrap()));
    }
}

#[test]
fn an_answer_is_kept_for_as_long_as_it_says() {
    let rig = Rig::start("dns-kept").unwrap();
    let ttl = |said: &str| -> u32 {
        let line = said.lines().find(|line| line.starts_with("known.example.")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let first = rig.dig(rig.cluster.ip4(), "known.example A");
    for transport in ["+notcp", "+tcp"] {
        let again = rig.dig(rig.cluster.ip4(), &format!("known.example A {transport}"));
        assert!(ttl(&again) <= ttl(&first) && again.contains("192.0.2.1"), "{again}");
    }
    assert_eq!(rig.cluster.queries("known.example").len(), 1);
    // What one server says is not what another says.
    assert_eq!(rig.dig_short(rig.other.ip4(), "known.example A"), ["192.0.2.2"]);
    assert_eq!(rig.other.queries("known.example").len(), 1);
    assert_eq!(counter(&rig.node, "culvert_dns_cache_hits_total", &[]), 2);
}

/// A pod that may change its own network can have anybody answer in a nameserver's place. That is its own affair.
#[test]
fn what_a_pod_makes_a_server_say_is_not_told_to_others() {
    let rig = Rig::start("dns-forged").unwrap();
    let to = format!("{}:53", rig.other.ip4());
    let divert = "iptables -w 5 -t nat -I OUTPUT -p udp --dport 53 -m mark --mark 0x539/0xfff -j DNAT --to-destination";
    let divert: Vec<_> = divert.split_whitespace().chain([to.as_str()]).collect();
    run(&rig.neighbour, &divert).unwrap();
    let server = rig.cluster.ip4();
    let forged = dig(&rig.neighbour, server, "known.example A +short").unwrap();
    assert_eq!(forged.trim(), "192.0.2.2");
    assert_eq!(rig.dig_short(server, "known.example A"), ["192.0.2.1"]);
}

#[test]
fn queries_are_counted_and_logged() {
    let rig = Rig::start("dns-counted").unwrap();
    rig.dig(rig.cluster.ip4(), &format!("{WEB} A"));
    rig.dig(rig.cluster.ip4(), "known.example TXT +tcp");
    rig.dig(rig.cluster.ip4(), &format!("{WEB} HTTPS"));
    let client = ["source_canonical_service=\"shop\"", "source_canonical_revision=\"v1\""];
    let of = |name, more: [&'static str; 2]| counter(&rig.node, name, &[client, more].concat());
    let (a, txt) = (
        ["request_query_type=\"a\"", "request_protocol=\"udp\""],
        ["request_query_type=\"txt\"", "request_protocol=\"tcp\""],
    );
    assert_eq!(of("istio_dns_requests_total", a), 1);
    assert_eq!(of("istio_dns_requests_total", txt), 1);
    assert_eq!(of("istio_dns_upstream_requests_total", a), 0);
    assert_eq!(of("istio_dns_upstream_requests_total", txt), 1);
    assert_eq!(of("istio_dns_upstream_request_duration_seconds_count", txt), 1);
    let metrics = http::get(rig.node.netns(), ([127, 0, 0, 1], 15020), "/metrics").unwrap().text();
    for bound in ["0.0005", "0.001", "0.01", "0.1", "1", "5", "+Inf"] {
        assert!(metrics.contains(&format!("le=\"{bound}\"")), "{bound}: {metrics}");
    }
    let answered = format!("domain=\"{WEB}.\"");
    let line = rig.proxy.wait_for_log(&answered, SOON).unwrap();
    for part in ["src.workload=\"client\"", "query=\"a\"", "result=\"success\"", "endpoints=1"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let line = rig.proxy.wait_for_log("domain=\"known.example.\"", SOON).unwrap();
    assert!(line.contains("result=\"forwarded\"") && line.contains("query=\"txt\""), "{line}");
    let line = rig.proxy.wait_for_log("query=\"https\"", SOON).unwrap();
    assert!(line.contains("result=\"service does not support this record type\" endpoints=0"), "{line}");
}

#[test]
fn a_server_that_is_gone_is_a_failure_at_once_and_of_nobody_else() {
    let rig = Rig::start("dns-gone").unwrap();
    let gone = rig.node.ip4();
    let said = rig.dig(gone, "known.example A");
    assert!(said.contains("status: SERVFAIL") && said.contains(" ra"), "{said}");
    assert_eq!(rig.dig_short(gone, &format!("{WEB} A")), [rig.web.ip4().to_string()]);
    assert_eq!(rig.dig_short(rig.cluster.ip4(), "known.example A"), ["192.0.2.1"]);
    assert_eq!(counter(&rig.node, "istio_dns_upstream_failures_total", &["request_query_type=\"a\""]), 1);
}

#[test]
fn a_successor_takes_over_and_no_name_is_missed() {
    let rig = Rig::start("dns-successor").unwrap();
    rig.start_next();
    let look_up = |round: usize| {
        let name = if round.is_multiple_of(2) { WEB } else { "known.example" };
        // A datagram may get lost, and clients send it again.
        rig.try_dig(rig.cluster.ip4(), &format!("{name} A +notcp +tries=3 +timeout=1 +short"))
    };
    let done = AtomicBool::new(false);
    let answers = std::thread::scope(|scope| {
        let clients = [0, 1].map(|first| {
            let (done, look_up) = (&done, &look_up);
            scope.spawn(move || {
                let rounds = (first..).take_while(|_| !done.load(Ordering::SeqCst));
                rounds.map(look_up).collect::<Vec<_>>()
            })
        });
        let ended = rig.proxy.stop();
        done.store(true, Ordering::SeqCst);
        assert!(ended.unwrap().success());
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    let is_answer =
        |answer: &Result<String, String>| answer.as_ref().is_ok_and(|said| !said.trim().is_empty());
    assert!(!answers.is_empty() && answers.iter().all(is_answer), "{answers:?}");
    assert!(is_answer(&look_up(0)) && is_answer(&look_up(1)));
}

#[test]
fn without_a_proxy_queries_reach_nobody() {
    let rig = Rig::start("dns-dead").unwrap();
    rig.proxy.kill_hard().unwrap();
    for (server, transport) in rig.cluster.ways() {
        let said = rig.try_dig(server, &format!("known.example A {transport}"));
        assert!(said.is_err(), "from {server} {transport}: {said:?}");
    }
    assert_eq!(rig.cluster.queries("known.example"), [] as [IpAddr; 0]);
}
