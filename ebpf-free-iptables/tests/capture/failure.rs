//! A step that fails is one clear error, and leaves nothing half applied.

use ebpf_free_iptables::{Applied, Error, Iptables, Options, Plan, Search};

use crate::harness::{POD, Programs, any_tools, chain, everything, inside, pod, sentences, traces};

const BOTH: [&str; 2] = ["iptables-nft", "ip6tables-nft"];
/// A replaced restore that spoils the rule for inbound traffic, which is in the last table.
const SPOIL: &str = "sed 's/--to-ports 15006/--to-ports 99999/' | $REAL \"$@\"";

fn plan() -> Plan {
    Plan::new(&Options::default())
}

#[test]
fn no_program_at_all() {
    let nowhere = Search { directories: vec!["/nonexistent".into(), "/nowhere".into()], only: None };
    let error = Iptables::search(&nowhere).unwrap_err();
    let missing =
        |name| format!("{name} is not in /nonexistent:/nowhere: install the iptables package or set PATH");
    let (nft, legacy, plain) = (missing("iptables-nft"), missing("iptables-legacy"), missing("iptables"));
    assert_eq!(chain(&error), format!("no iptables works for IPv4; {nft}; {legacy}; {plain}"));
}

#[test]
fn a_program_that_disappears() {
    let programs = Programs::linked(&BOTH);
    let tools = Iptables::search(&programs.search()).unwrap();
    programs.delete("ip6tables-nft-restore");
    let pod = pod();
    let error = tools.apply(POD, &pod, &plan()).unwrap_err();
    let said = "pod shop/cart-0: cannot work on the IPv6 rules: cannot run ip6tables-nft-restore: No such file or \
                directory (os error 2)";
    assert_eq!(chain(&error), said);
    assert_eq!(traces(&pod), [""; 0]);
}

#[test]
fn a_program_that_does_not_keep_what_it_is_given_is_not_used() {
    let programs = Programs::linked(&BOTH);
    programs.replace("iptables-nft-restore", "cat >/dev/null");
    let error = Iptables::search(&programs.search()).unwrap_err();
    let expected =
        "iptables-nft does not keep the rules it is given: IPv4: table mangle: chain ISTIO_PRERT is missing";
    assert!(chain(&error).contains(expected), "{}", chain(&error));
}

#[test]
fn failing_ip6tables_takes_ipv4_and_routing_back() {
    let programs = Programs::linked(&BOTH);
    let tools = Iptables::search(&programs.search()).unwrap();
    programs
        .replace("ip6tables-nft-restore", "cat >/dev/null; echo 'ip6tables: no kernel support' >&2; exit 2");
    let pod = pod();
    let error = tools.apply(POD, &pod, &plan()).unwrap_err();
    let said = "pod shop/cart-0: cannot work on the IPv6 rules: ip6tables-nft-restore failed (exit code 2): \
                ip6tables: no kernel support";
    assert_eq!(chain(&error), said);
    assert_eq!(traces(&pod), [""; 0]);
}

#[test]
fn a_refused_rule_is_named_and_earlier_tables_are_taken_back() {
    for backend in ["nft", "legacy"] {
        let stems = [format!("iptables-{backend}"), format!("ip6tables-{backend}")];
        let programs = Programs::linked(&stems.each_ref().map(String::as_str));
        let tools = Iptables::search(&programs.search()).unwrap();
        programs.replace(&format!("iptables-{backend}-restore"), SPOIL);
        let pod = pod();
        let error = tools.apply(POD, &pod, &plan()).unwrap_err();
        let text = error.to_string();
        let expected = format!(
            "pod shop/cart-0: IPv4: iptables-{backend}-restore refused rule `-A ISTIO_PRERT ! -d 127.0.0.1 -p tcp \
             ! --dport 15008 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15006` of table nat: "
        );
        assert!(text.starts_with(&expected), "{text}");
        assert!(text.contains("99999") || text.contains("Port"), "{text}");
        assert!(matches!(error, Error::Refused { .. }));
        assert_eq!(traces(&pod), [""; 0]);
    }
}

