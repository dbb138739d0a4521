//! All checks, by families: what can be selected, and what `docs/check.md` lists.

use super::finding::{Check, Finding};
use super::{
    Context, clock, cni, control, firewall, iptables, kernel, limits, mesh, network, pod, policies, ports,
    programs, storage, traffic, trial,
};

/// Checks that look at the same thing.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) checks: &'static [&'static Check],
    pub(crate) look: fn(&Context<'_>) -> Vec<Finding>,
}

/// In the order in which a person would look.
pub(crate) const FAMILIES: &[&Family] = &[
    &kernel::FAMILY,
    &trial::FAMILY,
    &iptables::FAMILY,
    &ports::FAMILY,
    &limits::FAMILY,
    &traffic::FAMILY,
    &storage::FAMILY,
    &network::FAMILY,
    &firewall::FAMILY,
    &policies::FAMILY,
    &cni::FAMILY,
    &mesh::FAMILY,
    &clock::FAMILY,
    &control::FAMILY,
    &programs::FAMILY,
    &pod::FAMILY,
];

/// What is to be looked at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Selection<'n>(&'n [String]);

impl<'n> Selection<'n> {
    /// Everything, or what is named: families and checks; the first name that means nothing is the error.
    pub(crate) fn parse(names: &'n [String], known: impl Fn(&str) -> bool) -> Result<Self, String> {
        match names.iter().find(|name| !known(name)) {
            Some(name) => Err(name.clone()),
            None => Ok(Self(names)),
        }
    }

    /// Looks at all that is selected.
    pub(crate) fn look(&self, context: &Context<'_>) -> Vec<Finding> {
        let wanted =
            |family: &&&Family| family.checks.iter().any(|check| self.takes(family.name, check.name));
        let of = |family: &&Family| {
            let mut findings = (family.look)(context);
            findings.retain(|finding| self.takes(family.name, finding.name));
            findings
        };
        FAMILIES.iter().filter(wanted).flat_map(of).collect()
    }

    /// Tells whether a check of a family is selected.
    pub(crate) fn takes(&self, family: &str, check: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|name| name == family || name == check)
    }
}

impl Family {
    fn has(&self, check: &str) -> bool {
        self.checks.iter().any(|it| it.name == check)
    }
}

/// Tells whether something has this name.
pub(crate) fn knows(name: &str) -> bool {
    FAMILIES.iter().any(|family| family.name == name || family.has(name))
}

/// The names of all families, for people who mistyped one.
pub(crate) fn names() -> String {
    FAMILIES.iter().map(|family| family.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::check::manifests;

    /// The rows of the tables in the documentation: family, check, what it looks at, why.
    fn documented() -> BTreeSet<(String, String, String)> {
        let text = include_str!("../../../docs/check.md");
        let mut family = String::new();
        let mut rows = BTreeSet::new();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("### `").and_then(|rest| rest.split('`').next()) {
                name.clone_into(&mut family);
            }
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            if let [_, name, _, why, _] = cells[..]
                && let Some(name) = name.strip_prefix('`').and_then(|name| name.strip_suffix('`'))
            {
                rows.insert((family.clone(), name.to_owned(), why.to_owned()));
            }
        }
        rows
    }

    /// Every check there is, with its family.
    fn all() -> impl Iterator<Item = (&'static str, &'static Check)> {
        let of_host =
            FAMILIES.iter().flat_map(|family| family.checks.iter().map(|check| (family.name, *check)));
        of_host.chain(manifests::CHECKS.iter().map(|check| (manifests::NAME, *check)))
    }

    #[test]
    fn the_documentation_lists_the_checks_there_are() {
        let row = |(family, check): (&str, &Check)| {
            (family.to_owned(), check.name.to_owned(), check.why.to_owned())
        };
        let coded: BTreeSet<_> = all().map(row).collect();
        let documented = documented();
        let undocumented: Vec<_> = coded.difference(&documented).collect();
        let unknown: Vec<_> = documented.difference(&coded).collect();
        assert!(undocumented.is_empty() && unknown.is_empty(), "{undocumented:#?}\n{unknown:#?}");
    }

    #[test]
    fn every_name_means_one_thing() {
        let families = FAMILIES.iter().map(|family| family.name).chain([manifests::NAME]);
        let names: Vec<_> = families.chain(all().map(|(_, check)| check.name)).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
    }

    #[test]
    fn names_of_checks_and_of_families_select_and_others_are_refused() {
        let names = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let selected = names(&["kernel", "conntrack-table"]);
        let selection = Selection::parse(&selected, knows).unwrap();
        assert!(selection.takes("kernel", "kernel-version"));
        assert!(selection.takes("traffic", "conntrack-table"));
        assert!(!selection.takes("traffic", "conntrack-timeout"));
        assert!(Selection::parse(&[], knows).unwrap().takes("traffic", "conntrack-timeout"));
        assert_eq!(Selection::parse(&names(&["kernel", "kernal"]), knows), Err("kernal".to_owned()));
    }
}
