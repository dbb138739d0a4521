//! What the node itself says to probed pods is disguised, and nothing else is.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use culvert_sys::netns::Netns;
use ebpf_free_iptables::{Applied, Backend, Disguise, HostProbes, Iptables, ProbedPods, Search};

use crate::harness::{BACKENDS, SYSTEM, any_tools, chain, everything, inside, tools, traces, word};

mod dying;

const SOON: Duration = Duration::from_secs(5);
const PORT: u16 = 8080;
const POD: [&str; 2] = ["10.0.0.9", "fd00:1::9"];
const UID: &str = "7d0f0e4e-0b9c-4f6e-8f6c-3a5b9f3d2c1e";
const DISGUISE: [&str; 2] = ["169.254.7.127", "fd16:9254:7127:1337:ffff:ffff:ffff:ffff"];
const NODE: [&str; 2] = ["10.0.0.1", "fd00:1::1"];
const CLIENT: [&str; 2] = ["10.0.1.9", "fd00:2::9"];

/// A node with a pod, and a client that the node forwards for.
struct World {
    node: Netns,
    client: Netns,
    listener: TcpListener,
}

impl World {
    fn new() -> Self {
        let [node, pod, client] = [(); 3].map(|()| Netns::create().unwrap());
        for (netns, name, net) in [(&pod, "pod", "0"), (&client, "client", "1")] {
            let (v4, v6) = (format!("10.0.{net}"), format!("fd00:{}:", u8::from(net == "1") + 1));
            let path = netns.path();
            inside(
                &node,
                &format!(
                    "ip link set lo up; ip link add {name} type veth peer name eth0 netns {}
                     ip link set {name} up; ip addr add {v4}.1/24 dev {name}; ip addr add {v6}:1/64 dev {name} nodad",
                    path.display()
                ),
            );
            inside(
                netns,
                &format!(
                    "ip link set lo up; ip link set eth0 up; ip addr add {v4}.9/24 dev eth0
                     ip addr add {v6}:9/64 dev eth0 nodad
                     ip route add default via {v4}.1; ip -6 route add default via {v6}:1"
                ),
            );
        }
        inside(
            &node,
            "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding",
        );
        let listen = || TcpListener::bind(("::", PORT)).unwrap();
        let listener = pod.run(listen).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { node, client, listener }
    }

    /// Where a connection to an address of the pod seems to come from, in the pod.
    #[track_caller]
    fn seen(&self, from: &Netns, to: &str) -> String {
        let to = SocketAddr::new(to.parse().unwrap(), PORT);
        let _stream = from.run(|| TcpStream::connect_timeout(&to, SOON)).unwrap().unwrap();
        self.accepted()
    }

