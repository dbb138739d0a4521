//! A node is at home where another agent captures pods and hands them over: one that writes rules of its own, counts on its own
//! habits, and has never heard of ours.

mod agent;
mod rules;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use culvert_lab::{Pod, PodSpec, Program, Section, socket, wait_until};

use agent::Agent;
use rules::{Backend, PROBES_V4, PROBES_V6};

use crate::harness::calls::{assert_all_served, call_meanwhile};
use crate::harness::cluster::{Cluster, ECHO, Family, WHO, lab, serve_all, start_next};
use crate::harness::command::run_in;
use crate::harness::nameserver::{self, dig};
use crate::harness::talk::{
    Ending, SOON, assert_alive, assert_echo, assert_reset, exchange, read_to_end, who,
};
use culvert_sys::netns::Netns;

const MARKER: &[u8] = b"the marker that must not be seen on any wire";

/// Takes nothing in plaintext.
const STRICT: &str = "
    - name: strict
      namespace: default
      scope: Namespace
      action: Deny
      rules: [[[{ notPrincipals: [!Presence []] }]]]
    ";

/// A cluster whose pods are captured by the other agent's rules, and whose nodes the other agent feeds.
struct Rig {
    cluster: Cluster,
    one: Agent,
    two: Agent,
    proxy: Program,
}

fn start(name: &str, backend: Backend) -> Rig {
    let cluster = Cluster::without_mesh(&format!("{name}-{backend:?}").to_lowercase()).unwrap();
    let lab = &cluster.lab;
    let (one, two) = (Agent::start(&cluster.one), Agent::start(&cluster.two));
    for (agent, pod) in [(&one, &cluster.client), (&one, &cluster.neighbour), (&two, &cluster.server)] {
        rules::capture(pod, backend);
        agent.know(pod);
        lab.enrol(pod).unwrap();
    }
    lab.start_control().unwrap();
    let proxy = lab.start_node(&cluster.one).unwrap();
    lab.start_node(&cluster.two).unwrap();
    one.wait_for_nodes(1);
    two.wait_for_nodes(1);
    Rig { cluster, one, two, proxy }
}

impl Rig {
    #[track_caller]
    fn assert_content(&self) {
        self.one.assert_content();
        self.two.assert_content();
    }
}

/// In a pod of each kind of iptables.
fn in_each(test: impl Fn(Backend)) {
    [Backend::Nft, Backend::Legacy].into_iter().for_each(test);
}

#[test]
fn connections_are_encrypted_and_the_clients_address_survives() {
    in_each(|backend| {
        let rig = start("foreign", backend);
        let Cluster { lab, one, two, client, server, .. } = &rig.cluster;
        let wire = lab.wire(one, two).unwrap();
        for family in [Family::V4, Family::V6] {
            for (to, _) in rig.cluster.ways(family, ECHO) {
                assert_echo(client, to, MARKER);
            }
            assert_echo(server, family.of(client.ips(), ECHO), MARKER);
        }
        let capture = wire.stop().unwrap();
        capture.assert_lossless();
        assert!(!capture.contains(MARKER), "{backend:?}");
        assert_eq!(capture.tcp_ports(), [15008], "{backend:?}");
        for family in [Family::V4, Family::V6] {
            for (to, pod) in rig.cluster.ways(family, WHO) {
                let (name, seen, own) = who(client.connect(to, SOON).unwrap());
                assert_eq!((name.as_str(), seen.ip()), (pod.name(), own.ip()), "{backend:?} {to}");
            }
        }
        rig.assert_content();
    });
}

#[test]
fn who_is_not_in_the_mesh_is_reached_and_reaches_in_plaintext() {
    in_each(|backend| {
        let rig = start("foreign-plain", backend);
        let Cluster { client, server, outsider, .. } = &rig.cluster;
        for family in [Family::V4, Family::V6] {
            assert_echo(client, family.of(outsider.ips(), ECHO), b"outwards");
            let (name, seen, own) = who(outsider.connect(family.of(server.ips(), WHO), SOON).unwrap());
            assert_eq!((name.as_str(), seen.ip()), ("server", own.ip()), "{backend:?}");
        }
        rig.assert_content();
    });
}

