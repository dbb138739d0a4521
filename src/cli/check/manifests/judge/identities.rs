//! Identities in policies that no peer has: of other trust domains, or of service accounts that no pod runs as.

use culvert_derive::Kind;
use serde_json::Value;

use crate::check::finding::{Check, Finding, Verdict};
use crate::check::manifests::known::What;
use crate::check::manifests::shelf::Manifest;
use crate::check::manifests::world::{World, some};
use accounts::Accounts;

mod accounts;

pub(super) const TRUST_DOMAIN: Check = Check {
    name: "policy-trust-domain",
    why: "no peer has an identity of another trust domain than that of the mesh (--trust-domain)",
};
pub(super) const ACCOUNT: Check = Check {
    name: "policy-account",
    why: "a peer's identity is that of the service account its pod runs as; one that nobody runs as is nobody's",
};

/// A list of identities, where it is, and how they are written.
struct Listed<'v> {
    path: String,
    excludes: bool,
    writes: Writes,
    values: &'v [Value],
}

/// How identities are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writes {
    /// `cluster.local/ns/shop/sa/web`
    Principals,
    /// `shop/web`, or `web`
    Accounts,
}

pub(super) fn judge(world: &World<'_>) -> Vec<Finding> {
    let accounts = Accounts::of(world);
    let policies = world.shelf.of(What::Derived(Kind::AuthorizationPolicy));
    let of_policy = |manifest| {
        let lists: Vec<Listed<'_>> = lists(manifest);
        let principals = lists.iter().filter(|list| list.writes == Writes::Principals);
        let domains = principals.flat_map(|list| foreign(manifest, list, &world.settings.trust_domain));
        let strangers =
            lists.iter().flat_map(|list| nobodies(manifest, list, &accounts, &world.settings.trust_domain));
        domains.chain(strangers).collect::<Vec<_>>()
    };
    policies.flat_map(of_policy).collect()
}

/// Values of other trust domains.
fn foreign(manifest: &Manifest, list: &Listed<'_>, ours: &str) -> Vec<Finding> {
    let foreign = |value: &Value| domain(value).filter(|domain| *domain != ours).map(str::to_owned);
    let all = list.values.iter().all(|value| foreign(value).is_some());
    let foreign =
        list.values.iter().enumerate().filter_map(|(number, value)| Some((number, foreign(value)?)));
    let finding = |(number, domain): (usize, String)| {
        let found = format!("no peer is of the trust domain `{domain}`, as that of the mesh is `{ours}`");
        let remedy =
            format!("write {ours} in its place; if that is not the trust domain, say --trust-domain");
        let verdict = if all { Verdict::problem(found, remedy) } else { Verdict::warning(found, remedy) };
        TRUST_DOMAIN.at(manifest.place(&format!("{}[{number}]", list.path)), verdict, list.effect(all))
    };
    foreign.map(finding).collect()
}

/// Values that are identities of service accounts nobody runs as, where it is known who runs.
fn nobodies(manifest: &Manifest, list: &Listed<'_>, accounts: &Accounts<'_>, ours: &str) -> Vec<Finding> {
    let nobody = |value: &Value| {
        let account = match list.writes {
            Writes::Principals => of_principal(value.as_str()?, ours),
            Writes::Accounts => {
                let text = value.as_str()?;
                Some(text.split_once('/').unwrap_or((&manifest.namespace, text)))
            }
        };
        account.filter(|(namespace, name)| accounts.lacks(namespace, name)).map(owned)
    };
    let all = list.values.iter().all(|value| nobody(value).is_some());
    let strangers = list.values.iter().enumerate().filter_map(|(at, value)| Some((at, nobody(value)?)));
    let finding = |(at, (namespace, name)): (usize, (String, String))| {
        let others = some(accounts.in_namespace(&namespace).map(str::to_owned));
        let verdict = Verdict::warning(
            format!("no pod of namespace {namespace} in these manifests runs as `{name}`"),
            format!("compare it with serviceAccountName of the pods; there they run as {others}"),
        );
        ACCOUNT.at(manifest.place(&format!("{}[{at}]", list.path)), verdict, list.effect(all))
    };
    strangers.map(finding).collect()
}

fn owned((one, other): (&str, &str)) -> (String, String) {
    (one.to_owned(), other.to_owned())
}

impl Listed<'_> {
    /// What comes of values that are nobody's, all of them or not.
    fn effect(&self, all: bool) -> &'static str {
        match (self.excludes, all) {
            (true, true) => "nobody is excluded by this list",
            (false, true) => "nobody is meant by this list, and the rule matches nobody",
            (_, false) => "nobody is meant by it; the others in the list count",
        }
    }
}

/// The lists of identities in a policy.
fn lists(manifest: &Manifest) -> Vec<Listed<'_>> {
    let rules = items(&manifest.value["spec"]["rules"]);
    rules.enumerate().flat_map(|(number, rule)| of_rule(rule, &format!("spec.rules[{number}]"))).collect()
}

fn of_rule<'v>(rule: &'v Value, path: &str) -> Vec<Listed<'v>> {
    let mut lists = Vec::new();
    for (number, from) in items(&rule["from"]).enumerate() {
        let source = &from["source"];
        let path = format!("{path}.from[{number}].source");
        lists.extend(pair(source, &path, Writes::Principals, ["principals", "notPrincipals"]));
        lists.extend(pair(source, &path, Writes::Accounts, ["serviceAccounts", "notServiceAccounts"]));
    }
    let conditions = items(&rule["when"]).enumerate();
    for (number, when) in conditions.filter(|(_, when)| when["key"] == "source.principal") {
        let path = format!("{path}.when[{number}]");
        lists.extend(pair(when, &path, Writes::Principals, ["values", "notValues"]));
    }
    lists
}

fn pair<'v>(
    value: &'v Value,
    path: &str,
    writes: Writes,
    [takes, excludes]: [&str; 2],
) -> impl Iterator<Item = Listed<'v>> {
    let list = |name: &str, excludes| {
        let values = value[name].as_array().map(Vec::as_slice).filter(|values| !values.is_empty())?;
        Some(Listed { path: format!("{path}.{name}"), excludes, writes, values })
    };
    [list(takes, false), list(excludes, true)].into_iter().flatten()
}

/// The trust domain that an identity is of, if it says so in full.
fn domain(value: &Value) -> Option<&str> {
    let text = value.as_str().filter(|text| !text.contains("://"))?;
    let (domain, _) = text.split_once('/')?;
    Some(domain).filter(|domain| !domain.is_empty() && !domain.contains('*'))
}

/// Namespace and service account of an identity in this mesh, if it says both in full.
fn of_principal<'v>(text: &'v str, ours: &str) -> Option<(&'v str, &'v str)> {
    let (domain, rest) = text.split_once("/ns/")?;
    let (namespace, name) = rest.split_once("/sa/")?;
    let whole = !namespace.contains('*') && !name.contains('*');
    ((domain == ours || domain == "*") && whole).then_some((namespace, name))
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
