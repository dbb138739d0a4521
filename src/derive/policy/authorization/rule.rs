//! One rule of an authorization policy.
//!
//! A rule is an AND of `from`, `to` and each condition of `when`; the entries of `from` are alternatives, and so are those of `to`;
//! in an entry all attributes have to hold.

use std::sync::Arc;

use culvert_core::policy::{Clause, Match, Rule};

use super::super::place::Place;
use super::super::problem::{Clipped, Problems};
use super::value::{account, block, namespace, port, principal};

/// What only an HTTP proxy knows.
const ONLY_HTTP: &str = "only an HTTP proxy can judge by this, and nodes see addresses, ports and identities; \
     attach the policy to a waypoint with targetRefs, or remove this";

/// What conditions can be about.
const KEYS: &str = "source.ip, source.namespace, source.principal, destination.ip, destination.port";

/// Reads a rule of a policy in the namespace `home`.
pub(super) fn rule(place: &Place<'_>, home: &Arc<str>, problems: &mut Problems) -> Rule {
    let mut clauses = Vec::new();
    for field in place.fields(problems) {
        match field.name() {
            "from" => clauses
                .push(alternatives(&field, "source", problems, |it, problems| source(it, home, problems))),
            "to" => clauses.push(alternatives(&field, "operation", problems, operation)),
            "when" => {
                let conditions = field.items(problems);
                let clause = |it| Clause { matches: vec![condition(it, problems)] };
                clauses.extend(conditions.iter().map(clause));
            }
            _ => field.is_unknown(problems),
        }
    }
    Rule { clauses }
}

/// Reads a list of objects that have one field each.
fn alternatives(
    list: &Place<'_>,
    only: &str,
    problems: &mut Problems,
    read: impl Fn(&Place<'_>, &mut Problems) -> Match,
) -> Clause {
    let mut matches = Vec::new();
    for entry in list.items(problems) {
        for field in entry.some_fields(problems) {
            match field.name() {
                name if name == only => matches.push(read(&field, problems)),
                _ => field.is_unknown(problems),
            }
        }
    }
    Clause { matches }
}

fn source(place: &Place<'_>, home: &Arc<str>, problems: &mut Problems) -> Match {
    let account = |text: &str| account(text, home);
    let mut found = Match::default();
    for field in place.some_fields(problems) {
        match field.name() {
            "principals" => found.principals = field.texts(problems, principal),
            "notPrincipals" => found.not_principals = field.texts(problems, principal),
            "namespaces" => found.namespaces = field.texts(problems, namespace),
            "notNamespaces" => found.not_namespaces = field.texts(problems, namespace),
            "serviceAccounts" => found.service_accounts = field.texts(problems, account),
            "notServiceAccounts" => found.not_service_accounts = field.texts(problems, account),
            "ipBlocks" => found.source_ips = field.texts(problems, block),
            "notIpBlocks" => found.not_source_ips = field.texts(problems, block),
            "requestPrincipals" | "notRequestPrincipals" | "remoteIpBlocks" | "notRemoteIpBlocks" => {
                problems.unsupported(field.path(), ONLY_HTTP);
            }
            _ => field.is_unknown(problems),
        }
    }
    found
}

fn operation(place: &Place<'_>, problems: &mut Problems) -> Match {
    let mut found = Match::default();
    for field in place.some_fields(problems) {
        match field.name() {
            "ports" => found.destination_ports = field.texts(problems, port),
            "notPorts" => found.not_destination_ports = field.texts(problems, port),
            "hosts" | "notHosts" | "methods" | "notMethods" | "paths" | "notPaths" => {
                problems.unsupported(field.path(), ONLY_HTTP);
            }
            _ => field.is_unknown(problems),
        }
    }
    found
}

/// Reads one condition of `when`.
fn condition(place: &Place<'_>, problems: &mut Problems) -> Match {
    for field in place.fields(problems) {
        if !["key", "values", "notValues"].contains(&field.name()) {
            field.is_unknown(problems);
        }
    }
    let (values, others) = (place.field("values"), place.field("notValues"));
    if values.is_none() && others.is_none() {
        problems.invalid(place.path(), "has neither values nor notValues; write one of them");
    }
    let Some(key) = place.field("key") else {
        problems.invalid(place.path(), format!("has no key; write one of {KEYS}"));
        return Match::default();
    };
    let mut found = Match::default();
    let mut lists = Lists { values, others, problems };
    match key.text(lists.problems) {
        Some("source.ip") => (found.source_ips, found.not_source_ips) = lists.read(block),
        Some("source.namespace") => (found.namespaces, found.not_namespaces) = lists.read(namespace),
        Some("source.principal") => (found.principals, found.not_principals) = lists.read(principal),
        Some("destination.ip") => (found.destination_ips, found.not_destination_ips) = lists.read(block),
        Some("destination.port") => (found.destination_ports, found.not_destination_ports) = lists.read(port),
        Some(other) => {
            let text = format!("nodes cannot judge by `{}`; they can by {KEYS}", Clipped(other));
            problems.unsupported(key.path(), text);
        }
        None => {}
    }
    found
}

/// The values of a condition, and those that must not be.
struct Lists<'a> {
    values: Option<Place<'a>>,
    others: Option<Place<'a>>,
    problems: &'a mut Problems,
}

impl Lists<'_> {
    fn read<T>(&mut self, read: impl Fn(&str) -> Result<T, String>) -> (Vec<T>, Vec<T>) {
        let mut list = |of: &Option<Place<'_>>| match of {
            Some(list) => list.texts(self.problems, &read),
            None => Vec::new(),
        };
        (list(&self.values), list(&self.others))
    }
}
