//! The chain that disguises what the node says to probed pods, and the jump to it.
//!
//! In goes what the nat table holds; out come differences in words, and the script that leads to what shall be there, or to
//! nothing of ours. Nothing here runs a tool.

use std::net::IpAddr;

use crate::parse::SavedTable;
use crate::script::Script;

/// The name existing node agents use, so that either cleans up the other's.
const CHAIN: &str = "ISTIO_POSTRT";
const HOOK: &str = "POSTROUTING";

/// The one rule of the chain.
pub(super) fn disguise(set: &str, to: IpAddr, user: Option<u32>) -> String {
    let user = user.map(|user| format!(" --uid-owner {user}")).unwrap_or_default();
    format!("-p tcp -m owner --socket-exists{user} -m set --match-set {set} dst -j SNAT --to-source {to}")
}

/// Whether the chain or a jump to it is there.
pub(super) fn has_ours(found: &SavedTable) -> bool {
    found.chains.contains_key(CHAIN) || jumps(found).next().is_some()
}

/// Every difference, in words.
pub(super) fn differences(rule: &str, found: &SavedTable) -> Vec<String> {
    let mut all = Vec::new();
    match found.chains.get(CHAIN).map(Vec::as_slice) {
        None => all.push(format!("chain {CHAIN} is not there")),
        Some([one]) if means(&one.text) == means(rule) => {}
        Some(rules) => {
            let there: Vec<_> = rules.iter().map(|rule| format!("`{}`", rule.text)).collect();
            let there = if there.is_empty() { "nothing".to_owned() } else { there.join(", ") };
            all.push(format!("chain {CHAIN} holds {there} where it should hold `{rule}`"));
        }
    }
    if !is_jumped_to(found) {
        all.push(format!("{HOOK} does not begin with the only jump to {CHAIN}"));
    }
    all
}

/// The script after which chain and jump are as they should be; empty when they are.
pub(super) fn install(rule: &str, found: &SavedTable) -> Script {
    if differences(rule, found).is_empty() {
        return Script::default();
    }
    let mut lines = vec!["*nat".to_owned(), format!(":{CHAIN} - [0:0]")];
    lines.extend(unlink(found));
    // At position 1: some network plugins have a rule there that accepts before anybody else is asked.
    lines.push(format!("-I {HOOK} 1 -j {CHAIN}"));
    lines.push(format!("-A {CHAIN} {rule}"));
    lines.push("COMMIT".to_owned());
    Script::of(lines)
}

/// The script after which nothing of ours is there; empty when that is so.
pub(super) fn strip(found: &SavedTable) -> Script {
    if !has_ours(found) {
        return Script::default();
    }
    let mut lines = vec!["*nat".to_owned()];
    lines.extend(unlink(found));
    if found.chains.contains_key(CHAIN) {
        lines.extend([format!("-F {CHAIN}"), format!("-X {CHAIN}")]);
    }
    lines.push("COMMIT".to_owned());
    Script::of(lines)
}

fn is_jumped_to(found: &SavedTable) -> bool {
    let first = found.chains.get(HOOK).and_then(|rules| rules.first());
    first.is_some_and(|first| means(&first.text) == means(&format!("-j {CHAIN}")))
        && jumps(found).count() == 1
}

/// The rules that lead to our chain, with the chain each is in.
fn jumps(found: &SavedTable) -> impl Iterator<Item = (&str, &str)> {
    let chains = found.chains.iter().filter(|(name, _)| *name != CHAIN);
    let rules = chains.flat_map(|(name, rules)| rules.iter().map(move |rule| (name.as_str(), rule)));
    rules
        .filter(|(_, rule)| rule.target.as_deref() == Some(CHAIN))
        .map(|(name, rule)| (name, rule.text.as_str()))
}

fn unlink(found: &SavedTable) -> Vec<String> {
    jumps(found).map(|(chain, rule)| format!("-D {chain} {rule}")).collect()
}

/// A rule's options with their values; the order in which a tool prints them means nothing.
fn means(rule: &str) -> Vec<Vec<&str>> {
    let mut options: Vec<Vec<&str>> = Vec::new();
    for word in rule.split_whitespace() {
        match options.last_mut() {
            Some(option) if !word.starts_with('-') => option.push(word),
            _ => options.push(vec![word]),
        }
    }
    options.sort();
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::Saved;
    use crate::rule::Table;

    fn rule() -> String {
        disguise("istio-inpod-probes-v4", [169, 254, 7, 127].into(), None)
    }

    fn check(rules: &str, said: &[&str]) {
        let saved = Saved::parse(&format!("*nat\n:POSTROUTING ACCEPT [0:0]\n{rules}COMMIT\n")).unwrap();
        let found = saved.table(Table::Nat);
        assert_eq!(differences(&rule(), found), said, "{rules}");
        assert_eq!(install(&rule(), found).is_empty(), said.is_empty(), "{rules}");
    }

    #[test]
    fn differences_are_found_and_the_order_of_options_is_none() {
        let not_first = "POSTROUTING does not begin with the only jump to ISTIO_POSTRT";
        let right =
            format!(":ISTIO_POSTRT - [0:0]\n-A POSTROUTING -j ISTIO_POSTRT\n-A ISTIO_POSTRT {}\n", rule());
        check(&right, &[]);
        check(&right.replace("-p tcp -m owner --socket-exists", "-m owner --socket-exists -p tcp"), &[]);
        check("", &["chain ISTIO_POSTRT is not there", not_first]);
        check(&right.replace("-A POSTROUTING", "-A POSTROUTING -j ACCEPT\n-A POSTROUTING"), &[not_first]);
        check(&right.replace("-A POSTROUTING -j", "-A POSTROUTING -p tcp -j"), &[not_first]);
        check(&format!("{right}-A POSTROUTING -o eth0 -j ISTIO_POSTRT\n"), &[not_first]);
        let user = right.replace("exists", "exists --uid-owner 0");
        let all = rule();
        let narrower = all.replace("exists", "exists --uid-owner 0");
        check(&user, &[&format!("chain ISTIO_POSTRT holds `{narrower}` where it should hold `{all}`")]);
        let empty = format!("chain ISTIO_POSTRT holds nothing where it should hold `{all}`");
        check(":ISTIO_POSTRT - [0:0]\n-A POSTROUTING -j ISTIO_POSTRT\n", &[&empty]);
    }

    #[test]
    fn removal_touches_only_what_is_ours() {
        let saved = "*nat\n:POSTROUTING ACCEPT [0:0]\n:ISTIO_POSTRT - [0:0]\n:DOCKER - [0:0]\n-A POSTROUTING -j DOCKER\n\
                     -A POSTROUTING -p tcp -j ISTIO_POSTRT\n-A ISTIO_POSTRT -j RETURN\nCOMMIT\n";
        let saved = Saved::parse(saved).unwrap();
        let expected =
            "*nat\n-D POSTROUTING -p tcp -j ISTIO_POSTRT\n-F ISTIO_POSTRT\n-X ISTIO_POSTRT\nCOMMIT\n";
        assert_eq!(strip(saved.table(Table::Nat)).text(), expected);
        let foreign = Saved::parse("*nat\n:DOCKER - [0:0]\nCOMMIT\n").unwrap();
        assert!(strip(foreign.table(Table::Nat)).is_empty());
    }
}
