//! Alerts and their runbooks.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Asked, text};

pub(super) const RULES: &str = "deploy/alerts/culvert.rules.yaml";
pub(super) const CASES: &str = "deploy/alerts/culvert.tests.yaml";
const RUNBOOKS: &str = "docs/runbooks.md";
/// What somebody who was woken looks for.
const PARTS: [&str; 4] = ["**What it means.**", "**Look first.**", "**Mend.**", "**Prevent.**"];

pub(super) struct Alert(Value);

impl Alert {
    /// All there are.
    pub(super) fn all() -> Vec<Self> {
        let groups = yaml(RULES)["groups"].as_array().unwrap().clone();
        groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).map(Self).collect()
    }

    pub(super) fn name(&self) -> &str {
        self.0["alert"].as_str().unwrap()
    }

    pub(super) fn asked(&self) -> Asked {
        Asked { place: self.name().to_owned(), expression: self.0["expr"].as_str().unwrap().to_owned() }
    }

    /// What is missing from what people are told.
    pub(super) fn flaws(&self) -> Vec<String> {
        let told = &self.0["annotations"];
        let says = |name: &str| told[name].as_str().is_some_and(|text| !text.is_empty());
        let severity = self.0["labels"]["severity"].as_str().unwrap_or_default();
        let runbook = format!("{RUNBOOKS}#{}", self.name().to_lowercase());
        let flaws = [
            (!says("summary"), "has no summary"),
            (!says("description"), "has no description"),
            (!matches!(severity, "critical" | "warning"), "is neither critical nor a warning"),
            (told["runbook"] != *runbook, "does not point at a runbook of its name"),
        ];
        flaws.iter().filter(|(is_so, _)| *is_so).map(|(_, flaw)| format!("{} {flaw}", self.name())).collect()
    }
}

/// Of each case: the alert, and whether it is expected to fire.
pub(super) fn cases() -> BTreeSet<(String, bool)> {
    let of = |case: &Value| {
        let asked = case["alert_rule_test"].as_array().unwrap().clone();
        let one = |it: &Value| {
            let fires = !it["exp_alerts"].as_array().unwrap().is_empty();
            (it["alertname"].as_str().unwrap().to_owned(), fires)
        };
        asked.iter().map(one).collect::<Vec<_>>()
    };
    yaml(CASES)["tests"].as_array().unwrap().iter().flat_map(of).collect()
}

/// A section of the runbooks.
pub(super) struct Runbook {
    pub(super) name: String,
    body: String,
}

impl Runbook {
    /// All there are.
    pub(super) fn all() -> Vec<Self> {
        let text = text(RUNBOOKS);
        let of = |section: &str| {
            let (name, rest) = section.split_once('\n').unwrap();
            let body = rest.split("\n## ").next().unwrap();
            Self { name: name.to_owned(), body: body.to_owned() }
        };
        text.split("\n### ").skip(1).map(of).collect()
    }

    /// What is missing, and links that lead nowhere.
    pub(super) fn flaws(&self, all: &[Self]) -> Vec<String> {
        let missing = PARTS.iter().filter(|part| !self.body.contains(*part));
        let missing = missing.map(|part| format!("{}: {part} is missing", self.name));
        let links = self.body.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap());
        let is_dead = |link: &&str| !all.iter().any(|it| it.name.to_lowercase() == *link);
        let dead = links.filter(is_dead).map(|link| format!("{}: there is no #{link}", self.name));
        missing.chain(dead).collect()
    }
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&text(path)).unwrap()
}
