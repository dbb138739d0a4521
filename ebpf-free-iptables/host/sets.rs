//! The sets of probed pods, one for each IP version: address, and the pod's UID as a comment.
//!
//! In go what `ipset save` prints and the pods there shall be; out come differences in words, and the lines for `ipset restore`
//! that lead from one to the other. Nothing here runs a program.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::ProbedPods;
use crate::rule::Family;

/// A set as it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Set {
    /// The words after its name: its type, and what it was made with.
    kind: Vec<String>,
    /// The comment of each address; empty when there is none.
    entries: BTreeMap<IpAddr, String>,
}

/// The set's name: the one existing node agents use, so that either cleans up the other's.
pub(super) fn name(family: Family) -> &'static str {
    match family {
        Family::V4 => "istio-inpod-probes-v4",
        Family::V6 => "istio-inpod-probes-v6",
    }
}

/// Whether a comment can be a pod's UID. Mirror pods and lists of pods have others than Kubernetes gives.
pub(super) fn can_be_uid(text: &str) -> bool {
    const LONGEST: usize = 253;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !text.is_empty() && text.len() <= LONGEST && text.bytes().all(plain)
}

/// The pods with addresses of the family.
pub(super) fn wanted(pods: &ProbedPods, family: Family) -> impl Iterator<Item = (&IpAddr, &String)> {
    pods.iter().filter(move |(address, _)| address.is_ipv4() == (family == Family::V4))
}

impl Set {
    /// Reads what `ipset save` prints of one set; an error is the number of the line that makes no sense.
    pub(super) fn parse(text: &str) -> Result<Self, usize> {
        let mut set = Self { kind: Vec::new(), entries: BTreeMap::new() };
        for (number, line) in (1..).zip(text.lines()) {
            let mut words = line.split(' ');
            match (words.next(), words.next()) {
                (Some("create"), Some(_)) => set.kind = words.map(str::to_owned).collect(),
                (Some("add"), Some(_)) if set.kind.first().is_some_and(|kind| kind == KIND) => {
                    let address = words.next().and_then(|word| word.parse().ok()).ok_or(number)?;
                    let comment = line.split_once(" comment \"").and_then(|(_, rest)| rest.split('"').next());
                    set.entries.insert(address, comment.unwrap_or_default().to_owned());
                }
                // What is in a set of another kind does not matter: it is replaced.
                (Some("add"), Some(_)) if !set.kind.is_empty() => {}
                _ => return Err(number),
            }
        }
        if set.kind.is_empty() { Err(1) } else { Ok(set) }
    }

    /// Whether it can hold what it is to hold, for as long as it is to.
    pub(super) fn is_right_for(&self, family: Family) -> bool {
        let has = |word: &str| self.kind.iter().any(|it| it == word);
        self.kind.first().is_some_and(|kind| kind == KIND)
            && has(inet(family))
            && has("comment")
            && !has("timeout")
            && !has("netmask")
    }
}

/// What is in the set and should not be, or the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change<'a> {
    /// The address is not there.
    Add(&'a IpAddr, &'a str),
    /// The address is there, for another pod.
    Rename(&'a IpAddr, &'a str, &'a str),
    /// The address is there, for a pod that no longer has it.
    Remove(&'a IpAddr, &'a str),
}

fn changes<'a>(family: Family, found: Option<&'a Set>, pods: &'a ProbedPods) -> Vec<Change<'a>> {
    static NOTHING: BTreeMap<IpAddr, String> = BTreeMap::new();
    let entries = found.map_or(&NOTHING, |set| &set.entries);
    let gone =
        entries.iter().filter(|(address, comment)| can_be_uid(comment) && !pods.contains_key(*address));
    let mut all: Vec<_> = gone.map(|(address, comment)| Change::Remove(address, comment)).collect();
    for (address, uid) in wanted(pods, family) {
        match entries.get(address) {
            Some(comment) if comment == uid => {}
            Some(comment) => all.push(Change::Rename(address, comment, uid)),
            None => all.push(Change::Add(address, uid)),
        }
    }
    all
}

/// Every difference, in words.
pub(super) fn differences(family: Family, found: Option<&Set>, pods: &ProbedPods) -> Vec<String> {
    let name = name(family);
    match found {
        None => return vec![format!("set {name} is not there")],
        Some(set) if !set.is_right_for(family) => {
            return vec![format!("set {name} is of another kind ({})", set.kind.join(" "))];
        }
        Some(_) => {}
    }
    let words = |change| match change {
        Change::Add(address, uid) => format!("{address} of pod {uid} is not in set {name}"),
        Change::Rename(address, before, uid) => {
            format!("{address} in set {name} is said to be of pod {before:?} and is of {uid}")
        }
        Change::Remove(address, uid) => {
            format!("{address} in set {name} is of pod {uid}, which is not probed there")
        }
    };
    changes(family, found, pods).into_iter().map(words).collect()
}

