//! A workload may be known by a name alone. Its addresses are looked up for whoever calls it: of the server the pod itself asks,
//! from inside the pod.

use std::net::SocketAddr;

use culvert_lab::{Pod, PodSpec, Program, Section};

use crate::harness::cluster::{Cluster, ECHO, WHO};
use crate::harness::kernel::drop_all_input;
use crate::harness::metrics::counter;
use crate::harness::nameserver;
use crate::harness::talk::{Ending, SOON, assert_echo, assert_reset, exchange};

/// A nameserver, and a client that has asked it something.
struct Rig {
    cluster: Cluster,
    nameserver: Program,
}

/// A workload that has only a name, and a service in front of it; `keys` are more of the workload's.
fn named(name: &str, keys: &str) -> String {
    format!(
        "- {{uid: {name}, name: {name}, namespace: default, workloadIps: [], hostname: {name}.example, {keys}}}\n"
    )
}

/// Services of `echo` and `who` at these addresses, by the name of the workload behind them.
fn services(names: &[&str]) -> String {
    let service = |(nth, name): (usize, &&str)| {
        format!(
            "- {{name: {name}, namespace: default, hostname: {name}.test, vips: [/240.240.1.{nth}, '/fd24::{nth}'], \
             ports: {{7: {ECHO}, 10: {WHO}}}, endpoints: {{{name}: {{}}}}}}\n"
        )
    };
    names.iter().enumerate().map(service).collect()
}

/// Where the service of the nth workload is.
fn at(nth: u8, port: u16) -> [SocketAddr; 2] {
    [([240, 240, 1, nth], port).into(), ([0xfd24, 0, 0, 0, 0, 0, 0, u16::from(nth)], port).into()]
}

impl Rig {
    /// A cluster with these workloads, and a nameserver that knows `records`.
    fn start(name: &str, workloads: &str, names: &[&str], records: impl Fn(&Cluster) -> Vec<String>) -> Self {
        let cluster = Cluster::without_mesh(name).unwrap();
        let lab = &cluster.lab;
        let pod = lab.pod(&cluster.one, PodSpec::new("nameserver")).unwrap();
        let known = "--host-record=known.example,192.0.2.1".to_owned();
        let nameserver = nameserver::start(lab, &pod, records(&cluster).into_iter().chain([known])).unwrap();
        lab.set(Section::Workloads, workloads).unwrap();
        lab.set(Section::Services, &services(names)).unwrap();
        lab.enrol_all(&[&cluster.client, &cluster.server]).unwrap();
        lab.start_control().unwrap();
        for node in [&cluster.one, &cluster.two] {
            lab.start_agent(node).unwrap();
            lab.start_node(node).unwrap();
        }
        let rig = Self { cluster, nameserver };
        // From now on the proxy knows which server the client asks.
        let said = nameserver::dig(&rig.cluster.client, pod.ip4().into(), "known.example +short").unwrap();
        assert_eq!(said.trim(), "192.0.2.1");
        rig
    }

    #[track_caller]
    fn logged(&self, parts: &[&str]) {
        let proxy = self.cluster.lab.proxy(&self.cluster.one).unwrap();
        let is_it = |line: &str| parts.iter().all(|part| line.contains(part));
        let what = format!("the proxy logs a line with {parts:?}");
        culvert_lab::wait_for(SOON, &what, || proxy.log_text().lines().any(is_it).then_some(())).unwrap();
    }
}

/// A record for both addresses of a pod.
fn record(name: &str, pod: &Pod) -> String {
    format!("--host-record={name}.example,{},{}", pod.ip4(), pod.ip6())
}

#[test]
fn it_is_reached_at_the_address_its_name_has_of_the_family_that_was_called() {
    let workloads = named("plain", "") + &named("meshed", "serviceAccount: server, protocol: HBONE");
    let rig = Rig::start("named", &workloads, &["plain", "meshed"], |cluster| {
        vec![record("plain", &cluster.outsider), record("meshed", &cluster.server)]
    });
    let client = &rig.cluster.client;
    for (nth, pod) in [(0, &rig.cluster.outsider), (1, &rig.cluster.server)] {
        for (to, ip) in at(nth, 10).into_iter().zip(client.ips()) {
            let ending = exchange(client, to, b"");
            let Ending::Complete(line) = ending else { panic!("{to}: {ending:?}") };
            let line = String::from_utf8(line).unwrap();
            assert!(line.starts_with(pod.name()) && line.contains(&ip.to_string()), "{to}: {line}");
        }
    }
    let asked = nameserver::queries(&rig.nameserver, "plain.example");
    assert!(!asked.is_empty() && asked.iter().all(|ip| client.ips().contains(ip)), "the pod asks: {asked:?}");
    assert_eq!(asked.len(), 2, "both families, once");
    rig.logged(&["dst.hbone_addr", "sa/server", "meshed.test"]);
    let node = &rig.cluster.one;
    assert_eq!(counter(node, "istio_on_demand_dns_total", &["hostname=\"plain.example\""]), 2, "each use");
}

#[test]
fn an_address_that_does_not_answer_gives_way_to_the_next() {
    let rig = Rig::start("named-two", &named("two", ""), &["two"], |cluster| {
        vec![record("two", &cluster.outsider), record("two", &cluster.neighbour)]
    });
    drop_all_input(&rig.cluster.neighbour);
    for nth in 0..20 {
        assert_echo(&rig.cluster.client, at(0, 7)[0], format!("call {nth}").as_bytes());
    }
}

#[test]
fn a_name_nobody_knows_is_refused_with_that_reason() {
    let rig = Rig::start("named-none", &named("nobody", ""), &["nobody"], |_| Vec::new());
    assert_reset(&rig.cluster.client, at(0, 7)[0]);
    rig.logged(&["host_unknown", "there is no host `nobody.example`"]);
}

#[test]
fn other_endpoints_take_over_from_a_name_nobody_knows() {
    let workloads = |cluster: &Cluster| {
        let ip = cluster.outsider.ip4();
        named("half", "")
            + &format!(
                "- {{uid: other, name: other, namespace: default, workloadIps: [{ip}], services: {{default/half.test: {{}}}}}}\n"
            )
    };
    let rig = Rig::start("named-half", &named("half", ""), &["half"], |_| Vec::new());
    rig.cluster.lab.set(Section::Workloads, &workloads(&rig.cluster)).unwrap();
    rig.cluster.lab.apply().unwrap();
    let takes =
        || exchange(&rig.cluster.client, at(0, 7)[0], b"anyone?") == Ending::Complete(b"anyone?".to_vec());
    rig.cluster.lab.wait_until(SOON, "the other endpoint is known", takes).unwrap();
    for nth in 0..20 {
        assert_echo(&rig.cluster.client, at(0, 7)[0], format!("call {nth}").as_bytes());
    }
}

#[test]
fn what_is_known_of_a_name_outlives_its_nameserver() {
    let rig = Rig::start("named-outlives", &named("kept", ""), &["kept"], |cluster| {
        vec![record("kept", &cluster.outsider)]
    });
    assert_echo(&rig.cluster.client, at(0, 7)[0], b"before");
    rig.nameserver.kill_hard().unwrap();
    for nth in 0..5 {
        assert_echo(&rig.cluster.client, at(0, 7)[0], format!("call {nth}").as_bytes());
    }
}
