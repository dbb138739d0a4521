//! The text one run of `iptables-restore --noflush` reads, and the way back from a line number to a rule.
//!
//! In go a plan (or none) and what the namespace holds; out come the lines that lead from one to the other. Tables
//! that already are as they should be do not appear, so their counters live on. Each table is one transaction of the
//! tool: our chains are emptied, filled and jumped to in one step, and at no moment is a rule missing. Nothing here
//! runs a tool.

use crate::drift;
use crate::parse::{Saved, SavedTable};
use crate::plan::{FamilyPlan, TablePlan};
use crate::rule::{Chain, Rule, Table};

/// Lines for `iptables-restore`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Script {
    lines: Vec<String>,
}

/// What a line number of the script stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) table: Table,
    /// Empty when the tool could not say more than that the table as a whole was refused.
    pub(crate) rule: Option<String>,
}

impl Script {
    /// Lines made elsewhere: whole tables, from `*TABLE` to `COMMIT`.
    pub(crate) fn of(lines: Vec<String>) -> Self {
        Self { lines }
    }

    /// The lines that bring what is `saved` to `plan`; without a plan, to nothing of ours.
    pub(crate) fn bring(plan: Option<&FamilyPlan>, saved: &Saved) -> Self {
        let mut script = Self::default();
        let mut tables = Table::ALL;
        if plan.is_none() {
            // The table that diverts traffic goes first: it needs the others.
            tables.reverse();
        }
        for table in tables {
            script.transaction(table, plan.and_then(|plan| plan.table(table)), saved);
        }
        script
    }

    /// The lines after which no connection is diverted any more that was not before.
    pub(crate) fn release(saved: &Saved) -> Self {
        let mut script = Self::default();
        script.transaction(Table::Nat, None, saved);
        script
    }

