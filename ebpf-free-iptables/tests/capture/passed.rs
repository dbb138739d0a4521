//! What shall pass uncaptured does, and nothing else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use culvert_sys::netns::Netns;
use ebpf_free_iptables::{Applied, Error, MAX_PASSED_NETWORKS, MAX_PASSED_PORTS, Options, Passed, Plan};

use crate::harness::{BACKENDS, POD, any_tools, inside, pod, sentences, tools, word};
use crate::talk::{ask_as, ask_tcp, ask_udp, serve_tcp, serve_udp};

/// A pod with the proxy's listeners, and somebody it can reach. Each listener says its name.
struct Neighbours {
    pod: Netns,
    peer: Netns,
}

const POD_V4: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const PEER_V4: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const POD_V6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 1);
const PEER_V6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 2);
/// The pod, and the other one.
const ADDRESSES: [(IpAddr, IpAddr); 2] =
    [(IpAddr::V4(POD_V4), IpAddr::V4(PEER_V4)), (IpAddr::V6(POD_V6), IpAddr::V6(PEER_V6))];

impl Neighbours {
    fn new(options: &Options, tools: &ebpf_free_iptables::Iptables) -> Self {
        let (pod, peer) = (pod(), pod());
        let link = format!("ip link add eth0 type veth peer name eth0 netns {}", peer.path().display());
        inside(&pod, &link);
        for (netns, v4, v6) in [(&pod, POD_V4, POD_V6), (&peer, PEER_V4, PEER_V6)] {
            let addresses = format!("ip address add {v4}/24 dev eth0; ip address add {v6}/64 dev eth0 nodad");
            inside(netns, &format!("{addresses}; ip link set eth0 up"));
        }
        for (port, name) in
            [(15001, "outbound"), (15006, "inbound"), (8080, "application"), (9090, "metrics")]
        {
            serve_tcp(&pod, (Ipv6Addr::UNSPECIFIED, port), name);
        }
        for loopback in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            serve_tcp(&pod, (loopback, 15053), "resolver");
            serve_udp(&pod, (loopback, 15053), "resolver");
        }
        for port in [53, 443, 3306] {
            serve_tcp(&peer, (Ipv6Addr::UNSPECIFIED, port), "peer");
        }
        for (_, address) in ADDRESSES {
            serve_udp(&peer, (address, 53), "peer");
        }
        tools.apply(POD, &pod, &Plan::new(options)).unwrap();
        Self { pod, peer }
    }
}

/// Who answers on the ports of the other one, and on those of the pod.
#[track_caller]
fn check(options: &Options, outbound: &[(u16, &str)], inbound: &[(u16, &str)]) {
    for backend in BACKENDS {
        let both = Neighbours::new(options, &tools(backend));
        for (pod, peer) in ADDRESSES {
            let case = |port: u16| format!("{} {peer} {port}", word(backend));
            for (port, who) in outbound {
                assert_eq!(ask_tcp(&both.pod, (peer, *port)), *who, "{}", case(*port));
            }
            for (port, who) in inbound {
                assert_eq!(ask_tcp(&both.peer, (pod, *port)), *who, "{}", case(*port));
            }
        }
    }
}

fn networks(networks: &[&str]) -> Passed {
    let outbound_networks = networks.iter().map(|network| network.parse().unwrap()).collect();
    Passed { outbound_networks, ..Passed::default() }
}

#[test]
fn nothing_passes_unless_it_is_named() {
    check(
        &Options::default(),
        &[(443, "outbound"), (3306, "outbound"), (53, "outbound")],
        &[(8080, "inbound"), (9090, "inbound")],
    );
}

#[test]
fn ports_pass_each_in_its_direction() {
    let passed = Passed { outbound_ports: [3306].into(), inbound_ports: [9090].into(), ..Passed::default() };
    check(
        &Options { passed, ..Options::default() },
        &[(443, "outbound"), (3306, "peer")],
        &[(8080, "inbound"), (9090, "metrics"), (3306, "inbound")],
    );
}

#[test]
fn networks_pass_on_every_port() {
    let passed = networks(&["10.9.0.77/24", "fd09::77/64"]);
    let options = Options { passed, ..Options::default() };
    check(&options, &[(443, "peer"), (3306, "peer"), (53, "peer")], &[(8080, "inbound"), (9090, "inbound")]);
}

#[test]
fn networks_elsewhere_change_nothing() {
    let passed = networks(&["10.9.1.0/24", "10.9.0.3/32", "fd09:0:0:1::/64", "fd09::3/128"]);
    check(&Options { passed, ..Options::default() }, &[(443, "outbound")], &[(8080, "inbound")]);
}

#[test]
fn networks_without_end_pass_only_outbound() {
    let passed = networks(&["0.0.0.0/0", "::/0"]);
    check(&Options { passed, ..Options::default() }, &[(443, "peer")], &[(8080, "inbound")]);
}