#[test]
fn queries_are_answered_by_the_mesh_or_forwarded() {
    in_each(|backend| {
        let rig = start("foreign-dns", backend);
        let Cluster { lab, one, client, web, .. } = &rig.cluster;
        let nameserver = lab.pod(one, PodSpec::new("nameserver")).unwrap();
        let known = "--host-record=known.example,192.0.2.1".to_owned();
        let dnsmasq = nameserver::start(lab, &nameserver, [known]).unwrap();
        for server in nameserver.ips() {
            for transport in ["+notcp", "+tcp"] {
                let ask = |name: &str| dig(client, server, &format!("{name} A {transport} +short")).unwrap();
                let found = ask("web.default.svc.cluster.local");
                assert_eq!(found.trim(), web.ip4().to_string(), "{backend:?} {server} {transport}");
                assert_eq!(ask("known.example").trim(), "192.0.2.1", "{backend:?} {server} {transport}");
            }
        }
        assert_eq!(nameserver::queries(&dnsmasq, "web.default.svc.cluster.local"), [] as [IpAddr; 0]);
        let asked = nameserver::queries(&dnsmasq, "known.example");
        assert!(!asked.is_empty() && asked.iter().all(|ip| client.ips().contains(ip)), "{asked:?}");
        rig.assert_content();
    });
}

#[test]
fn probes_of_the_node_pass_where_nothing_else_in_plaintext_does() {
    in_each(|backend| {
        let rig = start("foreign-probes", backend);
        let Cluster { lab, two, client, server, outsider, .. } = &rig.cluster;
        lab.set(Section::Policies, STRICT).unwrap();
        let probe = |ip: IpAddr| socket::connect(two.netns(), (ip, WHO), SOON);
        for ip in server.ips() {
            let ending =
                probe(ip).map_or_else(|error| Ending::of(&error), |mut stream| read_to_end(&mut stream));
            assert_eq!(ending, Ending::Reset, "{backend:?}, without the node's rules");
        }
        rules::translate_probes(two, backend, &[server]);
        for (ip, from) in server.ips().into_iter().zip([PROBES_V4, PROBES_V6]) {
            let (name, seen, _) = who(probe(ip).unwrap());
            assert_eq!((name.as_str(), seen.ip().to_string().as_str()), ("server", from), "{backend:?}");
            assert_reset(outsider, (ip, ECHO));
            assert_echo(client, (ip, ECHO), b"through a tunnel");
        }
        rig.assert_content();
    });
}

#[test]
fn a_pod_is_served_from_the_answer_on_until_it_is_taken_out() {
    let rig = start("foreign-pods", Backend::Nft);
    let Cluster { lab, two, client, .. } = &rig.cluster;
    let newcomer = lab.pod(two, PodSpec::new("newcomer")).unwrap();
    serve_all(lab, &newcomer).unwrap();
    rules::capture(&newcomer, Backend::Nft);
    assert_reset_or_refused(client, (newcomer.ip4(), ECHO).into());
    rig.two.add(&newcomer).unwrap();
    assert!([15001, 15006, 15008].iter().all(|port| newcomer.listens(*port).unwrap()));
    lab.enrol(&newcomer).unwrap();
    assert_echo(client, (newcomer.ip4(), ECHO), b"welcome");
    rig.two.add(&newcomer).unwrap();
    assert_echo(client, (newcomer.ip4(), ECHO), b"told twice");
    assert_eq!(rig.two.delete(&newcomer), [Ok(())]);
    wait_until(SOON, "nobody listens", || !newcomer.listens(15008).unwrap()).unwrap();
    assert_eq!(rig.two.delete(&newcomer), [Ok(())], "one that is unknown is no trouble");
    // Its sandbox is made anew.
    let again = lab.pod(two, PodSpec::new("again")).unwrap();
    rules::capture(&again, Backend::Nft);
    rig.two.add(&again).unwrap();
    assert_eq!(rig.two.delete(&again), [Ok(())]);
    rig.two.add(&again).unwrap();
    assert!(again.listens(15008).unwrap());
    rig.assert_content();
}

#[track_caller]
fn assert_reset_or_refused(from: &Pod, to: SocketAddr) {
    let ending = exchange(from, to, b"too early");
    assert!(matches!(ending, Ending::Reset | Ending::Refused), "{ending:?}");
}

#[test]
fn a_pod_that_cannot_be_served_is_refused_with_a_reason_and_the_others_are_served() {
    let rig = start("foreign-refused", Backend::Nft);
    let Cluster { lab, two, client, server, .. } = &rig.cluster;
    let taken = lab.pod(two, PodSpec::new("taken")).unwrap();
    let squatter = taken.listen(15008).unwrap();
    let reason = rig.two.add(&taken).unwrap_err();
    assert!(reason.contains("cannot listen on port 15008"), "{reason}");
    assert_echo(client, (server.ip4(), ECHO), b"undisturbed");
    drop(squatter);
    // The other agent has given up on the pod by now, and may try again.
    rig.two.add(&taken).unwrap();
    assert!(taken.listens(15008).unwrap());
    rig.assert_content();
}