    /// Brings one table to what is wanted, if it is not that already.
    fn transaction(&mut self, table: Table, wanted: Option<&TablePlan>, saved: &Saved) {
        let found = saved.table(table);
        if drift::of_table(table, wanted, found).is_empty() {
            return;
        }
        self.push(format!("*{table}"));
        match wanted {
            Some(wanted) => self.install(wanted, found),
            None => self.strip(found),
        }
        self.push("COMMIT".to_owned());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub(crate) fn text(&self) -> String {
        self.lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    /// What the given line (counted from 1) stands for.
    pub(crate) fn place(&self, number: usize) -> Option<Place> {
        let line = self.lines.get(number.checked_sub(1)?)?;
        let table = self.lines[..number].iter().rev().find_map(|line| {
            let name = line.strip_prefix('*')?;
            Table::ALL.into_iter().find(|table| table.name() == name)
        })?;
        let whole_table = line == "COMMIT" || line.starts_with('*');
        Some(Place { table, rule: (!whole_table).then(|| line.clone()) })
    }

    fn install(&mut self, wanted: &TablePlan, found: &SavedTable) {
        for chain in Chain::BOTH {
            // With --noflush this makes the chain, or empties it if it exists.
            self.push(format!(":{chain} - [0:0]"));
        }
        self.unlink(found);
        for chain in Chain::BOTH {
            // At position 1: a rule another tool put there earlier must not decide before ours.
            self.push(format!("-I {} 1 {}", chain.hook(), Rule::jump(chain)));
        }
        for chain in Chain::BOTH {
            for rule in wanted.rules(chain) {
                self.push(format!("-A {chain} {rule}"));
            }
        }
    }

    fn strip(&mut self, found: &SavedTable) {
        self.unlink(found);
        let chains: Vec<Chain> =
            Chain::BOTH.into_iter().filter(|chain| found.chains.contains_key(chain.name())).collect();
        // All are emptied before any is deleted: a chain somebody else's rule in the other leads to cannot go.
        for chain in &chains {
            self.push(format!("-F {chain}"));
        }
        for chain in &chains {
            self.push(format!("-X {chain}"));
        }
    }

    /// Deletes every rule that leads into our chains.
    fn unlink(&mut self, found: &SavedTable) {
        for chain in Chain::BOTH {
            for (from, rule) in found.references(chain) {
                self.push(format!("-D {from} {}", rule.text));
            }
        }
    }

    fn push(&mut self, line: String) {
        self.lines.push(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use crate::plan::Plan;
    use crate::rule::Family;

    fn saved(text: &str) -> Saved {
        Saved::parse(text).unwrap()
    }

    #[test]
    fn removal_touches_only_what_is_ours() {
        let found = saved(
            "*nat\n:OUTPUT ACCEPT [0:0]\n:ISTIO_OUTPUT - [0:0]\n-A OUTPUT -j DOCKER\n-A OUTPUT -p tcp -j ISTIO_OUTPUT\n\
             -A OUTPUT -j ISTIO_OUTPUT\n-A ISTIO_OUTPUT -j RETURN\nCOMMIT\n",
        );
        let expected = "*nat\n-D OUTPUT -p tcp -j ISTIO_OUTPUT\n-D OUTPUT -j ISTIO_OUTPUT\n-F ISTIO_OUTPUT\n\
                        -X ISTIO_OUTPUT\nCOMMIT\n";
        assert_eq!(Script::bring(None, &found).text(), expected);
    }

    #[test]
    fn removal_undoes_the_diverting_table_first() {
        let plan = Plan::new(&Options { dns: true, ..Options::default() });
        let text = Script::bring(None, &saved(&as_saved(&plan))).text();
        let tables: Vec<&str> = text.lines().filter(|line| line.starts_with('*')).collect();
        assert_eq!(tables, ["*nat", "*raw", "*mangle"]);
    }

    #[test]
    fn a_release_leaves_the_tables_that_keep_track_of_connections() {
        let plan = Plan::new(&Options { dns: true, ..Options::default() });
        let text = Script::release(&saved(&as_saved(&plan))).text();
        let tables: Vec<&str> = text.lines().filter(|line| line.starts_with('*')).collect();
        assert_eq!(tables, ["*nat"]);
        assert!(!text.contains("-A ") && text.contains("-X ISTIO_OUTPUT"), "{text}");
        assert!(Script::release(&Saved::default()).is_empty());
    }

    #[test]
    fn a_table_that_is_right_does_not_appear() {
        let with_dns = Plan::new(&Options { dns: true, ..Options::default() });
        let without = Plan::new(&Options::default());
        let found = saved(&as_saved(&with_dns));
        assert!(Script::bring(with_dns.family(Family::V4), &found).is_empty());
        let text = Script::bring(without.family(Family::V4), &found).text();
        let tables: Vec<&str> = text.lines().filter(|line| line.starts_with('*')).collect();
        assert_eq!(tables, ["*raw", "*nat"], "mangle is the same with and without DNS");
    }

    #[test]
    fn a_line_number_leads_back_to_its_rule() {
        let plan = Plan::new(&Options::default());
        let script = Script::bring(plan.family(Family::V4), &Saved::default());
        let number = script.lines.iter().position(|line| line.contains("15006")).unwrap() + 1;
        let place = script.place(number).unwrap();
        assert_eq!(place.table, Table::Nat);
        assert!(place.rule.unwrap().starts_with("-A ISTIO_PRERT "));
        let whole = script.place(script.lines.len()).unwrap();
        assert_eq!(whole, Place { table: Table::Nat, rule: None });
        assert_eq!(script.place(0), None);
        assert_eq!(script.place(script.lines.len() + 1), None);
    }

    /// What the save tool would print after the plan was applied.
    fn as_saved(plan: &Plan) -> String {
        plan.render(Family::V4)
            .unwrap()
            .replace("-I PREROUTING 1", "-A PREROUTING")
            .replace("-I OUTPUT 1", "-A OUTPUT")
    }
}