/// The lines for `ipset -exist restore`; none when all is as it should be. What goes goes first.
pub(super) fn script(family: Family, found: Option<&Set>, pods: &ProbedPods) -> String {
    let name = name(family);
    let mut lines = String::new();
    if found.is_none() {
        lines += &format!("create {name} {KIND} family {} comment\n", inet(family));
    }
    for change in changes(family, found, pods) {
        lines += &match change {
            Change::Remove(address, _) => format!("del {name} {address}\n"),
            Change::Add(address, uid) | Change::Rename(address, _, uid) => {
                format!("add {name} {address} comment \"{uid}\"\n")
            }
        };
    }
    lines
}

/// The type of the sets.
const KIND: &str = "hash:ip";

fn inet(family: Family) -> &'static str {
    match family {
        Family::V4 => "inet",
        Family::V6 => "inet6",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: &str = "create istio-inpod-probes-v4 hash:ip family inet hashsize 1024 maxelem 65536 comment bucketsize 12 initval 0xc4\n";

    fn set(entries: &str) -> Set {
        Set::parse(&format!("{V4}{entries}")).unwrap()
    }

    fn pods(all: &[(&str, &str)]) -> ProbedPods {
        all.iter().map(|(address, uid)| (address.parse().unwrap(), (*uid).to_owned())).collect()
    }

    /// A set of one pod, one that has gone, one whose address went to another, and one of somebody else.
    fn found() -> Set {
        set(
            "add istio-inpod-probes-v4 10.0.0.1 comment \"stays\"\nadd istio-inpod-probes-v4 10.0.0.2 comment \"gone\"\n\
             add istio-inpod-probes-v4 10.0.0.3 comment \"before\"\nadd istio-inpod-probes-v4 10.0.0.4 comment \"put in by hand\"\n\
             add istio-inpod-probes-v4 10.0.0.5\n",
        )
    }

    #[test]
    fn the_lines_lead_from_what_is_there_to_what_shall_be() {
        let pods =
            pods(&[("10.0.0.1", "stays"), ("10.0.0.3", "after"), ("10.0.0.9", "new"), ("fd00::9", "new")]);
        let expected = "del istio-inpod-probes-v4 10.0.0.2\nadd istio-inpod-probes-v4 10.0.0.3 comment \"after\"\n\
                        add istio-inpod-probes-v4 10.0.0.9 comment \"new\"\n";
        assert_eq!(script(Family::V4, Some(&found()), &pods), expected);
        let said = [
            "10.0.0.2 in set istio-inpod-probes-v4 is of pod gone, which is not probed there",
            "10.0.0.3 in set istio-inpod-probes-v4 is said to be of pod \"before\" and is of after",
            "10.0.0.9 of pod new is not in set istio-inpod-probes-v4",
        ];
        assert_eq!(differences(Family::V4, Some(&found()), &pods), said);
    }

    #[test]
    fn a_set_that_is_right_needs_no_lines() {
        let pods = pods(&[("10.0.0.1", "stays"), ("10.0.0.2", "gone"), ("10.0.0.3", "before")]);
        assert_eq!(script(Family::V4, Some(&found()), &pods), "");
        assert!(differences(Family::V4, Some(&found()), &pods).is_empty());
    }

    #[test]
    fn a_missing_set_is_made_before_it_is_filled() {
        let pods = pods(&[("10.0.0.1", "a"), ("fd00::1", "a")]);
        let expected = "create istio-inpod-probes-v6 hash:ip family inet6 comment\n\
                        add istio-inpod-probes-v6 fd00::1 comment \"a\"\n";
        assert_eq!(script(Family::V6, None, &pods), expected);
        assert_eq!(differences(Family::V6, None, &pods), ["set istio-inpod-probes-v6 is not there"]);
    }

    #[test]
    fn a_set_that_cannot_hold_pods_is_of_another_kind() {
        let check = |kind: &str, right: bool| {
            let set = Set::parse(&format!("create x {kind}\nadd x what,ever\n"));
            let set = set.unwrap_or_else(|_| Set::parse(&format!("create x {kind}\n")).unwrap());
            assert_eq!(set.is_right_for(Family::V4), right, "{kind}");
        };
        check("hash:ip family inet comment", true);
        check("hash:ip family inet counters comment", true);
        check("hash:ip family inet", false);
        check("hash:ip family inet6 comment", false);
        check("hash:ip family inet comment timeout 5", false);
        check("hash:ip family inet netmask 24 comment", false);
        check("hash:net family inet comment", false);
    }

    #[test]
    fn output_that_makes_no_sense_is_found() {
        assert_eq!(Set::parse(""), Err(1));
        assert_eq!(Set::parse("add x 10.0.0.1\n"), Err(1));
        assert_eq!(Set::parse(&format!("{V4}add x ten\n")), Err(2));
        assert_eq!(Set::parse(&format!("{V4}add x 10.0.0.1\nwhat\n")), Err(3));
    }

    #[test]
    fn a_uid_cannot_smuggle_lines() {
        for good in ["7d0f0e4e-0b9c-4f6e-8f6c-3a5b9f3d2c1e", "7d0f0e4e", "a.b_c"] {
            assert!(can_be_uid(good), "{good}");
        }
        for bad in ["", "a b", "a\"", "a\nflush", "é", "put in by hand", &"x".repeat(254)] {
            assert!(!can_be_uid(bad), "{bad:?}");
        }
    }
}
