//! A plan is applied once; what is right is left alone.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use ebpf_free_iptables::{Applied, Options, Passed, Plan};

use crate::harness::{BACKENDS, POD, any_tools, everything, inside, pod, sentences, tools, word};

/// Every combination of switches a pod can have.
fn variants() -> Vec<Plan> {
    let virtual_interfaces = || vec!["vnet0".to_owned(), "tap+".to_owned()];
    let passed = Passed {
        outbound_ports: [443].into(),
        inbound_ports: [9090].into(),
        outbound_networks: ["10.0.0.0/8", "::/0"].map(|network| network.parse().unwrap()).into(),
    };
    let options = [
        Options::default(),
        Options { dns: true, ..Options::default() },
        Options { inbound: false, ..Options::default() },
        Options { probes: None, ..Options::default() },
        Options { dns: true, passed, ..Options::default() },
        Options { dns: true, virtual_interfaces: virtual_interfaces(), ..Options::default() },
        Options {
            inbound: false,
            virtual_interfaces: virtual_interfaces(),
            ipv6: false,
            ..Options::default()
        },
    ];
    options.iter().map(Plan::new).collect()
}

#[test]
fn what_was_applied_verifies_and_is_not_applied_again() {
    for backend in BACKENDS {
        let tools = tools(backend);
        for plan in variants() {
            let pod = pod();
            assert_eq!(tools.apply(POD, &pod, &plan).unwrap(), Applied::Installed);
            assert_eq!(sentences(&tools.verify(POD, &pod, &plan).unwrap()), [""; 0]);
            let before = everything(&pod);
            assert_eq!(tools.apply(POD, &pod, &plan).unwrap(), Applied::Unchanged);
            assert_eq!(everything(&pod), before);
        }
    }
}

#[test]
fn counters_survive() {
    let plan = Plan::new(&Options::default());
    for backend in BACKENDS {
        let (tools, pod) = (tools(backend), pod());
        tools.apply(POD, &pod, &plan).unwrap();
        // Leaves through lo, so it is counted by the rule that lets the pod talk to itself.
        let target = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 9));
        pod.run(|| TcpStream::connect_timeout(&target, Duration::from_secs(5))).unwrap().unwrap_err();
        let counters = || inside(&pod, &format!("iptables-{}-save -c | grep -e '^\\['", word(backend)));
        let before = counters();
        let used = |line: &str| {
            line.starts_with("[1:") && line.ends_with("-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -j ACCEPT")
        };
        assert!(before.lines().any(used), "{before}");
        assert_eq!(tools.apply(POD, &pod, &plan).unwrap(), Applied::Unchanged);
        assert_eq!(counters(), before);
    }
}

#[test]
fn going_from_one_plan_to_any_other_leaves_exactly_the_other() {
    let tools = any_tools();
    let variants = variants();
    for from in &variants {
        for to in &variants {
            let (moved, fresh) = (pod(), pod());
            tools.apply(POD, &moved, from).unwrap();
            tools.apply(POD, &moved, to).unwrap();
            assert_eq!(sentences(&tools.verify(POD, &moved, to).unwrap()), [""; 0]);
            tools.apply(POD, &fresh, to).unwrap();
            assert_eq!(rules(&moved), rules(&fresh));
        }
    }
}

/// Everything but empty tables, which nobody can tell from tables that are not there.
fn rules(pod: &culvert_sys::netns::Netns) -> Vec<String> {
    let mut lines = crate::harness::traces(pod);
    lines.sort();
    lines
}

#[test]
fn an_existing_rule_of_one_ip_version_does_not_hide_a_missing_one() {
    let (tools, pod) = (any_tools(), pod());
    inside(
        &pod,
        "ip rule add pref 32764 fwmark 0x111/0xfff lookup 100; ip route add local default dev lo table 100",
    );
    let plan = Plan::new(&Options::default());
    assert_eq!(tools.apply(POD, &pod, &plan).unwrap(), Applied::Repaired);
    assert_eq!(
        inside(&pod, "ip -6 rule show pref 32764").trim(),
        "32764:\tfrom all fwmark 0x111/0xfff lookup 100"
    );
    assert!(inside(&pod, "ip -6 route show table 100").starts_with("local default dev lo"));
    assert_eq!(inside(&pod, "ip rule show pref 32764").lines().count(), 1);
}

#[test]
fn what_the_programs_show_is_the_policy_routing_that_was_asked_for() {
    let (tools, pod) = (any_tools(), pod());
    tools.apply(POD, &pod, &Plan::new(&Options::default())).unwrap();
    assert_eq!(
        inside(&pod, "ip rule show pref 32764").trim(),
        "32764:\tfrom all fwmark 0x111/0xfff lookup 100"
    );
    assert_eq!(
        inside(&pod, "ip route show table 100").trim(),
        "local default dev lo proto static scope host"
    );
}
