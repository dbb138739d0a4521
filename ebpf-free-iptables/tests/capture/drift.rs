//! What others do to a pod's rules is seen, named, and put right.

use ebpf_free_iptables::{Applied, Backend, Iptables, Options, Plan};

use crate::harness::{BACKENDS, POD, any_tools, everything, inside, pod, sentences, tools, version, word};

/// Applies, lets somebody run `meddle` (in which `IPT` and `IPT6` are the tools), and checks that exactly `expected` is reported,
/// and gone after the next apply.
#[track_caller]
fn check(options: &Options, meddle: &str, expected: &[&str]) {
    for backend in BACKENDS {
        let (tools, pod, plan) = (tools(backend), pod(), Plan::new(options));
        tools.apply(POD, &pod, &plan).unwrap();
        let tool = |stem: &str| format!("{stem}-{}", word(backend));
        let meddle = meddle.replace("IPT6", &tool("ip6tables")).replace("IPT", &tool("iptables"));
        inside(&pod, &meddle);
        assert_eq!(sentences(&tools.verify(POD, &pod, &plan).unwrap()), expected, "{meddle}");
        assert_eq!(tools.apply(POD, &pod, &plan).unwrap(), Applied::Repaired);
        assert_eq!(sentences(&tools.verify(POD, &pod, &plan).unwrap()), [""; 0]);
        assert_eq!(tools.apply(POD, &pod, &plan).unwrap(), Applied::Unchanged);
    }
}

#[test]
fn a_flush_of_a_built_in_chain() {
    check(
        &Options::default(),
        "IPT -t nat -F OUTPUT",
        &["IPv4: table nat: OUTPUT does not jump to ISTIO_OUTPUT"],
    );
}

#[test]
fn a_flush_of_our_chain() {
    check(
        &Options::default(),
        "IPT -t mangle -F ISTIO_PRERT",
        &["IPv4: table mangle: rule `-m mark --mark 0x539/0xfff -m conntrack --ctdir ORIGINAL -j CONNMARK \
             --set-xmark 0x111/0xfff` of chain ISTIO_PRERT is missing"],
    );
}

#[test]
fn a_rule_inserted_before_our_jump() {
    check(
        &Options::default(),
        "IPT -t nat -I OUTPUT 1 -p tcp --dport 80 -j ACCEPT",
        &[
            "IPv4: table nat: OUTPUT jumps to ISTIO_OUTPUT only after rule `-p tcp -m tcp --dport 80 -j ACCEPT`",
        ],
    );
}

/// In every table of either IP version: whatever comes before our jump decides instead of it.
#[test]
fn a_rule_inserted_before_any_of_our_jumps() {
    for (stem, family) in [("IPT", "IPv4"), ("IPT6", "IPv6")] {
        for table in ["mangle", "raw", "nat"] {
            for (hook, chain) in [("PREROUTING", "ISTIO_PRERT"), ("OUTPUT", "ISTIO_OUTPUT")] {
                check(
                    &Options { dns: true, ..Options::default() },
                    &format!("{stem} -t {table} -I {hook} 1 -p udp -j RETURN"),
                    &[&format!(
                        "{family}: table {table}: {hook} jumps to {chain} only after rule `-p udp -j RETURN`"
                    )],
                );
            }
        }
    }
}

#[test]
fn a_rule_deleted() {
    check(
        &Options::default(),
        "IPT -t nat -D ISTIO_OUTPUT 1",
        &["IPv4: table nat: rule `-d 169.254.7.127 -p tcp -j ACCEPT` of chain ISTIO_OUTPUT is missing"],
    );
}

#[test]
fn rules_reordered() {
    check(
        &Options::default(),
        "IPT -t nat -D ISTIO_OUTPUT 1; IPT -t nat -A ISTIO_OUTPUT -d 169.254.7.127 -p tcp -j ACCEPT",
        &["IPv4: table nat: the rules of chain ISTIO_OUTPUT are in the wrong order"],
    );
}

#[test]
fn a_rule_added_to_our_chain_and_a_second_jump() {
    check(
        &Options::default(),
        "IPT -t nat -I ISTIO_OUTPUT 1 -p tcp -m comment --comment 'let me \"out\"' -j RETURN; \
         IPT -t nat -A OUTPUT -j ISTIO_OUTPUT; IPT -t nat -A OUTPUT -p tcp -m comment --comment 'two words' -j ISTIO_OUTPUT",
        &[
            "IPv4: table nat: rule `-p tcp -m comment --comment \"let me \\\"out\\\"\" -j RETURN` of chain ISTIO_OUTPUT \
             should not be there",
            "IPv4: table nat: rule `-j ISTIO_OUTPUT` of chain OUTPUT should not be there",
            "IPv4: table nat: rule `-p tcp -m comment --comment \"two words\" -j ISTIO_OUTPUT` of chain OUTPUT should \
             not be there",
        ],
    );
}

#[test]
fn a_chain_removed() {
    check(
        &Options { dns: true, ..Options::default() },
        "IPT -t raw -D OUTPUT -j ISTIO_OUTPUT; IPT -t raw -F ISTIO_OUTPUT; IPT -t raw -X ISTIO_OUTPUT",
        &[
            "IPv4: table raw: chain ISTIO_OUTPUT is missing",
            "IPv4: table raw: OUTPUT does not jump to ISTIO_OUTPUT",
        ],
    );
}