#[test]
fn the_proxys_own_ports_cannot_be_opened() {
    let inbound_ports = [15001, 15006, 15008, 15053];
    let passed = Passed { inbound_ports: inbound_ports.into(), ..Passed::default() };
    assert!(passed.reserved().eq(inbound_ports));
    check(&Options { passed, ..Options::default() }, &[], &[(15001, "inbound"), (15053, "inbound")]);
}

/// What came through a tunnel is delivered in the client's name, and the application's answers have to come back.
#[test]
fn what_passes_leaves_the_way_back_to_the_proxy_alone() {
    let inbound_ports = [9090].into();
    let passed = Passed { inbound_ports, outbound_ports: [8080].into(), ..networks(&["0.0.0.0/0", "::/0"]) };
    for backend in BACKENDS {
        let both =
            Neighbours::new(&Options { passed: passed.clone(), ..Options::default() }, &tools(backend));
        for (pod, peer) in ADDRESSES {
            assert_eq!(ask_as(&both.pod, peer, (pod, 9090)), "metrics", "{} {peer}", word(backend));
            assert_eq!(ask_as(&both.pod, peer, (pod, 8080)), "application", "{} {peer}", word(backend));
        }
    }
}

#[test]
fn networks_do_not_let_dns_queries_out() {
    let passed = networks(&["0.0.0.0/0", "::/0"]);
    check_dns(&Options { dns: true, passed, ..Options::default() }, "resolver");
}

#[test]
fn port_53_lets_dns_queries_out_over_either_protocol() {
    let passed = Passed { outbound_ports: [53].into(), ..Passed::default() };
    check_dns(&Options { dns: true, passed, ..Options::default() }, "peer");
}

#[track_caller]
fn check_dns(options: &Options, who: &str) {
    for backend in BACKENDS {
        let both = Neighbours::new(options, &tools(backend));
        for (_, peer) in ADDRESSES {
            assert_eq!(ask_tcp(&both.pod, (peer, 53)), who, "tcp {} {peer}", word(backend));
            assert_eq!(ask_udp(&both.pod, (peer, 53)), who, "udp {} {peer}", word(backend));
        }
    }
}

/// The tools print some of these in another way than they were written.
#[test]
fn every_form_is_recognised_when_it_is_read_back() {
    let outbound_networks = [
        "0.0.0.0/0",
        "10.1.2.3/8",
        "10.1.2.3/31",
        "10.1.2.3/32",
        "255.255.255.255/32",
        "::/0",
        "::/1",
        "2001:db8::1/33",
        "2001:db8::1/128",
        "::ffff:10.1.2.3/104",
        "::10.1.2.3/128",
        "::1/128",
    ];
    let ports = || [0, 1, 80, 1023, 65535].into();
    let outbound_networks = outbound_networks.map(|network| network.parse().unwrap()).into();
    let passed = Passed { outbound_ports: ports(), inbound_ports: ports(), outbound_networks };
    let plan = Plan::new(&Options { passed, ..Options::default() });
    for backend in BACKENDS {
        let (tools, pod) = (tools(backend), pod());
        assert_eq!(tools.apply(POD, &pod, &plan).unwrap(), Applied::Installed);
        assert_eq!(sentences(&tools.verify(POD, &pod, &plan).unwrap()), [""; 0]);
        assert_eq!(tools.apply(POD, &pod, &plan).unwrap(), Applied::Unchanged);
    }
}

#[test]
fn as_much_as_a_pod_may_have_is_applied_and_more_is_refused() {
    let ports = |count: usize| (1..).take(count).collect();
    let network = |n: usize| format!("10.0.{n}.0/24").parse().unwrap();
    let networks = |count: usize| (0..count).map(network).collect();
    let most = Passed {
        outbound_ports: ports(MAX_PASSED_PORTS),
        inbound_ports: ports(MAX_PASSED_PORTS),
        outbound_networks: networks(MAX_PASSED_NETWORKS),
    };
    let apply = |passed: Passed| {
        let plan = Plan::new(&Options { passed, ..Options::default() });
        any_tools().apply(POD, &pod(), &plan)
    };
    assert_eq!(apply(most.clone()).unwrap(), Applied::Installed);
    let refused = |passed: Passed, said: &str| {
        let error = apply(passed).unwrap_err();
        assert!(matches!(error, Error::Passed { .. }), "{error}");
        assert_eq!(error.to_string(), format!("pod shop/cart-0: 65 {said}"));
    };
    let rest = "that shall pass uncaptured are more than the 64 a pod may have";
    refused(Passed { outbound_ports: ports(65), ..most.clone() }, &format!("outbound ports {rest}"));
    refused(Passed { inbound_ports: ports(65), ..most.clone() }, &format!("inbound ports {rest}"));
    refused(Passed { outbound_networks: networks(65), ..most }, &format!("outbound networks {rest}"));
}
