//! Removal is complete, repeatable, and only of what is ours.

use ebpf_free_iptables::{Backend, Options, Plan};

use crate::harness::{BACKENDS, POD, any_tools, everything, inside, pod, tools, traces, word};

fn full() -> Plan {
    Plan::new(&Options { dns: true, virtual_interfaces: vec!["vnet0".to_owned()], ..Options::default() })
}

/// Rules and routing of others, in every table capture uses and one it does not.
fn foreign(backend: Backend) -> String {
    let mut script = String::new();
    for stem in ["iptables", "ip6tables"] {
        let tool = format!("{stem}-{}", word(backend));
        for table in ["mangle", "raw", "nat", "filter"] {
            script += &format!("{tool} -t {table} -N THEIRS; {tool} -t {table} -A OUTPUT -p tcp -j THEIRS;");
        }
        script += &format!(
            "{tool} -t nat -I PREROUTING -p tcp -m comment --comment \"a 'b' \\\"c\\\"\" -j ACCEPT;"
        );
    }
    script += "ip rule add pref 32764 fwmark 0x222/0xfff lookup 100; ip -6 rule add pref 10 lookup 101;";
    script += "ip route add 192.0.2.0/24 dev lo table 100; ip -6 route add 2001:db8::/32 dev lo table 100;";
    script
}

#[test]
fn a_pod_that_had_nothing_has_nothing() {
    for backend in BACKENDS {
        let (tools, pod) = (tools(backend), pod());
        tools.apply(POD, &pod, &full()).unwrap();
        assert_ne!(traces(&pod), [""; 0]);
        tools.remove(POD, &pod).unwrap();
        assert_eq!(traces(&pod), [""; 0]);
    }
}

#[test]
fn a_pod_with_rules_of_others_is_as_it_was() {
    for backend in BACKENDS {
        let (tools, pod) = (tools(backend), pod());
        inside(&pod, &foreign(backend));
        let before = everything(&pod);
        tools.apply(POD, &pod, &full()).unwrap();
        assert_ne!(everything(&pod), before);
        tools.remove(POD, &pod).unwrap();
        assert_eq!(everything(&pod), before);
    }
}

#[test]
fn nothing_to_remove_is_success() {
    let (tools, pod) = (any_tools(), pod());
    let before = everything(&pod);
    tools.remove(POD, &pod).unwrap();
    tools.remove(POD, &pod).unwrap();
    assert_eq!(everything(&pod), before);
}

#[test]
fn remains_of_any_kind_go() {
    let remains = [
        "iptables-nft -t raw -N ISTIO_OUTPUT",
        "iptables-legacy -t nat -N ISTIO_PRERT; iptables-legacy -t nat -A INPUT -p tcp -j ISTIO_PRERT",
        "iptables-nft -t nat -N ISTIO_PRERT; iptables-nft -t nat -N ISTIO_OUTPUT; \
         iptables-nft -t nat -A ISTIO_PRERT -j ISTIO_OUTPUT",
        "ip6tables-legacy -t mangle -N ISTIO_OUTPUT; ip6tables-nft -t mangle -N ISTIO_OUTPUT",
        "ip -6 rule add pref 32764 fwmark 0x111/0xfff lookup 100",
        "ip route add local default dev lo table 100; ip route add local default dev lo metric 7 table 100",
        "ip -6 route add local default dev lo table 100; ip -6 route add local default dev lo metric 7 table 100",
    ];
    for remain in remains {
        let (tools, pod) = (any_tools(), pod());
        inside(&pod, remain);
        assert_ne!(traces(&pod), [""; 0], "{remain}");
        tools.remove(POD, &pod).unwrap();
        assert_eq!(traces(&pod), [""; 0], "{remain}");
    }
}

#[test]
fn a_backend_that_cannot_be_read_does_not_keep_the_other_things() {
    let programs = crate::harness::Programs::linked(&["iptables-nft", "ip6tables-nft"]);
    let tools = ebpf_free_iptables::Iptables::search(&programs.search()).unwrap();
    let pod = pod();
    tools.apply(POD, &pod, &full()).unwrap();
    programs.replace("iptables-nft-save", "echo 'no such luck' >&2; exit 1");
    let error = tools.remove(POD, &pod).unwrap_err();
    let said = "pod shop/cart-0: cannot work on the IPv4 rules: iptables-nft-save failed (exit code 1): no such luck";
    assert_eq!(error.to_string(), said);
    let left = traces(&pod);
    assert!(
        left.iter().all(|line| !line.contains("::1") && !line.contains("0x111/0xfff lookup")),
        "{left:?}"
    );
}

/// Connection tracking goes with the last rule that needs it, and what is diverted would go astray.
#[test]
fn a_release_takes_out_what_diverts_and_leaves_what_keeps_track() {
    for backend in BACKENDS {
        let (tools, pod) = (tools(backend), pod());
        tools.apply(POD, &pod, &full()).unwrap();
        let before = traces(&pod);
        tools.release(POD, &pod).unwrap();
        let after = traces(&pod);
        assert!(after.iter().all(|line| !line.contains("REDIRECT")), "{after:?}");
        let tracking = |lines: &[String]| lines.iter().filter(|line| line.contains("CONNMARK")).count();
        assert_ne!(tracking(&after), 0);
        assert_eq!(tracking(&after), tracking(&before));
        tools.release(POD, &pod).unwrap();
        assert_eq!(traces(&pod), after);
        tools.remove(POD, &pod).unwrap();
        assert_eq!(traces(&pod), [""; 0]);
    }
}
