//! Reads what the tools of packet rules print, and leaves out what has no effect.

use std::collections::BTreeMap;

/// The tables of `iptables-save`: one fact for each policy, chain and rule of a table that does something. Rules are numbered in
/// their chain, where their order matters.
pub(super) fn of_iptables(lines: &[&str]) -> Vec<String> {
    let mut facts = Vec::new();
    for table in lines.split(|line| *line == "COMMIT") {
        let table: Vec<_> = table.iter().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
        let [name, rest @ ..] = &table[..] else { continue };
        if rest.iter().all(|line| is_open_chain(line)) {
            continue;
        }
        let mut numbers = Numbers::default();
        facts.extend(rest.iter().map(|line| {
            if line.starts_with(':') {
                // `:CHAIN POLICY [PACKETS:BYTES]`
                return format!("{name} {}", line.split_once(" [").map_or(**line, |(head, _)| head));
            }
            // `-A CHAIN ...`
            let chain = line.split(' ').nth(1).unwrap_or_default();
            format!("{name} {} {line}", numbers.next(chain))
        }));
    }
    facts
}

/// A built-in chain that lets everything pass. Those of users have no policy.
fn is_open_chain(line: &str) -> bool {
    line.starts_with(':') && line.contains(" ACCEPT ")
}

/// The tables of `nft list ruleset`: one fact for each line of one that does something, numbered in its chain.
pub(super) fn of_nft(lines: &[&str]) -> Vec<String> {
    let mut facts = Vec::new();
    for table in lines.split(|line| *line == "}") {
        let table: Vec<_> = table.iter().map(|line| line.trim()).filter(|line| is_said(line)).collect();
        let [name, rest @ ..] = &table[..] else { continue };
        if !rest.iter().all(|line| is_open_base(line)) {
            facts.extend(of_blocks(rest).into_iter().map(|fact| format!("{name} {fact}")));
        }
    }
    facts
}

/// The lines of a table, which is made of chains and sets in any order.
fn of_blocks(lines: &[&str]) -> Vec<String> {
    let (mut block, mut numbers) = ("", Numbers::default());
    let mut facts = Vec::new();
    for line in lines {
        if line.ends_with('{') {
            block = line;
            facts.push((*line).to_owned());
        } else {
            facts.push(format!("{block} {} {line}", numbers.next(block)));
        }
    }
    facts
}

fn is_said(line: &str) -> bool {
    !(line.is_empty() || line.starts_with('#') || line == "}")
}

/// The lines of a chain that hangs on a hook and lets everything pass.
fn is_open_base(line: &str) -> bool {
    line.starts_with("chain ") || (line.starts_with("type ") && line.ends_with("policy accept;"))
}

/// Counts what is in each of several chains.
#[derive(Default)]
struct Numbers(BTreeMap<String, usize>);

impl Numbers {
    fn next(&mut self, of: &str) -> usize {
        let number = self.0.entry(of.to_owned()).or_default();
        *number += 1;
        *number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<&str> {
        text.lines().collect()
    }

    #[test]
    fn counters_and_open_tables_do_not_count_but_policies_chains_and_order_do() {
        let save = "# Generated\n*nat\n:PREROUTING ACCEPT [3:1]\nCOMMIT\n# Completed\n*filter\n:INPUT DROP [7:9]\n:MINE - [0:0]\n\
                    -A INPUT -j MINE\n-A INPUT -j DROP\nCOMMIT\n# Completed";
        let wanted = [
            "*filter :INPUT DROP",
            "*filter :MINE -",
            "*filter 1 -A INPUT -j MINE",
            "*filter 2 -A INPUT -j DROP",
        ];
        assert_eq!(of_iptables(&lines(save)), wanted);
        assert_eq!(of_iptables(&[]), Vec::<String>::new());
    }

    #[test]
    fn chains_may_come_in_any_order_and_rules_may_not() {
        let save = |one: &str, two: &str| format!("*nat\n:A - [0:0]\n:B - [0:0]\n-A {one}\n-A {two}\nCOMMIT");
        let sorted = |text: String| {
            let mut facts = of_iptables(&lines(&text));
            facts.sort();
            facts
        };
        assert_eq!(sorted(save("A -j DROP", "B -j DROP")), sorted(save("B -j DROP", "A -j DROP")));
        assert_ne!(sorted(save("A -j DROP", "A -j B")), sorted(save("A -j B", "A -j DROP")));
    }

    #[test]
    fn a_chain_of_a_user_counts_even_if_nothing_is_in_it() {
        assert_eq!(of_iptables(&lines("*nat\n:PREROUTING ACCEPT [0:0]\n:MINE - [0:0]\nCOMMIT")).len(), 2);
    }

    #[test]
    fn tables_of_nft_that_let_everything_pass_do_not_count() {
        let open = "table ip nat {\n\tchain OUTPUT {\n\t\ttype nat hook output priority -100; policy accept;\n\t}\n}";
        assert_eq!(of_nft(&lines(open)), Vec::<String>::new());
        let shut = open.replace("policy accept", "policy drop");
        assert_eq!(of_nft(&lines(&shut)).len(), 2);
        let rule = open.replace("accept;\n", "accept;\n\t\tip daddr 1.2.3.4 drop\n");
        assert_eq!(
            of_nft(&lines(&rule)).last().unwrap(),
            "table ip nat { chain OUTPUT { 2 ip daddr 1.2.3.4 drop"
        );
    }
}
