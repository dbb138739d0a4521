//! What can be seen of a namespace, a wire and a process, and that it is seen.

use std::thread;
use std::time::{Duration, Instant};

use culvert_lab::{Behaviour, Container, Lab, PodSpec, Snapshot, Wire, new_uid};
use culvert_sys::netns::Netns;

const SOON: Duration = Duration::from_secs(10);

fn run(netns: &Netns, command: &str) {
    let run = || std::process::Command::new("sh").args(["-c", command]).output();
    // The child starts in the namespace its parent is in.
    let output = netns.run(run).and_then(|output| output).expect("sh runs");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_snapshot_sees_every_change_and_that_it_was_undone() {
    let lab = Lab::new("changes").unwrap();
    let node = lab.node("one").unwrap();
    let pod = lab.pod(&node, PodSpec::new("pod")).unwrap();
    let before = Snapshot::of_pod(&pod).unwrap();
    assert_eq!(Snapshot::of_pod(&pod).unwrap(), before);
    for (change, undo) in [
        ("iptables-nft -t nat -A OUTPUT -j ACCEPT", "iptables-nft -t nat -D OUTPUT -j ACCEPT"),
        ("iptables-legacy -t nat -A OUTPUT -j ACCEPT", "iptables-legacy -t nat -D OUTPUT -j ACCEPT"),
        ("ip6tables-nft -t raw -N MINE", "ip6tables-nft -t raw -X MINE"),
        ("ip6tables-legacy -t mangle -P INPUT DROP", "ip6tables-legacy -t mangle -P INPUT ACCEPT"),
        ("nft add table inet mine && nft add set inet mine s '{ type mark; }'", "nft delete table inet mine"),
        ("ip rule add fwmark 1 lookup 100 prio 9", "ip rule del prio 9"),
        ("ip -6 rule add fwmark 1 lookup 100 prio 9", "ip -6 rule del prio 9"),
        ("ip route add local 0.0.0.0/0 dev lo table 100", "ip route flush table 100"),
        ("ip -6 route add local ::/0 dev lo table 100", "ip -6 route flush table 100"),
        ("ipset create mine hash:ip", "ipset destroy mine"),
    ] {
        run(pod.netns(), change);
        let changed = Snapshot::of_pod(&pod).unwrap();
        assert_ne!(before.differences(&changed), Vec::<String>::new(), "{change}");
        run(pod.netns(), undo);
        let differences = before.differences(&Snapshot::of_pod(&pod).unwrap());
        assert_eq!(differences, Vec::<String>::new(), "{change}; {undo}");
    }
    let listener = pod.listen(7777).unwrap();
    let listens = before.differences(&Snapshot::of_pod(&pod).unwrap());
    assert_eq!(listens, ["+ tcp6 listens: 00000000000000000000000000000000 port 7777 x1"]);
    let second = pod.udp(([10, 64, 0, 1], 9), SOON).unwrap();
    drop((listener, second));
    assert_eq!(Snapshot::of_pod(&pod).unwrap(), before);
}

#[test]
fn rules_in_another_order_are_another_snapshot() {
    let netns = Netns::create().unwrap();
    let order = |first: &str, second: &str| {
        run(&netns, "iptables -F; iptables -t filter -F OUTPUT");
        for target in [first, second] {
            run(&netns, &format!("iptables -A OUTPUT -j {target}"));
        }
        Snapshot::of(&netns).unwrap()
    };
    assert_ne!(order("ACCEPT", "DROP"), order("DROP", "ACCEPT"));
}

#[test]
fn pods_of_one_chain_look_alike() {
    let lab = Lab::new("alike").unwrap();
    let node = lab.node("one").unwrap();
    let containers = lab.containers(&node).unwrap();
    let make = |name: &str| containers.sandbox(PodSpec::new(name), &new_uid().unwrap()).unwrap();
    let (one, other) = (make("one"), make("other"));
    let [one, other] = [&one, &other].map(|made| Snapshot::of_pod(made.pod()).unwrap());
    assert_eq!(one.differences(&other), Vec::<String>::new());
    assert!(one.to_string().contains("OWN"), "{one}");
}

#[test]
fn the_wire_of_a_host_sees_what_passes_its_bridge() {
    let lab = Lab::new("bridge").unwrap();
    let node = lab.node("one").unwrap();
    let containers = lab.containers(&node).unwrap();
    let make = |name: &str| containers.sandbox(PodSpec::new(name), &new_uid().unwrap()).unwrap();
    let wire = Wire::of_host(node.netns()).unwrap();
    let (client, server) = (make("client"), make("server"));
    lab.serve(server.pod(), 8080, Behaviour::Echo).unwrap();
    for ip in server.pod().ips() {
        client.pod().ask((ip, 8080), b"everybody can read this", SOON).unwrap();
    }
    let capture = wire.stop().unwrap();
    assert!(capture.contains(b"everybody can read this"));
    assert_eq!(capture.tcp_ports(), [8080]);
    capture.assert_lossless();
}

/// Prints how long it takes: `cargo test -p culvert-lab --test witnesses -- --ignored --nocapture`.
#[test]
#[ignore = "measures"]
fn how_long_a_snapshot_takes() {
    let lab = Lab::new("measure").unwrap();
    let node = lab.node("one").unwrap();
    let containers = lab.containers(&node).unwrap();
    let make = |number: usize| {
        containers.sandbox(PodSpec::new(&format!("m-{number}")), &new_uid().unwrap()).unwrap()
    };
    let all: Vec<_> = (0..20).map(make).collect();
    for threads in [1, 2, 4] {
        let began = Instant::now();
        thread::scope(|scope| {
            for thread in 0..threads {
                let mine: Vec<&Container> = all.iter().skip(thread).step_by(threads).collect();
                scope.spawn(move || mine.iter().for_each(|one| drop(Snapshot::of_pod(one.pod()).unwrap())));
            }
        });
        println!("{threads} threads: {:?} each", began.elapsed() / u32::try_from(all.len()).unwrap());
    }
}
