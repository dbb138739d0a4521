//! The packet rules another agent puts into pods, and for probes into their node, as text that is not made by anything of ours.

use culvert_lab::{Node, Pod};
use culvert_sys::netns::Netns;

use crate::harness::command::run_in;

/// Which kind of iptables the other agent has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backend {
    Nft,
    Legacy,
}

/// Where probes seem to come from.
pub(super) const PROBES_V4: &str = "169.254.7.127";
pub(super) const PROBES_V6: &str = "fd16:9254:7127:1337:ffff:ffff:ffff:ffff";

const FAMILIES: [Family; 2] = [
    Family { tables: "iptables", loopback: "127.0.0.1/32", probes: PROBES_V4, prefix: 32, set: "v4" },
    Family { tables: "ip6tables", loopback: "::1/128", probes: PROBES_V6, prefix: 128, set: "v6" },
];

struct Family {
    tables: &'static str,
    loopback: &'static str,
    probes: &'static str,
    prefix: u8,
    set: &'static str,
}

const IN_POD: &str = "\
*mangle
:ISTIO_PRERT - [0:0]
:ISTIO_OUTPUT - [0:0]
-A PREROUTING -j ISTIO_PRERT
-A OUTPUT -j ISTIO_OUTPUT
-A ISTIO_PRERT -m mark --mark 0x539/0xfff -j CONNMARK --set-xmark 0x111/0xfff
-A ISTIO_OUTPUT -m connmark --mark 0x111/0xfff -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff
COMMIT
*nat
:ISTIO_PRERT - [0:0]
:ISTIO_OUTPUT - [0:0]
-A OUTPUT -j ISTIO_OUTPUT
-A PREROUTING -j ISTIO_PRERT
-A ISTIO_PRERT -s PROBES -p tcp -m tcp -j ACCEPT
-A ISTIO_PRERT ! -d LOOPBACK -p tcp -m tcp ! --dport 15008 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15006
-A ISTIO_OUTPUT -d PROBES -p tcp -m tcp -j ACCEPT
-A ISTIO_OUTPUT ! -o lo -p udp -m mark ! --mark 0x539/0xfff -m udp --dport 53 -j REDIRECT --to-ports 15053
-A ISTIO_OUTPUT ! -d LOOPBACK -p tcp -m tcp --dport 53 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15053
-A ISTIO_OUTPUT -p tcp -m mark --mark 0x111/0xfff -j ACCEPT
-A ISTIO_OUTPUT ! -d LOOPBACK -o lo -j ACCEPT
-A ISTIO_OUTPUT ! -d LOOPBACK -p tcp -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15001
COMMIT
*raw
:ISTIO_PRERT - [0:0]
:ISTIO_OUTPUT - [0:0]
-A PREROUTING -j ISTIO_PRERT
-A OUTPUT -j ISTIO_OUTPUT
-A ISTIO_OUTPUT -p udp -m mark --mark 0x539/0xfff -m udp --dport 53 -j CT --zone 1
-A ISTIO_PRERT -p udp -m mark ! --mark 0x539/0xfff -m udp --sport 53 -j CT --zone 1
COMMIT
";

const ROUTING: &str = "\
ip rule add pref 32764 fwmark 0x111/0xfff lookup 100
ip route add local 0.0.0.0/0 dev lo scope host table 100
ip -6 rule add pref 32764 fwmark 0x111/0xfff lookup 100
ip -6 route add local ::/0 dev lo table 100
";

const ON_HOST: &str = "\
*nat
:ISTIO_POSTRT - [0:0]
-I POSTROUTING 1 -j ISTIO_POSTRT
-A ISTIO_POSTRT -p tcp -m owner --socket-exists -m set --match-set istio-inpod-probes-SET dst -j SNAT --to-source PROBES
COMMIT
";

/// Captures a pod.
#[track_caller]
pub(super) fn capture(pod: &Pod, backend: Backend) {
    for line in ROUTING.lines() {
        shell(pod.netns(), line);
    }
    for family in &FAMILIES {
        let probes = format!("{}/{}", family.probes, family.prefix);
        let text = IN_POD.replace("PROBES", &probes).replace("LOOPBACK", family.loopback);
        restore(pod.netns(), backend, family, &text);
    }
}

/// Has the probes of a node's processes to these pods come from addresses at which the pods' rules let them pass.
#[track_caller]
pub(super) fn translate_probes(node: &Node, backend: Backend, pods: &[&Pod]) {
    shell(node.netns(), "ipset create istio-inpod-probes-v4 hash:ip comment");
    shell(node.netns(), "ipset create istio-inpod-probes-v6 hash:ip family inet6 comment");
    for pod in pods {
        let (uid, v4, v6) = (pod.uid(), pod.ip4(), pod.ip6());
        shell(node.netns(), &format!("ipset add istio-inpod-probes-v4 {v4} comment {uid}"));
        shell(node.netns(), &format!("ipset add istio-inpod-probes-v6 {v6} comment {uid}"));
    }
    for family in &FAMILIES {
        let text = ON_HOST.replace("PROBES", family.probes).replace("SET", family.set);
        restore(node.netns(), backend, family, &text);
    }
}

#[track_caller]
fn restore(netns: &Netns, backend: Backend, family: &Family, text: &str) {
    let kind = match backend {
        Backend::Nft => "nft",
        Backend::Legacy => "legacy",
    };
    shell(netns, &format!("{}-{kind}-restore --noflush --verbose <<'END'\n{text}END", family.tables));
}

#[track_caller]
fn shell(netns: &Netns, script: &str) {
    if let Err(said) = run_in(netns, &["sh", "-c", script]) {
        panic!("{script}: {said}");
    }
}
