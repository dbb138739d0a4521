//! What the kernel says about a pod: its packet rules, its routing, its sockets; and about a program: what it has.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;

use culvert_lab::{Node, Pod, Program};
use culvert_sys::netns::Netns;

use super::command::output_in;

/// Both backends of both families; those that are not in use have nothing to show.
const SAVES: [&str; 4] =
    ["iptables-nft-save", "iptables-legacy-save", "ip6tables-nft-save", "ip6tables-legacy-save"];

/// A line that a rule can be recognised by, and how many packets it has seen.
pub(crate) type Rules = BTreeMap<String, u64>;

/// Runs a tool inside a pod; gives back what it wrote to stdout, and whether it succeeded.
#[track_caller]
fn run(pod: &Pod, words: &[&str]) -> (bool, String) {
    run_in(pod.netns(), words)
}

#[track_caller]
pub(crate) fn run_in(netns: &Netns, words: &[&str]) -> (bool, String) {
    let output = output_in(netns, words);
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Descriptors, and bytes of memory of its own, that a program has.
#[track_caller]
pub(crate) fn belongings(program: &Program) -> (usize, u64) {
    let status = fs::read_to_string(format!("/proc/{}/status", program.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    (open_files(program), kilobytes * 1024)
}

/// The packet rules of a pod in all tables of all families, with their counters.
#[track_caller]
pub(crate) fn rules(pod: &Pod) -> Rules {
    let mut rules = Rules::new();
    for save in SAVES {
        let (success, text) = run(pod, &[save, "-c"]);
        assert!(success, "{save} failed in {}", pod.name());
        let mut table = "";
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('*') {
                table = name;
            }
            if let Some((packets, rule)) = rule(line) {
                rules.insert(format!("{save} {table} {rule}"), packets);
            }
        }
    }
    rules
}

/// Reads a line such as `[12:720] -A OUTPUT -j ISTIO_OUTPUT`.
fn rule(line: &str) -> Option<(u64, &str)> {
    let (counters, rule) = line.strip_prefix('[')?.split_once("] ")?;
    Some((counters.split_once(':')?.0.parse().ok()?, rule))
}

/// Every trace of capture in a pod's packet rules and routing: empty when there is none.
#[track_caller]
pub(crate) fn traces_of_capture(pod: &Pod) -> Vec<String> {
    let mut traces = Vec::new();
    for save in SAVES {
        let (_, text) = run(pod, &[save]);
        let ours = |line: &&str| line.contains("ISTIO_") || line.starts_with("-A");
        traces.extend(text.lines().filter(ours).map(|line| format!("{save}: {line}")));
    }
    for family in ["-4", "-6"] {
        let (_, rules) = run(pod, &["ip", family, "rule"]);
        traces.extend(
            rules
                .lines()
                .filter(|line| line.contains("fwmark"))
                .map(|line| format!("ip {family} rule: {line}")),
        );
        // A table that does not exist is an error for `ip`, and empty.
        let (_, routes) = run(pod, &["ip", family, "route", "show", "table", "100"]);
        traces.extend(routes.lines().map(|line| format!("ip {family} route, table 100: {line}")));
    }
    traces
}

/// Empties a chain that capture depends on, as a careless neighbour might; of all backends and families.
#[track_caller]
pub(crate) fn flush_nat_output(pod: &Pod) {
    for tool in SAVES.map(|save| save.trim_end_matches("-save")) {
        let (success, _) = run(pod, &[tool, "-w", "5", "-t", "nat", "-F", "OUTPUT"]);
        assert!(success, "{tool} failed in {}", pod.name());
    }
}

/// Has a node send what is for an address to one of its pods, whose address it is not.
#[track_caller]
pub(crate) fn send_to(node: &Node, address: Ipv4Addr, pod: &Pod) {
    let (address, via) = (address.to_string(), pod.ip4().to_string());
    let (success, _) = run_in(node.netns(), &["ip", "route", "add", &address, "via", &via]);
    assert!(success, "ip failed in {}", node.name());
}

/// Sets a variable of a pod's kernel, as `name=value`.
#[track_caller]
pub(crate) fn set(pod: &Pod, variable: &str) {
    let (success, said) = run(pod, &["sysctl", "-w", variable]);
    assert!(success, "sysctl -w {variable} failed in {}: {said}", pod.name());
}

/// How many files a program has open.
#[track_caller]
pub(crate) fn open_files(program: &Program) -> usize {
    fs::read_dir(format!("/proc/{}/fd", program.pid())).unwrap().count()
}

/// Lets a program have this many files open and no more, until it is let have others.
#[track_caller]
pub(crate) fn limit_open_files(program: &Program, most: usize) {
    let (pid, limit) = (program.pid().to_string(), format!("--nofile={most}:"));
    let status = Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap();
    assert!(status.success(), "prlimit failed for {}", program.name());
}

/// From now on a pod hears nothing, and nobody is told.
#[track_caller]
pub(crate) fn drop_all_input(pod: &Pod) {
    let (success, _) = run(pod, &["iptables", "-w", "5", "-A", "INPUT", "-j", "DROP"]);
    assert!(success, "iptables failed in {}", pod.name());
}

/// A TCP connection of a pod: the ports at both ends, and its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Connection {
    pub(crate) own: u16,
    pub(crate) remote: u16,
    pub(crate) state: State,
}

/// The state of a TCP socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Established,
    TimeWait,
    Listens,
    /// On its way to or from one of the others.
    Other,
}

