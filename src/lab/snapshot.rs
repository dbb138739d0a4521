//! Everything of a network namespace that capture could change, as text: packet rules of all kinds, policy rules, routes, sets, and
//! the sockets that listen.
//!
//! In goes a namespace, out comes a value; two that are equal say the same in each respect. What counts packets or time is left out,
//! and so is what has no effect: empty tables, whose chains let everything pass.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::net::IpAddr;

use culvert_sys::netns::Netns;

use crate::Error;
use crate::error::Doing as _;
use crate::node::Node;
use crate::pod::Pod;
use crate::tool;

mod tables;

/// Asks every tool there is; the name of each precedes what it says. Tools that are not installed have nothing to show.
const ASK: &str = r#"
for save in iptables-nft-save iptables-legacy-save ip6tables-nft-save ip6tables-legacy-save; do
    echo "=== $save"; ! command -v $save >/dev/null || $save || exit
done
echo "=== nft"; ! command -v nft >/dev/null || nft --stateless list ruleset || exit
echo "=== ipset"; ! command -v ipset >/dev/null || ipset save -sorted || exit
for family in 4 6; do
    echo "=== ip -$family rule"; ip -$family rule || exit
    echo "=== ip -$family route"; ip -$family route show table all || exit
done
"#;

/// A namespace at one moment. Its text has a line for each fact, with what it is about in front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot(BTreeSet<String>);

impl Snapshot {
    /// Looks at a namespace.
    ///
    /// # Errors
    /// When a tool fails.
    pub fn of(netns: &Netns) -> Result<Self, Error> {
        let said = tool::run_in(netns, &["sh", "-c", ASK], "")?;
        let sockets = netns.run(listeners).and_then(|read| read).doing(|| "read who listens".into())?;
        let mut facts = sockets;
        let mut sections: Vec<(&str, Vec<&str>)> = Vec::new();
        for line in said.lines() {
            match (line.strip_prefix("=== "), sections.last_mut()) {
                (Some(name), _) => sections.push((name, Vec::new())),
                (None, Some((_, lines))) => lines.push(line),
                (None, None) => {}
            }
        }
        for (name, lines) in sections {
            facts.extend(of_tool(name, &lines).into_iter().map(|line| format!("{name}: {line}")));
        }
        Ok(Self(facts))
    }

    /// Looks at a pod's namespace; its own addresses are replaced by words, so that pods can be compared with each other.
    ///
    /// # Errors
    /// When a tool fails.
    pub fn of_pod(pod: &Pod) -> Result<Self, Error> {
        let own = pod.ips();
        let facts = Self::of(pod.netns())?.0;
        Ok(Self(facts.iter().map(|line| anonymous(line, own)).collect()))
    }

    /// Looks at a node's own namespace; what is about the interfaces of containers is left out, which come and go.
    ///
    /// # Errors
    /// When a tool fails.
    pub fn of_node(node: &Node) -> Result<Self, Error> {
        let mut facts = Self::of(node.netns())?.0;
        // The bridge plugin calls them so.
        facts.retain(|line| !line.split(' ').any(|word| word.starts_with("veth")));
        Ok(Self(facts))
    }

    /// What differs from another snapshot, a line each: `-` is only here, `+` only there.
    #[must_use]
    pub fn differences(&self, later: &Self) -> Vec<String> {
        let gone = self.0.difference(&later.0).map(|line| format!("- {line}"));
        let new = later.0.difference(&self.0).map(|line| format!("+ {line}"));
        gone.chain(new).collect()
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

fn of_tool(name: &str, lines: &[&str]) -> Vec<String> {
    match name {
        "nft" => tables::of_nft(lines),
        save if save.ends_with("-save") => tables::of_iptables(lines),
        "ipset" => lines.iter().map(|line| (*line).to_owned()).collect(),
        _ => lines.iter().map(|line| lasting(line)).collect(),
    }
}

/// A route without what passes.
fn lasting(line: &str) -> String {
    let mut words: Vec<_> = line.split_whitespace().collect();
    if let Some(at) = words.iter().position(|word| *word == "expires") {
        words.drain(at..words.len().min(at + 2));
    }
    words.join(" ")
}

/// A line with words in place of the addresses that every pod has others of.
fn anonymous(line: &str, own: [IpAddr; 2]) -> String {
    let word = |word: &str| {
        let (address, rest) =
            word.split_once('/').map_or((word, None), |(address, rest)| (address, Some(rest)));
        let replaced = match address.parse() {
            Ok(address) if own.contains(&address) => "OWN".to_owned(),
            Ok(IpAddr::V6(address))
                if address.is_unicast_link_local() && !address.octets().ends_with(&[0; 8]) =>
            {
                "LINK".to_owned()
            }
            Ok(_) | Err(_) => address.to_owned(),
        };
        rest.map_or(replaced.clone(), |rest| format!("{replaced}/{rest}"))
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// The sockets of the calling thread's namespace that wait for whoever comes, with how many there are of a kind.
fn listeners() -> std::io::Result<BTreeSet<String>> {
    let mut all: Vec<String> = Vec::new();
    for (protocol, waiting) in
        [("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07"), ("raw", "07"), ("raw6", "07")]
    {
        let table = fs::read_to_string(format!("/proc/thread-self/net/{protocol}"))?;
        all.extend(
            table
                .lines()
                .filter_map(|line| listener(line, waiting))
                .map(|at| format!("{protocol} listens: {at}")),
        );
    }
    all.sort_unstable();
    let of_kind = |kind: &String| format!("{kind} x{}", all.iter().filter(|other| *other == kind).count());
    Ok(all.iter().map(of_kind).collect())
}

/// Reads a line of `/proc/net/tcp`: number, local address, remote address, state (`proc_net_tcp.rst`).
fn listener(line: &str, waiting: &str) -> Option<String> {
    let words: Vec<_> = line.split_whitespace().collect();
    let [_, local, _, state, ..] = words[..] else { return None };
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    (state == waiting).then(|| format!("{address} port {port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_addresses_are_words_and_others_stay() {
        let own = ["10.64.240.2".parse().unwrap(), "fd00::2".parse().unwrap()];
        let check = |line, expected: &str| assert_eq!(anonymous(line, own), expected);
        check("local 10.64.240.2 dev eth0 src 10.64.240.2", "local OWN dev eth0 src OWN");
        check("10.64.240.20/32 via 10.64.240.1", "10.64.240.20/32 via 10.64.240.1");
        check("fd00::2/128 fe80::1234:56ff:fe78:9abc fe80::/64", "OWN/128 LINK fe80::/64");
    }

    #[test]
    fn only_sockets_that_wait_are_listed() {
        let line = "   0: 00000000:3AA0 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0";
        assert_eq!(listener(line, "0A"), Some("00000000 port 15008".into()));
        assert_eq!(listener(&line.replace(" 0A ", " 01 "), "0A"), None);
    }

    #[test]
    fn routes_are_the_same_while_their_time_passes() {
        assert_eq!(
            lasting("default via fe80::1 expires 12sec pref medium"),
            "default via fe80::1 pref medium"
        );
    }
}
