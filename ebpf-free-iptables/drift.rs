//! The difference between what a namespace should hold and what it holds, as sentences.
//!
//! In go a plan and what was read back; out comes every difference, order included. What to do about it is decided by
//! the caller.

use std::fmt;

use crate::parse::{SavedRule, SavedTable};
use crate::plan::{ROUTE_TABLE, RULE_PRIORITY, TablePlan};
use crate::rule::{Chain, Family, Rule, Table};

/// One difference between plan and namespace, in one IP version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// The IP version it is in.
    pub family: Family,
    /// What differs.
    pub what: Difference,
}

/// What differs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// Nothing of ours is there at all.
    Absent,
    /// A difference inside a table.
    Rules(Table, RuleDifference),
    /// The rule that leads replies to the routing table.
    PolicyRule(Wrong),
    /// The route that delivers them.
    PolicyRoute(Wrong),
    /// The same chains also live in another tool's rules, which the kernel runs as well.
    Stray {
        /// The tool, such as `iptables-legacy`.
        program: String,
    },
}

/// What differs inside a table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuleDifference {
    /// One of our chains.
    Chain(Chain, Wrong),
    /// A rule of one of our chains, or somebody's rule that leads into one.
    Rule {
        /// The chain it is, or should be, in.
        chain: String,
        /// The rule.
        rule: String,
        /// Missing or unexpected.
        wrong: Wrong,
    },
    /// The right rules in the wrong order.
    Order(Chain),
    /// The built-in chain does not lead to ours.
    JumpMissing(Chain),
    /// Another rule decides before ours.
    JumpNotFirst {
        /// Our chain.
        chain: Chain,
        /// The rule that comes first.
        first: String,
    },
}

/// How something differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// It should be there.
    Missing,
    /// It should not be there.
    Unexpected,
}

impl Wrong {
    /// How `found` differs from `wanted`, if it does.
    pub(crate) fn compare(wanted: bool, found: bool) -> Option<Self> {
        match (wanted, found) {
            (true, false) => Some(Self::Missing),
            (false, true) => Some(Self::Unexpected),
            (true, true) | (false, false) => None,
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "is missing",
            Self::Unexpected => "should not be there",
        })
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.family)?;
        match &self.what {
            Difference::Absent => f.write_str("there are no capture rules"),
            Difference::Rules(table, difference) => write!(f, "table {table}: {difference}"),
            Difference::PolicyRule(wrong) => {
                write!(f, "policy rule {RULE_PRIORITY} to routing table {ROUTE_TABLE} {wrong}")
            }
            Difference::PolicyRoute(wrong) => {
                write!(f, "local default route in routing table {ROUTE_TABLE} {wrong}")
            }
            Difference::Stray { program } => write!(f, "capture rules are in {program} as well"),
        }
    }
}

impl fmt::Display for RuleDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain(chain, wrong) => write!(f, "chain {chain} {wrong}"),
            Self::Rule { chain, rule, wrong } => write!(f, "rule `{rule}` of chain {chain} {wrong}"),
            Self::Order(chain) => write!(f, "the rules of chain {chain} are in the wrong order"),
            Self::JumpMissing(chain) => write!(f, "{} does not jump to {chain}", chain.hook()),
            Self::JumpNotFirst { chain, first } => {
                write!(f, "{} jumps to {chain} only after rule `{first}`", chain.hook())
            }
        }
    }
}

/// The differences in one table; without a plan, everything of ours is one.
pub(crate) fn of_table(table: Table, wanted: Option<&TablePlan>, found: &SavedTable) -> Vec<Difference> {
    let mut differences = Vec::new();
    for chain in Chain::BOTH {
        let rules = found.chains.get(chain.name()).map(Vec::as_slice);
        of_chain(chain, wanted.map(|wanted| wanted.rules(chain)), rules, &mut differences);
        of_references(chain, wanted.is_some(), found, &mut differences);
    }
    differences.into_iter().map(|difference| Difference::Rules(table, difference)).collect()
}

fn of_chain(
    chain: Chain,
    wanted: Option<&[Rule]>,
    found: Option<&[SavedRule]>,
    into: &mut Vec<RuleDifference>,
) {
    let (wanted, found) = match (wanted, found) {
        (Some(wanted), Some(found)) => (wanted, found),
        (wanted, found) => {
            into.extend(
                Wrong::compare(wanted.is_some(), found.is_some())
                    .map(|wrong| RuleDifference::Chain(chain, wrong)),
            );
            return;
        }
    };
    let mut unexpected: Vec<&SavedRule> = found.iter().collect();
    let before = into.len();
    for rule in wanted {
        match unexpected.iter().position(|found| found.meaning.as_ref() == Some(rule)) {
            Some(at) => drop(unexpected.remove(at)),
            None => into.push(of_rule(chain.name(), rule.to_string(), Wrong::Missing)),
        }
    }
    into.extend(unexpected.iter().map(|rule| of_rule(chain.name(), rule.text.clone(), Wrong::Unexpected)));
    let in_order = || wanted.iter().eq(found.iter().filter_map(|rule| rule.meaning.as_ref()));
    if into.len() == before && !in_order() {
        into.push(RuleDifference::Order(chain));
    }
}