/// The TCP connections of a pod.
#[track_caller]
pub(crate) fn connections(pod: &Pod) -> Vec<Connection> {
    let read = |name: &str| fs::read_to_string(format!("/proc/thread-self/net/{name}"));
    let tables = pod.netns().run(|| ["tcp", "tcp6"].map(read)).unwrap();
    let all = tables.iter().flat_map(|table| table.as_ref().unwrap().lines()).filter_map(connection);
    all.filter(|connection| connection.state != State::Listens).collect()
}

/// Reads a line of `/proc/net/tcp`: number, local address, remote address, state (`proc_net_tcp.rst`).
fn connection(line: &str) -> Option<Connection> {
    let words: Vec<_> = line.split_whitespace().collect();
    let [_, local, remote, state, ..] = words[..] else { return None };
    let port = |address: &str| u16::from_str_radix(address.rsplit_once(':')?.1, 16).ok();
    let state = match state {
        "01" => State::Established,
        "06" => State::TimeWait,
        "0A" => State::Listens,
        _ => State::Other,
    };
    Some(Connection { own: port(local)?, remote: port(remote)?, state })
}

/// Where a network namespace listens for TCP.
#[track_caller]
pub(crate) fn listeners(netns: &Netns) -> BTreeSet<SocketAddr> {
    const LISTENS: &str = "0A";
    let read = |name: &str| fs::read_to_string(format!("/proc/thread-self/net/{name}"));
    let tables = netns.run(|| ["tcp", "tcp6"].map(read)).unwrap();
    let lines = tables.iter().flat_map(|table| table.as_ref().unwrap().lines());
    let words = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    words.filter(|words| words[3] == LISTENS).filter_map(|words| address(words[1])).collect()
}

/// Reads an address as `/proc/net/tcp` has it: words of four bytes, each in the order of the machine.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let words = ip.as_bytes().chunks(8).map(|word| u32::from_str_radix(str::from_utf8(word).ok()?, 16).ok());
    let bytes: Vec<u8> = words.collect::<Option<Vec<_>>>()?.into_iter().flat_map(u32::to_ne_bytes).collect();
    let ip = <[u8; 4]>::try_from(&bytes[..])
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(&bytes[..]).map(IpAddr::from));
    Some((ip.ok()?, u16::from_str_radix(port, 16).ok()?).into())
}

/// How many established connections a pod has that end at one of its own ports.
#[track_caller]
pub(crate) fn established_at(pod: &Pod, port: u16) -> usize {
    let here = |it: &&Connection| it.own == port && it.state == State::Established;
    connections(pod).iter().filter(here).count()
}
