//! Namespaces and machines without all of IPv6.

use ebpf_free_iptables::{Applied, Backend, Iptables, Options, Plan, Search};

use crate::harness::{POD, Programs, SYSTEM, any_tools, chain, inside, pod, sentences, traces, version};

fn plan() -> Plan {
    Plan::new(&Options::default())
}

#[test]
fn ipv6_switched_off_on_lo_leaves_only_the_route_out() {
    let (tools, pod) = (any_tools(), pod());
    inside(&pod, "echo 1 >/proc/sys/net/ipv6/conf/lo/disable_ipv6");
    assert_eq!(tools.apply(POD, &pod, &plan()).unwrap(), Applied::Installed);
    assert_eq!(sentences(&tools.verify(POD, &pod, &plan()).unwrap()), [""; 0]);
    assert_eq!(inside(&pod, "ip -6 route show table 100"), "");
    // Another interface may have IPv6 all the same, so its traffic is captured.
    assert!(inside(&pod, "ip6tables-nft-save").contains("-A OUTPUT -j ISTIO_OUTPUT"));
}

#[test]
fn ipv6_switched_on_later_is_completed() {
    let (tools, pod) = (any_tools(), pod());
    inside(&pod, "echo 1 >/proc/sys/net/ipv6/conf/lo/disable_ipv6");
    tools.apply(POD, &pod, &plan()).unwrap();
    inside(&pod, "echo 0 >/proc/sys/net/ipv6/conf/lo/disable_ipv6");
    let missing = ["IPv6: local default route in routing table 100 is missing"];
    assert_eq!(sentences(&tools.verify(POD, &pod, &plan()).unwrap()), missing);
    assert_eq!(tools.apply(POD, &pod, &plan()).unwrap(), Applied::Repaired);
    assert_eq!(sentences(&tools.verify(POD, &pod, &plan()).unwrap()), [""; 0]);
}

#[test]
fn a_plan_without_ipv6_takes_it_away() {
    let (tools, pod) = (any_tools(), pod());
    let without = Plan::new(&Options { ipv6: false, ..Options::default() });
    tools.apply(POD, &pod, &plan()).unwrap();
    assert_eq!(tools.apply(POD, &pod, &without).unwrap(), Applied::Repaired);
    assert_eq!(sentences(&tools.verify(POD, &pod, &without).unwrap()), [""; 0]);
    let left = traces(&pod);
    assert!(left.iter().all(|line| !line.contains("::1") && !line.contains("metric")), "{left:?}");
    assert_eq!(inside(&pod, "ip -6 rule show pref 32764"), "");
}

#[test]
fn without_ip6tables_a_pod_with_ipv6_is_refused_and_one_without_is_not() {
    let programs = Programs::linked(&["iptables-nft"]);
    let tools = Iptables::search(&programs.search()).unwrap();
    assert_eq!(tools.describe(), format!("iptables-nft {}, no ip6tables", version()));
    let pod = pod();
    let error = tools.apply(POD, &pod, &plan()).unwrap_err();
    let expected = "pod shop/cart-0: IPv6 addresses are in use but cannot be captured: no iptables works for IPv6; \
                    ip6tables-nft is not in ";
    assert!(chain(&error).starts_with(expected), "{}", chain(&error));
    assert_eq!(traces(&pod), [""; 0]);
    inside(&pod, "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6");
    assert_eq!(tools.apply(POD, &pod, &plan()).unwrap(), Applied::Installed);
    assert_eq!(tools.apply(POD, &pod, &plan()).unwrap(), Applied::Unchanged);
}

#[test]
fn the_plain_name_is_used_where_there_is_no_other() {
    let programs = Programs::linked(&["iptables", "ip6tables"]);
    let tools = Iptables::search(&programs.search()).unwrap();
    assert_eq!(tools.describe(), format!("iptables {}", version()));
    assert_eq!(tools.apply(POD, &pod(), &plan()).unwrap(), Applied::Installed);
}

#[test]
fn the_operator_decides() {
    let search = |only| Search { directories: vec![SYSTEM.into()], only };
    let describe = |only| Iptables::search(&search(only)).unwrap().describe();
    assert_eq!(describe(Some(Backend::Legacy)), format!("iptables-legacy {}", version()));
    assert_eq!(describe(Some(Backend::Nft)), format!("iptables-nft {}", version()));
}
