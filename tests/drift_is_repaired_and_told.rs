//! Whatever else programs a pod of the mesh: what it changes is put right within seconds, and told.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use culvert_lab::{Pod, Snapshot, wait_until};

use crate::harness::cluster::ECHO;
use crate::harness::command::run;
use crate::harness::kernel::flush_nat_output;
use crate::harness::kubernetes::Kubernetes;
use crate::harness::one_node::OneNode;
use crate::harness::talk::{Ending, exchange};

/// How long a pod may be without what was taken from it. A busy machine is given a little more than is promised.
const REPAIR: Duration = Duration::from_secs(5 + 2);
const REPAIRED: &str = "culvert_agent_drift_repaired_total";

/// What a neighbour does to a pod.
struct Harm {
    what: &'static str,
    command: &'static str,
}

/// One for each kind of what the agent puts into a pod.
const HARMS: [Harm; 6] = [
    Harm { what: "chain", command: "$iptables -t nat -F OUTPUT; $ip6tables -t nat -F OUTPUT" },
    Harm { what: "first-rule", command: "$iptables -t nat -I OUTPUT -p tcp --dport 7007 -j ACCEPT" },
    Harm { what: "first-rule-6", command: "$ip6tables -t mangle -I PREROUTING -p tcp -j ACCEPT" },
    Harm { what: "rule", command: "ip rule del fwmark 0x111/0xfff lookup 100" },
    Harm { what: "rule-6", command: "ip -6 rule del fwmark 0x111/0xfff lookup 100" },
    Harm { what: "route", command: "ip route flush table 100" },
];

fn look(pod: &Pod) -> Snapshot {
    Snapshot::of_pod(pod).unwrap()
}

/// Harms a pod of its own in each way, and sees that each is put right.
fn check(backend: &str) {
    let node = OneNode::start_with(&format!("drift-{backend}"), &["shop"], |kubernetes| {
        kubernetes.agent_without_plugin().env("FORCE_IPTABLES_BINARY", backend)
    });
    node.kubernetes.label_namespace("shop", Some("ambient"));
    let server = node.run("shop", "server").pod().clone();
    let pods: Vec<_> = HARMS.iter().map(|harm| node.run("shop", harm.what).pod().clone()).collect();
    node.wait_until_in(&pods.iter().chain([&server]).collect::<Vec<_>>());
    for (harm, pod) in HARMS.iter().zip(&pods) {
        let (before, repairs) = (look(pod), node.counted(REPAIRED));
        let tools = format!("iptables=iptables-{backend}; ip6tables=ip6tables-{backend}; {}", harm.command);
        run(pod, &["sh", "-ec", &tools]).unwrap_or_else(|said| panic!("{}: {said}\n{before}", harm.what));
        let begun = Instant::now();
        // What was put in front by others stays, behind ours.
        let is_right = || {
            before.differences(&look(pod)).iter().all(|line| line.starts_with('+')) && is_first(pod, backend)
        };
        if wait_until(REPAIR, "it is put right", is_right).is_err() {
            panic!("{}: {:#?}{}", harm.what, before.differences(&look(pod)), node.lab.evidence());
        }
        println!("{} ({backend}): {:?}", harm.what, begun.elapsed());
        assert!(!node.is_read(pod, (server.ip4(), ECHO)), "{}", harm.what);
        node.wait_for_event(pod, "CulvertDriftRepaired");
        assert!(node.counted(REPAIRED) > repairs, "{}", harm.what);
        assert!(node.listed(pod.uid()).unwrap()["repairs"].as_u64() >= Some(1), "{}", harm.what);
    }
}

/// Whether what is ours comes first wherever it is.
fn is_first(pod: &Pod, backend: &str) -> bool {
    [("iptables", "nat", "OUTPUT"), ("ip6tables", "mangle", "PREROUTING")].iter().all(
        |(tool, table, chain)| {
            let tool = format!("{tool}-{backend}");
            let said = run(pod, &[&tool, "-t", table, "-S", chain]).unwrap();
            said.lines().find(|line| line.starts_with("-A")).is_some_and(|first| first.contains("ISTIO_"))
        },
    )
}

#[test]
fn what_others_change_is_put_right_with_nft() {
    check("nft");
}

#[test]
fn what_others_change_is_put_right_with_legacy_iptables() {
    check("legacy");
}

/// A careless neighbour may use another tool than the agent does.
#[test]
fn all_tools_at_once_do_no_lasting_harm() {
    let node = OneNode::start("drift-all", &["shop"]);
    node.kubernetes.label_namespace("shop", Some("ambient"));
    let (client, server) = (node.run("shop", "client"), node.run("shop", "server"));
    node.wait_until_in(&[client.pod(), server.pod()]);
    let before = look(client.pod());
    flush_nat_output(client.pod());
    let is_right = || before.differences(&look(client.pod())).is_empty();
    wait_until(REPAIR, "it is put right", is_right).unwrap();
    assert!(!node.is_read(client.pod(), (server.pod().ip4(), ECHO)));
}

#[test]
fn ipv6_that_comes_late_is_captured_as_well() {
    let node = OneNode::start_with("late-ipv6", &["shop"], Kubernetes::agent_without_plugin);
    let (client, server) = (node.run("shop", "client"), node.run("shop", "server"));
    let (client, server) = (client.pod(), server.pod());
    let default = run(client, &["ip", "-6", "route", "show", "default"]).unwrap();
    let gateway = default.split_whitespace().skip_while(|word| *word != "via").nth(1).unwrap();
    let switch = |off: u8| {
        run(client, &["sysctl", "-qw", &format!("net.ipv6.conf.all.disable_ipv6={off}")]).unwrap();
    };
    switch(1);
    node.kubernetes.label_namespace("shop", Some("ambient"));
    node.wait_until_in(&[client, server]);
    let wanted = look(server);
    let lacking = || {
        let differences = wanted.differences(&look(client)).into_iter();
        differences.filter(|line| is_capture(line)).collect::<Vec<_>>()
    };
    assert_ne!(lacking(), [""; 0], "IPv6 is captured where there is none");
    switch(0);
    let address = format!("{}/116", client.ip6());
    run(client, &["ip", "addr", "add", &address, "dev", "eth0", "nodad"]).unwrap();
    run(client, &["ip", "-6", "route", "add", "default", "via", gateway]).unwrap();
    if wait_until(REPAIR, "IPv6 is captured", || lacking().is_empty()).is_err() {
        panic!("lacking: {:#?}{}", lacking(), node.lab.evidence());
    }
    let to = (IpAddr::from(server.ip6()), ECHO);
    node.wait("IPv6 is carried", || exchange(client, to, b"hello") == Ending::Complete(b"hello".into()));
    assert!(!node.is_read(client, to));
}

/// Whether a fact of a namespace is about capture.
fn is_capture(fact: &str) -> bool {
    fact.contains("tables-") || fact.contains(" rule: ") || fact.contains("table 100")
}
