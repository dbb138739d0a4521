//! Identities of other trust domains, which no peer has.

use culvert_derive::Kind;
use serde_json::Value;

use crate::check::finding::{Check, Finding, Verdict};
use crate::check::manifests::known::What;
use crate::check::manifests::shelf::Manifest;
use crate::check::manifests::world::World;

pub(super) const TRUST_DOMAIN: Check = Check {
    name: "policy-trust-domain",
    why: "no peer has an identity of another trust domain than that of the mesh (--trust-domain)",
};

/// A list of identities, where it is, and what it is called.
struct Listed<'v> {
    path: String,
    excludes: bool,
    values: &'v [Value],
}

pub(super) fn judge(world: &World<'_>) -> Vec<Finding> {
    let policies = world.shelf.of(What::Derived(Kind::AuthorizationPolicy));
    policies.flat_map(|manifest| policy(manifest, &world.settings.trust_domain)).collect()
}

fn policy(manifest: &Manifest, ours: &str) -> Vec<Finding> {
    let rules = items(&manifest.value["spec"]["rules"]);
    let lists = rules.enumerate().flat_map(|(number, rule)| of_rule(rule, &format!("spec.rules[{number}]")));
    lists.flat_map(|list| judge_list(manifest, &list, ours)).collect()
}

fn judge_list(manifest: &Manifest, list: &Listed<'_>, ours: &str) -> Vec<Finding> {
    let foreign = |value: &Value| domain(value).filter(|domain| *domain != ours).map(str::to_owned);
    let all = list.values.iter().all(|value| foreign(value).is_some());
    let foreign =
        list.values.iter().enumerate().filter_map(|(number, value)| Some((number, foreign(value)?)));
    let finding = |(number, domain): (usize, String)| {
        let found = format!("no peer is of the trust domain `{domain}`, as that of the mesh is `{ours}`");
        let remedy =
            format!("write {ours} in its place; if that is not the trust domain, say --trust-domain");
        let verdict = if all { Verdict::problem(found, remedy) } else { Verdict::warning(found, remedy) };
        let effect = match (list.excludes, all) {
            (true, true) => "nobody is excluded by this list",
            (false, true) => "nobody is meant by this list, and the rule matches nobody",
            (_, false) => "nobody is meant by it; the others in the list count",
        };
        TRUST_DOMAIN.at(manifest.place(&format!("{}[{number}]", list.path)), verdict, effect)
    };
    foreign.map(finding).collect()
}

/// The lists of identities in a rule.
fn of_rule<'v>(rule: &'v Value, path: &str) -> Vec<Listed<'v>> {
    let mut lists = Vec::new();
    for (number, from) in items(&rule["from"]).enumerate() {
        let source = &from["source"];
        let path = format!("{path}.from[{number}].source");
        lists.extend(pair(source, &path, "principals", "notPrincipals"));
    }
    let conditions = items(&rule["when"]).enumerate();
    for (number, when) in conditions.filter(|(_, when)| when["key"] == "source.principal") {
        lists.extend(pair(when, &format!("{path}.when[{number}]"), "values", "notValues"));
    }
    lists
}

fn pair<'v>(value: &'v Value, path: &str, takes: &str, excludes: &str) -> Vec<Listed<'v>> {
    let list = |name: &str, excludes| {
        let values = value[name].as_array().map(Vec::as_slice).filter(|values| !values.is_empty())?;
        Some(Listed { path: format!("{path}.{name}"), excludes, values })
    };
    [list(takes, false), list(excludes, true)].into_iter().flatten().collect()
}

/// The trust domain that an identity is of, if it says so in full.
fn domain(value: &Value) -> Option<&str> {
    let text = value.as_str().filter(|text| !text.contains("://"))?;
    let (domain, _) = text.split_once('/')?;
    Some(domain).filter(|domain| !domain.is_empty() && !domain.contains('*'))
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
