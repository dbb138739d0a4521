//! A policy, as tools expect it in `/config_dump`.

use std::sync::Arc;

use culvert_core::policy::{Action, Match, Policy, Scope, ServiceAccountMatch, StringMatch};
use ipnet::IpNet;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// A policy: rules, clauses and matches are lists in lists.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::admin) struct PolicyView<'a> {
    name: &'a str,
    namespace: &'a str,
    scope: &'static str,
    action: &'static str,
    dry_run: bool,
    rules: Vec<Vec<Vec<Value>>>,
    /// Why it cannot be understood, and denies all it governs.
    #[serde(skip_serializing_if = "Option::is_none")]
    unusable: Option<&'a str>,
}

impl<'a> From<&'a Policy> for PolicyView<'a> {
    fn from(policy: &'a Policy) -> Self {
        let rules = policy.rules.iter().map(|rule| {
            rule.clauses.iter().map(|clause| clause.matches.iter().map(shown).collect()).collect()
        });
        Self {
            name: &policy.name,
            namespace: &policy.namespace,
            scope: match policy.scope {
                Scope::Global => "Global",
                Scope::Namespace => "Namespace",
                Scope::WorkloadSelector => "WorkloadSelector",
            },
            action: match policy.action {
                Action::Allow => "Allow",
                Action::Deny => "Deny",
            },
            dry_run: policy.dry_run,
            rules: rules.collect(),
            unusable: policy.unusable.as_deref(),
        }
    }
}

/// The attributes of a match, without those that say nothing.
fn shown(it: &Match) -> Value {
    let Match {
        namespaces,
        not_namespaces,
        service_accounts,
        not_service_accounts,
        principals,
        not_principals,
        source_ips,
        not_source_ips,
        destination_ips,
        not_destination_ips,
        destination_ports,
        not_destination_ports,
    } = it;
    let lists = [
        ("namespaces", texts(namespaces)),
        ("notNamespaces", texts(not_namespaces)),
        ("serviceAccounts", accounts(service_accounts)),
        ("notServiceAccounts", accounts(not_service_accounts)),
        ("principals", texts(principals)),
        ("notPrincipals", texts(not_principals)),
        ("sourceIps", blocks(source_ips)),
        ("notSourceIps", blocks(not_source_ips)),
        ("destinationIps", blocks(destination_ips)),
        ("notDestinationIps", blocks(not_destination_ips)),
        ("destinationPorts", ports(destination_ports)),
        ("notDestinationPorts", ports(not_destination_ports)),
    ];
    let said = lists.into_iter().filter(|(_, values)| !values.is_empty());
    Value::Object(said.map(|(name, values)| (name.to_owned(), Value::Array(values))).collect::<Map<_, _>>())
}

fn texts(matches: &[StringMatch]) -> Vec<Value> {
    let text = |it: &StringMatch| match it {
        StringMatch::Exact(text) => json!({ "Exact": text as &Arc<str> }),
        StringMatch::Prefix(text) => json!({ "Prefix": text as &Arc<str> }),
        StringMatch::Suffix(text) => json!({ "Suffix": text as &Arc<str> }),
        StringMatch::Presence => json!({ "Presence": [] }),
    };
    matches.iter().map(text).collect()
}

fn accounts(matches: &[ServiceAccountMatch]) -> Vec<Value> {
    let account =
        |it: &ServiceAccountMatch| json!({ "namespace": it.namespace, "serviceAccount": it.service_account });
    matches.iter().map(account).collect()
}

fn blocks(blocks: &[IpNet]) -> Vec<Value> {
    blocks.iter().map(|block| Value::from(block.to_string())).collect()
}

fn ports(ports: &[u16]) -> Vec<Value> {
    ports.iter().copied().map(Value::from).collect()
}