#[test]
fn a_node_full_of_pods_is_served_and_none_waits_for_long() {
    const PODS: usize = 200;
    let lab = lab("foreign-full").unwrap();
    let node = lab.node("one").unwrap();
    let agent = Agent::start(&node);
    for number in 0..PODS {
        let netns = Netns::create().unwrap();
        run_in(&netns, &["ip", "link", "set", "lo", "up"]).unwrap();
        agent.know_bare(&format!("pod-{number}"), netns);
    }
    lab.start_control().unwrap();
    let begun = Instant::now();
    let proxy = lab.start_node(&node).unwrap();
    agent.wait_for_nodes(1);
    println!("{PODS} pods, one after the other: {:?}, slowest {:?}", begun.elapsed(), agent.slowest());
    assert!(agent.slowest() < Duration::from_secs(1), "{:?}", agent.slowest());
    // Lines are written a moment after what they tell of.
    let served = || proxy.log_text().matches("serving pod").count() == PODS;
    lab.wait_until(SOON, "the log tells of every pod", served).unwrap();
    agent.assert_content();
}

#[test]
fn a_quiet_connection_stays_quiet_and_open() {
    let rig = start("foreign-quiet", Backend::Nft);
    rig.one.wait_for_looks(2);
    rig.one.wait_for_nodes(1);
    rig.one.add(&rig.cluster.client).unwrap();
    rig.assert_content();
}

#[test]
fn connections_survive_an_agent_that_restarts_with_half_its_knowledge() {
    let rig = start("foreign-restart", Backend::Nft);
    let Cluster { client, neighbour, server, outsider, .. } = &rig.cluster;
    let mut out = client.connect((server.ip4(), ECHO), SOON).unwrap();
    let mut inwards = outsider.connect((client.ip6(), ECHO), SOON).unwrap();
    let mut leave = neighbour.connect((server.ip4(), ECHO), SOON).unwrap();
    for stream in [&mut out, &mut inwards, &mut leave] {
        assert_alive(stream, b"before");
    }
    rig.one.stop();
    for stream in [&mut out, &mut inwards, &mut leave] {
        assert_alive(stream, b"without an agent");
    }
    assert_echo(client, (server.ip4(), ECHO), b"a new one without an agent");
    // It finds no namespace for one pod, and the other one has gone meanwhile.
    rig.one.lose(client);
    rig.one.delete(neighbour);
    rig.one.resume();
    rig.one.wait_for_nodes(1);
    for stream in [&mut out, &mut inwards] {
        assert_alive(stream, b"with the next agent");
    }
    assert_eq!(read_to_end(&mut leave), Ending::Reset, "of a pod the agent does not name");
    assert_echo(client, (server.ip4(), ECHO), b"a new one with the next agent");
    assert_echo(server, (client.ip4(), ECHO), b"and back");
    assert!(rig.proxy.is_running());
    rig.assert_content();
}

#[test]
fn a_node_is_replaced_and_no_connection_fails() {
    let rig = start("foreign-upgrade", Backend::Nft);
    let Cluster { lab, one, client, server, .. } = &rig.cluster;
    let newcomer = lab.pod(one, PodSpec::new("newcomer")).unwrap();
    serve_all(lab, &newcomer).unwrap();
    rules::capture(&newcomer, Backend::Nft);
    let calls = call_meanwhile(client, server, || {
        let next = start_next(lab, one);
        rig.one.wait_for_nodes(2);
        let (old, new) = (rig.proxy.log_position(), next.log_position());
        rig.one.add(&newcomer).unwrap();
        next.wait_for_log_since(new, "serving pod", SOON).unwrap();
        assert!(!rig.proxy.log_since(old).contains("serving pod"), "new pods are for the newest node");
        assert_eq!(rig.one.delete(&newcomer), [Ok(()), Ok(())], "all are told of those that go");
        rig.one.add(&newcomer).unwrap();
        assert!(rig.proxy.stop().unwrap().success());
    });
    assert_all_served(&calls);
    assert_echo(server, (client.ip4(), ECHO), b"the other way");
    lab.enrol(&newcomer).unwrap();
    assert_echo(&newcomer, (server.ip4(), ECHO), b"with the new node");
    rig.assert_content();
}