    #[track_caller]
    fn accepted(&self) -> String {
        let deadline = Instant::now() + SOON;
        loop {
            match self.listener.accept() {
                Ok((_, peer)) => return peer.ip().to_canonical().to_string(),
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            std::thread::yield_now();
        }
    }

    /// All that is programmed in the node's namespace.
    fn programmed(&self) -> String {
        everything(&self.node) + &inside(&self.node, "ipset save")
    }
}

fn probes(iptables: Iptables) -> HostProbes {
    probes_as(iptables, Disguise::default())
}

fn probes_as(iptables: Iptables, disguise: Disguise) -> HostProbes {
    let search = Search { directories: vec![SYSTEM.into()], only: None };
    HostProbes::new(iptables, &search, disguise).unwrap()
}

fn pods(all: &[(&str, &str)]) -> ProbedPods {
    all.iter().map(|(address, uid)| (address.parse::<IpAddr>().unwrap(), (*uid).to_owned())).collect()
}

fn the_pod() -> ProbedPods {
    pods(&POD.map(|address| (address, UID)))
}

#[test]
fn only_what_the_node_itself_says_to_a_probed_pod_is_disguised() {
    for backend in BACKENDS {
        let (world, probes) = (World::new(), probes(tools(backend)));
        for at in [0, 1] {
            assert_eq!(world.seen(&world.node, POD[at]), NODE[at]);
        }
        assert_eq!(probes.apply(&world.node, &the_pod()).unwrap(), Applied::Installed);
        for at in [0, 1] {
            assert_eq!(world.seen(&world.node, POD[at]), DISGUISE[at], "{}", word(backend));
            assert_eq!(world.seen(&world.client, POD[at]), CLIENT[at], "forwarded, {}", word(backend));
        }
        // Even when the node lends it its address.
        for (family, at) in [("iptables", 0), ("ip6tables", 1)] {
            let (program, client) = (format!("{family}-{}", word(backend)), CLIENT[at]);
            inside(&world.node, &format!("{program} -t nat -A POSTROUTING -s {client} -j MASQUERADE"));
            assert_eq!(world.seen(&world.client, POD[at]), NODE[at], "masqueraded, {program}");
            inside(&world.node, &format!("{program} -t nat -D POSTROUTING -s {client} -j MASQUERADE"));
        }
        // A pod that is not probed.
        assert_eq!(probes.apply(&world.node, &pods(&[])).unwrap(), Applied::Repaired);
        for at in [0, 1] {
            assert_eq!(world.seen(&world.node, POD[at]), NODE[at]);
        }
        probes.remove(&world.node).unwrap();
        assert_eq!(traces(&world.node), [""; 0]);
        assert_eq!(inside(&world.node, "ipset list -name"), "");
    }
}

#[test]
fn of_other_users_nothing_is_disguised_when_kubelets_is_known() {
    for backend in BACKENDS {
        let world = World::new();
        let probes = probes_as(tools(backend), Disguise { user: Some(0), ..Disguise::default() });
        probes.apply(&world.node, &the_pod()).unwrap();
        assert_eq!(probes.verify(&world.node, &the_pod()).unwrap(), [""; 0]);
        for at in [0, 1] {
            assert_eq!(world.seen(&world.node, POD[at]), DISGUISE[at]);
            let connect = format!("exec 3<>/dev/tcp/{}/{PORT}", POD[at]);
            inside(&world.node, &format!("setpriv --reuid 65534 --clear-groups bash -c '{connect}'"));
            assert_eq!(world.accepted(), NODE[at]);
        }
    }
}

#[test]
fn applying_again_changes_nothing() {
    for backend in BACKENDS {
        let (world, probes) = (World::new(), probes(tools(backend)));
        probes.apply(&world.node, &the_pod()).unwrap();
        world.seen(&world.node, POD[0]);
        assert_eq!(probes.verify(&world.node, &the_pod()).unwrap(), [""; 0]);
        let before = world.programmed();
        assert_eq!(probes.apply(&world.node, &the_pod()).unwrap(), Applied::Unchanged);
        assert_eq!(world.programmed(), before);
        let counted = format!("iptables-{}-save -c -t nat", word(backend));
        assert!(inside(&world.node, &counted).contains("[1:60] -A ISTIO_POSTRT"), "counters live on");
    }
}

#[test]
fn each_difference_is_said_and_repaired() {
    for backend in BACKENDS {
        let (world, probes) = (World::new(), probes(tools(backend)));
        probes.apply(&world.node, &the_pod()).unwrap();
        let right = world.programmed();
        let set = "istio-inpod-probes-v4";
        for (spoil, said) in [
            (
                format!("ipset flush {set}"),
                "IPv4: 10.0.0.9 of pod 7d0f0e4e-0b9c-4f6e-8f6c-3a5b9f3d2c1e is not in set",
            ),
            (format!("ipset -exist add {set} 10.0.0.9 comment gone"), "is said to be of pod \"gone\""),
            (format!("ipset add {set} 10.0.0.8 comment gone"), "is of pod gone, which is not probed there"),
            ("iptables -t nat -F POSTROUTING".to_owned(), "POSTROUTING does not begin with the only jump"),
            (
                "iptables -t nat -I POSTROUTING -p tcp -j ISTIO_POSTRT".to_owned(),
                "does not begin with the only jump",
            ),
            ("iptables -t nat -F ISTIO_POSTRT".to_owned(), "holds nothing where it should hold"),
            ("iptables -t nat -A ISTIO_POSTRT -j RETURN".to_owned(), "`-j RETURN` where it should hold"),
            ("ip6tables -t nat -F ISTIO_POSTRT".to_owned(), "IPv6: chain ISTIO_POSTRT holds nothing"),
        ] {
            inside(&world.node, &spoil.replace("tables ", &format!("tables-{} ", word(backend))));
            let differences = probes.verify(&world.node, &the_pod()).unwrap().join("; ");
            assert!(differences.contains(said), "{spoil}: {differences}");
            assert_eq!(probes.apply(&world.node, &the_pod()).unwrap(), Applied::Repaired, "{spoil}");
            assert_eq!(world.programmed(), right, "{spoil}");
        }
    }
}

#[test]
fn a_rule_somebody_put_before_ours_comes_after_it() {
    for backend in BACKENDS {
        let (world, probes) = (World::new(), probes(tools(backend)));
        probes.apply(&world.node, &the_pod()).unwrap();
        let program = format!("iptables-{}", word(backend));
        inside(&world.node, &format!("{program} -t nat -I POSTROUTING -j ACCEPT"));
        assert_eq!(world.seen(&world.node, POD[0]), NODE[0]);
        probes.apply(&world.node, &the_pod()).unwrap();
        assert_eq!(world.seen(&world.node, POD[0]), DISGUISE[0]);
        probes.remove(&world.node).unwrap();
        assert_eq!(traces(&world.node), ["-A POSTROUTING -j ACCEPT"], "what is not ours stays");
    }
}

#[test]
fn pods_come_and_go_and_what_somebody_put_there_by_hand_stays() {
    let (world, probes) = (World::new(), probes(any_tools()));
    probes.apply(&world.node, &the_pod()).unwrap();
    inside(&world.node, "ipset add istio-inpod-probes-v4 10.0.0.77 comment 'put here by hand'");
    let next = pods(&[("10.0.0.9", "another"), ("10.0.0.10", "new")]);
    probes.apply(&world.node, &next).unwrap();
    assert_eq!(probes.verify(&world.node, &next).unwrap(), [""; 0]);
    let saved = inside(&world.node, "ipset save | grep ^add | sort");
    let expected = "add istio-inpod-probes-v4 10.0.0.10 comment \"new\"\n\
                    add istio-inpod-probes-v4 10.0.0.77 comment \"put here by hand\"\n\
                    add istio-inpod-probes-v4 10.0.0.9 comment \"another\"\n";
    assert_eq!(saved, expected);
}

#[test]
fn a_set_of_another_kind_is_replaced_although_rules_use_it() {
    for backend in BACKENDS {
        let (world, probes) = (World::new(), probes(tools(backend)));
        inside(
            &world.node,
            "ipset create istio-inpod-probes-v4 hash:net; ipset add istio-inpod-probes-v4 0.0.0.0/1",
        );
        let rule = "-p tcp -m set --match-set istio-inpod-probes-v4 dst -j ISTIO_POSTRT";
        let program = format!("iptables-{} -t nat", word(backend));
        inside(&world.node, &format!("{program} -N ISTIO_POSTRT; {program} -A POSTROUTING {rule}"));
        let said = probes.verify(&world.node, &the_pod()).unwrap().join("; ");
        assert!(said.contains("set istio-inpod-probes-v4 is of another kind (hash:net "), "{said}");
        assert_eq!(probes.apply(&world.node, &the_pod()).unwrap(), Applied::Repaired);
        assert_eq!(probes.verify(&world.node, &the_pod()).unwrap(), [""; 0]);
        assert_eq!(world.seen(&world.node, POD[0]), DISGUISE[0]);
    }
}

#[test]
fn a_set_that_rules_of_others_use_is_told_of() {
    let (world, probes) = (World::new(), probes(tools(Backend::Nft)));
    inside(&world.node, "ipset create istio-inpod-probes-v4 hash:net");
    let rule = "-m set --match-set istio-inpod-probes-v4 dst -j ACCEPT";
    inside(&world.node, &format!("iptables-nft -A INPUT {rule}"));
    let error = chain(&probes.apply(&world.node, &the_pod()).unwrap_err());
    assert!(error.starts_with("set istio-inpod-probes-v4 cannot be removed: "), "{error}");
    let error = probes.remove(&world.node).unwrap_err().to_string();
    assert!(error.starts_with("set istio-inpod-probes-v4 cannot be removed: "), "{error}");
    inside(&world.node, &format!("iptables-nft -D INPUT {rule}"));
    probes.remove(&world.node).unwrap();
    assert_eq!(inside(&world.node, "ipset list -name"), "");
}

#[test]
fn rules_the_other_backend_has_are_taken_over() {
    for (before, after) in [(Backend::Legacy, Backend::Nft), (Backend::Nft, Backend::Legacy)] {
        let world = World::new();
        probes(tools(before)).apply(&world.node, &the_pod()).unwrap();
        let next = probes(tools(after));
        let said = next.verify(&world.node, &the_pod()).unwrap().join("; ");
        assert!(said.contains(&format!("iptables-{} holds rules of ours as well", word(before))), "{said}");
        assert_eq!(next.apply(&world.node, &the_pod()).unwrap(), Applied::Repaired);
        assert_eq!(next.verify(&world.node, &the_pod()).unwrap(), [""; 0]);
        let left = inside(&world.node, &format!("iptables-{}-save -t nat", word(before)));
        assert!(!left.contains("ISTIO_POSTRT"), "{left}");
        assert_eq!(world.seen(&world.node, POD[0]), DISGUISE[0]);
    }
}

#[test]
fn without_ipset_it_is_said_what_to_install() {
    let search = Search { directories: vec!["/nonexistent".into(), "/nowhere".into()], only: None };
    let error = HostProbes::new(any_tools(), &search, Disguise::default()).unwrap_err();
    let said = chain(&error);
    assert!(said.starts_with("ipset is not in /nonexistent:/nowhere: install the ipset package"), "{said}");
}

#[test]
fn a_uid_that_is_none_is_refused_before_anything_is_touched() {
    let (world, probes) = (World::new(), probes(any_tools()));
    let smuggled = pods(&[("10.0.0.9", "x\"\ndestroy")]);
    let said = chain(&probes.apply(&world.node, &smuggled).unwrap_err());
    assert!(said.contains("the UID of the pod at 10.0.0.9, is none"), "{said}");
    assert_eq!(inside(&world.node, "ipset list -name"), "");
}

#[test]
fn where_nothing_is_nothing_is_removed() {
    for backend in BACKENDS {
        let world = World::new();
        probes(tools(backend)).remove(&world.node).unwrap();
        assert_eq!(traces(&world.node), [""; 0]);
    }
}