#[test]
fn rules_of_others_survive_a_rollback() {
    let programs = Programs::linked(&BOTH);
    let tools = Iptables::search(&programs.search()).unwrap();
    programs.replace("ip6tables-nft-restore", SPOIL);
    let pod = pod();
    inside(
        &pod,
        "for i in iptables ip6tables; do $i-nft -t nat -A OUTPUT -p udp -j ACCEPT; \
                  $i-nft -t mangle -N THEIRS; done; ip rule add pref 5 lookup 100",
    );
    let before = everything(&pod);
    tools.apply(POD, &pod, &plan()).unwrap_err();
    assert_eq!(everything(&pod), before);
}

#[test]
fn a_failed_repair_does_not_let_a_running_pod_out() {
    let programs = Programs::linked(&BOTH);
    let tools = Iptables::search(&programs.search()).unwrap();
    let pod = pod();
    tools.apply(POD, &pod, &plan()).unwrap();
    inside(&pod, "iptables-nft -t nat -F OUTPUT; ip6tables-nft -t nat -F OUTPUT");
    programs.replace("ip6tables-nft-restore", "cat >/dev/null; exit 4");
    tools.apply(POD, &pod, &plan()).unwrap_err();
    let left = sentences(&tools.verify(POD, &pod, &plan()).unwrap());
    assert_eq!(left, ["IPv6: table nat: OUTPUT does not jump to ISTIO_OUTPUT"]);
}

#[test]
fn a_rollback_that_fails_says_so() {
    let programs = Programs::linked(&BOTH);
    let tools = Iptables::search(&programs.search()).unwrap();
    // The first table goes in, the rest is refused, and then the program refuses everything.
    let once = "if grep -q '^-X'; then echo 'out of order' >&2; exit 1; fi";
    programs.replace(
        "iptables-nft-restore",
        &format!("t=$(cat); echo \"$t\" | {{ {once}; }} || exit 1; echo \"$t\" | {SPOIL}"),
    );
    let pod = pod();
    let error = tools.apply(POD, &pod, &plan()).unwrap_err();
    assert!(matches!(error, Error::HalfApplied { .. }));
    let text = chain(&error);
    assert!(text.starts_with("pod shop/cart-0: rules are half applied, because undoing"), "{text}");
    assert!(text.contains("out of order") && text.contains("15006"), "{text}");
    any_tools().remove(POD, &pod).unwrap();
    assert_eq!(traces(&pod), [""; 0]);
}

#[test]
fn lo_is_down() {
    let pod = culvert_sys::netns::Netns::create().unwrap();
    let tools = any_tools();
    let error = tools.apply(POD, &pod, &plan()).unwrap_err();
    assert!(chain(&error).starts_with("pod shop/cart-0: interface lo is down"), "{}", chain(&error));
    assert_eq!(traces(&pod), [""; 0]);
    inside(&pod, "ip link set lo up");
    assert_eq!(tools.apply(POD, &pod, &plan()).unwrap(), Applied::Installed);
}

#[test]
fn names_that_are_not_interfaces() {
    let virtual_interfaces = vec!["vnet0".to_owned(), "x -j ACCEPT".to_owned()];
    let plan = Plan::new(&Options { virtual_interfaces, ..Options::default() });
    let (tools, pod) = (any_tools(), pod());
    let said = "pod shop/cart-0: \"x -j ACCEPT\" is not an interface name: correct the pod's list of virtual interfaces";
    assert_eq!(tools.apply(POD, &pod, &plan).unwrap_err().to_string(), said);
    assert_eq!(tools.verify(POD, &pod, &plan).unwrap_err().to_string(), said);
    assert_eq!(traces(&pod), [""; 0]);
}

#[test]
fn more_interfaces_than_a_pod_may_have() {
    let virtual_interfaces = (0..65).map(|n| format!("vnet{n}")).collect();
    let plan = Plan::new(&Options { virtual_interfaces, ..Options::default() });
    let error = any_tools().apply(POD, &pod(), &plan).unwrap_err();
    assert!(matches!(error, Error::Interfaces { count: 65, .. }), "{error}");
}
