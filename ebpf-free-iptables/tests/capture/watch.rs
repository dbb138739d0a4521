//! Changes in a namespace are heard of, and only those.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::time::Duration;

use ebpf_free_iptables::{Backend, Changed, Options, Plan, Watch};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::harness::{POD, everything, inside, pod, tools};

const DEADLINE: u16 = 10_000;

/// Wakes once for what is new, as the runtimes of asynchronous programs do.
struct Waiter {
    epoll: Epoll,
}

impl Waiter {
    fn new(watch: &Watch) -> Self {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        epoll.add(watch.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0)).unwrap();
        Self { epoll }
    }

    fn is_woken(&self, within: u16) -> bool {
        let mut events = [EpollEvent::empty()];
        self.epoll.wait(&mut events, EpollTimeout::from(within)).unwrap() == 1
    }
}

/// Reads all there is; whether it was anything.
fn drain(watch: &Watch) -> bool {
    let mut anything = false;
    while watch.drain().unwrap() == Changed::Something {
        anything = true;
    }
    anything
}

#[test]
fn every_kind_of_change_is_heard_of_each_time() {
    let changes = [
        "iptables-nft -t nat -I OUTPUT -p tcp -j ACCEPT",
        "iptables-nft -t nat -F OUTPUT",
        "ip6tables-nft -t mangle -A PREROUTING -j ACCEPT",
        "ip rule add pref 5 lookup 101",
        "ip rule del pref 5",
        "ip -6 rule del pref 32764",
        "ip route del local default table 100",
        "ip -6 route del local default table 100",
        "ip address add 192.0.2.1/32 dev lo",
        "ip address add 2001:db8::1/128 dev lo",
        "ip link add br0 type bridge",
        "echo 1 >/proc/sys/net/ipv6/conf/lo/disable_ipv6",
        "echo 0 >/proc/sys/net/ipv6/conf/lo/disable_ipv6",
        "ip link set lo down",
    ];
    let (tools, pod) = (tools(Backend::Nft), pod());
    tools.apply(POD, &pod, &Plan::new(&Options::default())).unwrap();
    let watch = Watch::open(&pod).unwrap();
    let waiter = Waiter::new(&watch);
    assert!(!waiter.is_woken(0));
    for change in changes {
        inside(&pod, change);
        assert!(waiter.is_woken(DEADLINE), "{change}");
        assert!(drain(&watch), "{change}");
        assert_eq!(watch.drain().unwrap(), Changed::Nothing, "{change}");
    }
}

#[test]
fn looking_and_packets_are_nothing_to_hear_of() {
    let (tools, pod) = (tools(Backend::Nft), pod());
    let plan = Plan::new(&Options::default());
    tools.apply(POD, &pod, &plan).unwrap();
    let watch = Watch::open(&pod).unwrap();
    tools.verify(POD, &pod, &plan).unwrap();
    tools.fingerprint(&pod).unwrap();
    tools.has_traces(&pod).unwrap();
    everything(&pod);
    let target = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 9));
    pod.run(|| TcpStream::connect_timeout(&target, Duration::from_secs(5))).unwrap().unwrap_err();
    assert_eq!(watch.drain().unwrap(), Changed::Nothing);
}

#[test]
fn what_happens_elsewhere_is_not_heard_of() {
    let (one, other) = (pod(), pod());
    let watch = Watch::open(&one).unwrap();
    inside(&other, "ip rule add pref 5 lookup 101; iptables-nft -t nat -A OUTPUT -j ACCEPT");
    assert_eq!(watch.drain().unwrap(), Changed::Nothing);
}

#[test]
fn more_than_fits_is_a_change_and_no_end_of_listening() {
    let pod = pod();
    let watch = Watch::open(&pod).unwrap();
    let waiter = Waiter::new(&watch);
    let many = |line: &str| format!("for i in $(seq 300); do echo {line}; done");
    for _ in 0..3 {
        inside(&pod, &format!("{} | ip -b -", many("rule add pref $i lookup 101")));
        let rules = many("-A OUTPUT -d 192.0.2.1 -p tcp --dport $i -j ACCEPT");
        inside(&pod, &format!("(echo '*nat'; {rules}; echo COMMIT) | iptables-nft-restore"));
        assert!(waiter.is_woken(DEADLINE));
        assert!(drain(&watch));
        inside(&pod, &format!("{} | ip -b -", many("rule del pref $i")));
        assert!(waiter.is_woken(DEADLINE));
        assert!(drain(&watch));
        assert!(!drain(&watch));
    }
}

#[test]
fn each_of_many_hears_of_its_own() {
    let pods: Vec<_> = (0..50).map(|_| pod()).collect();
    let watches: Vec<Watch> = pods.iter().map(|pod| Watch::open(pod).unwrap()).collect();
    inside(&pods[42], "ip rule add pref 5 lookup 101");
    let changed: Vec<usize> = (0..50).filter(|at| drain(&watches[*at])).collect();
    assert_eq!(changed, [42]);
}