#[test]
fn chains_of_dns_capture_in_a_pod_without_it() {
    check(
        &Options::default(),
        "IPT -t raw -N ISTIO_OUTPUT; IPT -t raw -A PREROUTING -j ISTIO_OUTPUT",
        &[
            "IPv4: table raw: chain ISTIO_OUTPUT should not be there",
            "IPv4: table raw: rule `-j ISTIO_OUTPUT` of chain PREROUTING should not be there",
        ],
    );
}

#[test]
fn policy_routing_removed() {
    check(
        &Options::default(),
        "ip rule del pref 32764; ip -6 route flush table 100",
        &[
            "IPv4: policy rule 32764 to routing table 100 is missing",
            "IPv6: local default route in routing table 100 is missing",
        ],
    );
}

#[test]
fn a_rule_that_only_resembles_ours_does_not_count() {
    check(
        &Options::default(),
        "ip rule del pref 32764; ip rule add pref 32764 fwmark 0x111/0xfff iif lo lookup 100",
        &["IPv4: policy rule 32764 to routing table 100 is missing"],
    );
}

#[test]
fn everything_of_one_ip_version_removed() {
    check(
        &Options::default(),
        "for t in nat mangle; do IPT -t $t -F; IPT -t $t -X; done",
        &["IPv4: there are no capture rules"],
    );
}

#[test]
fn rules_of_others_survive_a_repair_in_their_order() {
    for backend in BACKENDS {
        let (tools, pod, plan) = (tools(backend), pod(), Plan::new(&Options::default()));
        let tool = format!("iptables-{}", word(backend));
        inside(&pod, &format!("{tool} -t nat -N THEIRS; {tool} -t nat -A OUTPUT -j THEIRS"));
        tools.apply(POD, &pod, &plan).unwrap();
        inside(&pod, &format!("{tool} -t nat -I OUTPUT 1 -p udp -j THEIRS"));
        tools.apply(POD, &pod, &plan).unwrap();
        let output = inside(&pod, &format!("{tool} -t nat -S OUTPUT"));
        let rules: Vec<&str> = output.lines().skip(1).collect();
        assert_eq!(rules, ["-A OUTPUT -j ISTIO_OUTPUT", "-A OUTPUT -p udp -j THEIRS", "-A OUTPUT -j THEIRS"]);
    }
}

#[test]
fn rules_in_the_other_backend_are_seen_and_removed() {
    let (nft, legacy, pod) = (tools(Backend::Nft), tools(Backend::Legacy), pod());
    let plan = Plan::new(&Options::default());
    legacy.apply(POD, &pod, &plan).unwrap();
    let reported = sentences(&nft.verify(POD, &pod, &plan).unwrap());
    assert!(
        reported.contains(&"IPv4: capture rules are in iptables-legacy as well".to_owned()),
        "{reported:?}"
    );
    assert_eq!(nft.apply(POD, &pod, &plan).unwrap(), Applied::Repaired);
    assert_eq!(sentences(&nft.verify(POD, &pod, &plan).unwrap()), [""; 0]);
    assert!(!inside(&pod, "iptables-legacy-save; ip6tables-legacy-save").contains("ISTIO"));
}

#[test]
fn a_pods_own_legacy_rules_decide_where_ours_go() {
    let (tools, pod, plan) = (any_tools(), pod(), Plan::new(&Options::default()));
    assert_eq!(tools.describe(), format!("iptables-nft {}", version()));
    inside(&pod, "iptables-legacy -t nat -A OUTPUT -p tcp -j ACCEPT");
    tools.apply(POD, &pod, &plan).unwrap();
    let output = inside(&pod, "iptables-legacy -t nat -S OUTPUT");
    assert!(output.contains("-A OUTPUT -j ISTIO_OUTPUT\n-A OUTPUT -p tcp -j ACCEPT"), "{output}");
    assert!(!inside(&pod, "iptables-nft-save 2>/dev/null").contains("ISTIO"));
    assert!(inside(&pod, "ip6tables-nft-save").contains("ISTIO"), "there are no legacy rules for IPv6");
    stays(&tools, &pod, &plan);
}

#[test]
fn rules_stay_where_they_are_when_the_pod_gets_legacy_rules_later() {
    let (tools, pod, plan) = (any_tools(), pod(), Plan::new(&Options::default()));
    tools.apply(POD, &pod, &plan).unwrap();
    inside(&pod, "iptables-legacy -t nat -A OUTPUT -p tcp -j ACCEPT");
    stays(&tools, &pod, &plan);
}

#[track_caller]
fn stays(tools: &Iptables, pod: &culvert_sys::netns::Netns, plan: &Plan) {
    let before = everything(pod);
    assert_eq!(sentences(&tools.verify(POD, pod, plan).unwrap()), [""; 0]);
    assert_eq!(tools.apply(POD, pod, plan).unwrap(), Applied::Unchanged);
    assert_eq!(everything(pod), before);
}