/// Exactly one rule leads into our chain: the first of its built-in chain, for all packets.
fn of_references(chain: Chain, wanted: bool, found: &SavedTable, into: &mut Vec<RuleDifference>) {
    let jump = Rule::jump(chain);
    let mut jumped = false;
    for (from, rule) in found.references(chain) {
        let is_jump = from == chain.hook() && rule.meaning.as_ref() == Some(&jump);
        if wanted && is_jump && !jumped {
            jumped = true;
        } else {
            into.push(of_rule(from, rule.text.clone(), Wrong::Unexpected));
        }
    }
    if !wanted {
        return;
    }
    let first = found.chains.get(chain.hook()).and_then(|rules| rules.first());
    match first {
        _ if !jumped => into.push(RuleDifference::JumpMissing(chain)),
        Some(first) if first.meaning.as_ref() != Some(&jump) => {
            into.push(RuleDifference::JumpNotFirst { chain, first: first.text.clone() });
        }
        _ => {}
    }
}

fn of_rule(chain: &str, rule: String, wrong: Wrong) -> RuleDifference {
    RuleDifference::Rule { chain: chain.to_owned(), rule, wrong }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use crate::parse::Saved;
    use crate::plan::Plan;

    /// Edits the nat table of a namespace that is as planned, and compares the sentences.
    fn check(edit: impl Fn(&str) -> String, expected: &[&str]) {
        let plan = Plan::new(&Options::default());
        let rendered = plan.render(Family::V4).unwrap();
        let right = rendered.replace("-I PREROUTING 1", "-A PREROUTING").replace("-I OUTPUT 1", "-A OUTPUT");
        let saved = Saved::parse(&edit(&right)).unwrap();
        let wanted = plan.family(Family::V4).unwrap().table(Table::Nat);
        let sentences: Vec<String> = of_table(Table::Nat, wanted, saved.table(Table::Nat))
            .into_iter()
            .map(|what| Drift { family: Family::V4, what }.to_string())
            .collect();
        assert_eq!(sentences, expected);
    }

    /// The text with its nat table edited.
    fn nat(text: &str, edit: impl Fn(&str) -> String) -> String {
        let (before, nat) = text.split_once("*nat\n").unwrap();
        format!("{before}*nat\n{}", edit(nat))
    }

    #[test]
    fn no_difference() {
        check(str::to_owned, &[]);
    }

    #[test]
    fn a_flushed_hook() {
        check(
            |text| nat(text, |nat| nat.replace("-A OUTPUT -j ISTIO_OUTPUT\n", "")),
            &["IPv4: table nat: OUTPUT does not jump to ISTIO_OUTPUT"],
        );
    }

    #[test]
    fn a_rule_before_the_jump() {
        check(
            |text| nat(text, |nat| nat.replace("-A OUTPUT -j", "-A OUTPUT -p tcp -j ACCEPT\n-A OUTPUT -j")),
            &["IPv4: table nat: OUTPUT jumps to ISTIO_OUTPUT only after rule `-p tcp -j ACCEPT`"],
        );
    }

    #[test]
    fn a_rule_after_the_jump_is_somebody_elses_business() {
        check(|text| nat(text, |nat| nat.replace("COMMIT", "-A OUTPUT -p tcp -j ACCEPT\nCOMMIT")), &[]);
    }

    #[test]
    fn a_second_jump() {
        check(
            |text| nat(text, |nat| nat.replace("COMMIT", "-A OUTPUT -j ISTIO_OUTPUT\nCOMMIT")),
            &["IPv4: table nat: rule `-j ISTIO_OUTPUT` of chain OUTPUT should not be there"],
        );
    }

    #[test]
    fn a_rule_that_changed() {
        check(
            |text| text.replace("--to-ports 15006", "--to-ports 15007"),
            &[
                "IPv4: table nat: rule `! -d 127.0.0.1 -p tcp ! --dport 15008 -m mark ! --mark 0x539/0xfff \
                 -j REDIRECT --to-ports 15006` of chain ISTIO_PRERT is missing",
                "IPv4: table nat: rule `! -d 127.0.0.1 -p tcp ! --dport 15008 -m mark ! --mark 0x539/0xfff \
                 -j REDIRECT --to-ports 15007` of chain ISTIO_PRERT should not be there",
            ],
        );
    }

    #[test]
    fn rules_in_another_order() {
        let probe = "-A ISTIO_OUTPUT -d 169.254.7.127 -p tcp -j ACCEPT\n";
        check(
            |text| nat(text, |nat| nat.replace(probe, "").replace("COMMIT", &format!("{probe}COMMIT"))),
            &["IPv4: table nat: the rules of chain ISTIO_OUTPUT are in the wrong order"],
        );
    }

    #[test]
    fn a_chain_that_is_gone() {
        let gone =
            |nat: &str| nat.lines().filter(|l| !l.contains("PRERT")).map(|l| format!("{l}\n")).collect();
        check(
            |text| nat(text, gone),
            &[
                "IPv4: table nat: chain ISTIO_PRERT is missing",
                "IPv4: table nat: PREROUTING does not jump to ISTIO_PRERT",
            ],
        );
    }
}
