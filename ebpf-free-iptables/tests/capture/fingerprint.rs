//! A fingerprint changes with everything a verification looks at, and with nothing else.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use culvert_sys::netns::Netns;
use ebpf_free_iptables::{Backend, Options, Passed, Plan};

use crate::harness::{BACKENDS, POD, any_tools, everything, inside, pod, tools, word};

/// Applies, lets somebody run `meddle` (in which `IPT` is one of the tools), and compares the fingerprints around it.
#[track_caller]
fn check(backend: Backend, meddle: &str, changes: bool) {
    let (tools, pod) = (tools(backend), pod());
    tools.apply(POD, &pod, &plan()).unwrap();
    for stem in ["iptables", "ip6tables"] {
        let before = tools.fingerprint(&pod).unwrap();
        let meddle = meddle.replace("IPT", &format!("{stem}-{}", word(backend)));
        inside(&pod, &meddle);
        assert_eq!(tools.fingerprint(&pod).unwrap() != before, changes, "{meddle}");
    }
}

fn plan() -> Plan {
    let passed = Passed { outbound_ports: [443].into(), ..Passed::default() };
    Plan::new(&Options { dns: true, passed, ..Options::default() })
}

#[test]
fn every_change_of_the_rules_is_another_fingerprint() {
    let changes = [
        "IPT -t nat -D ISTIO_OUTPUT 1",
        "IPT -t nat -R ISTIO_OUTPUT 1 -p tcp --dport 443 -j ACCEPT; IPT -t nat -R ISTIO_OUTPUT 1 -p tcp --dport 444 -j ACCEPT",
        "IPT -t nat -D ISTIO_OUTPUT -p tcp --dport 443 -j ACCEPT; IPT -t nat -A ISTIO_OUTPUT -p tcp --dport 443 -j ACCEPT",
        "IPT -t nat -F OUTPUT",
        "IPT -t mangle -I PREROUTING -p udp -j ACCEPT",
        "IPT -t raw -A OUTPUT -j ACCEPT",
        "IPT -t filter -P OUTPUT DROP",
        "IPT -t filter -N THEIRS",
        "IPT -t security -A INPUT -j ACCEPT",
    ];
    for backend in BACKENDS {
        for change in changes {
            check(backend, change, true);
        }
    }
}

#[test]
fn every_change_of_the_routing_is_another_fingerprint() {
    let changes = [
        "ip rule del pref 32764",
        "ip -6 rule del pref 32764",
        "ip rule add pref 5 lookup 101",
        "ip -6 rule add pref 5 lookup 101",
        "ip route flush table 100",
        "ip -6 route flush table 100",
        "ip route add 192.0.2.0/24 dev lo table 100",
        "ip -6 route add 2001:db8::/32 dev lo table 100",
        "ip link set lo down",
    ];
    for change in changes {
        let (tools, pod) = (any_tools(), pod());
        tools.apply(POD, &pod, &plan()).unwrap();
        let before = tools.fingerprint(&pod).unwrap();
        inside(&pod, change);
        assert_ne!(tools.fingerprint(&pod).unwrap(), before, "{change}");
    }
}

#[test]
fn ipv6_switched_on_is_another_fingerprint() {
    let (tools, pod) = (any_tools(), pod());
    inside(&pod, "echo 1 >/proc/sys/net/ipv6/conf/lo/disable_ipv6");
    tools.apply(POD, &pod, &plan()).unwrap();
    let before = tools.fingerprint(&pod).unwrap();
    inside(&pod, "echo 0 >/proc/sys/net/ipv6/conf/lo/disable_ipv6");
    assert_ne!(tools.fingerprint(&pod).unwrap(), before);
}

#[test]
fn rules_in_the_other_backend_are_another_fingerprint() {
    for (ours, theirs) in [(Backend::Nft, "legacy"), (Backend::Legacy, "nft")] {
        for stem in ["iptables", "ip6tables"] {
            let (tools, pod) = (tools(ours), pod());
            tools.apply(POD, &pod, &plan()).unwrap();
            let before = tools.fingerprint(&pod).unwrap();
            inside(&pod, &format!("{stem}-{theirs} -t nat -A OUTPUT -p tcp -j ACCEPT"));
            assert_ne!(tools.fingerprint(&pod).unwrap(), before, "{stem}-{theirs}");
        }
    }
}

#[test]
fn looking_is_no_change() {
    for backend in BACKENDS {
        check(backend, "IPT -t nat -S; IPT-save -c; ip rule; ip -6 rule; ip route show table 100", false);
        let (tools, pod) = (tools(backend), pod());
        tools.apply(POD, &pod, &plan()).unwrap();
        let before = tools.fingerprint(&pod).unwrap();
        tools.verify(POD, &pod, &plan()).unwrap();
        tools.apply(POD, &pod, &plan()).unwrap();
        tools.has_traces(&pod).unwrap();
        everything(&pod);
        assert_eq!(tools.fingerprint(&pod).unwrap(), before);
    }
}

#[test]
fn packets_are_no_change() {
    for backend in BACKENDS {
        let (tools, pod) = (tools(backend), pod());
        tools.apply(POD, &pod, &plan()).unwrap();
        let before = tools.fingerprint(&pod).unwrap();
        let counted = || inside(&pod, &format!("iptables-{}-save -c", word(backend)));
        let counters = counted();
        let target = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 9));
        pod.run(|| TcpStream::connect_timeout(&target, Duration::from_secs(5))).unwrap().unwrap_err();
        assert_ne!(counted(), counters);
        assert_eq!(tools.fingerprint(&pod).unwrap(), before);
    }
}

#[test]
fn routes_elsewhere_are_no_change() {
    for backend in BACKENDS {
        check(
            backend,
            "ip route replace 192.0.2.0/24 dev lo; ip -6 route replace 2001:db8::/32 dev lo",
            false,
        );
        check(
            backend,
            "ip route replace default dev lo table 101; ip -6 route replace default dev lo table 101",
            false,
        );
    }
}

#[test]
fn no_legacy_tables_are_made_by_looking() {
    let (tools, pod) = (tools(Backend::Nft), pod());
    tools.apply(POD, &pod, &plan()).unwrap();
    tools.fingerprint(&pod).unwrap();
    tools.has_traces(&pod).unwrap();
    assert_eq!(legacy_tables(&pod), "");
    inside(&pod, "iptables-legacy -t raw -S");
    tools.fingerprint(&pod).unwrap();
    tools.has_traces(&pod).unwrap();
    assert_eq!(legacy_tables(&pod), "raw\n");
}

fn legacy_tables(pod: &Netns) -> String {
    inside(pod, "cat /proc/net/ip_tables_names /proc/net/ip6_tables_names")
}
