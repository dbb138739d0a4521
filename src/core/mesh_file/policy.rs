//! A policy as it is written.

use ipnet::IpNet;
use serde::Deserialize;

use crate::intern::Interner;
use crate::policy::{Action, Clause, Match, Policy, Rule, Scope, ServiceAccountMatch, StringMatch};

use super::list::List;
use super::value::{Block, Condition, Port, Principal, Text};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Entry {
    name: Text,
    namespace: String,
    scope: Scope,
    action: Action,
    /// Rules, each a list of clauses, each a list of matches.
    rules: List<List<List<Option<MatchEntry>>>>,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MatchEntry {
    #[serde(default)]
    namespaces: List<Condition<Text>>,
    #[serde(default)]
    not_namespaces: List<Condition<Text>>,
    #[serde(default)]
    service_accounts: List<Account>,
    #[serde(default)]
    not_service_accounts: List<Account>,
    #[serde(default)]
    principals: List<Condition<Principal>>,
    #[serde(default)]
    not_principals: List<Condition<Principal>>,
    #[serde(default)]
    source_ips: List<Block>,
    #[serde(default)]
    not_source_ips: List<Block>,
    #[serde(default)]
    destination_ips: List<Block>,
    #[serde(default)]
    not_destination_ips: List<Block>,
    #[serde(default)]
    destination_ports: List<Port>,
    #[serde(default)]
    not_destination_ports: List<Port>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Account {
    namespace: Text,
    service_account: Text,
}

impl Entry {
    /// Gives the policy, or what is wrong with it as a whole.
    pub(super) fn into_policy(self, names: &mut Interner) -> Result<Policy, String> {
        let Text(name) = self.name;
        if self.namespace.is_empty() && self.scope != Scope::Global {
            return Err(format!("policy `{name}` has no namespace, so it would apply to nothing; add one"));
        }
        let Some(rules) = rules(self.rules) else {
            return Err(format!(
                "policy `{name}` has a match without content; write it, or `{{}}` for one that never hits"
            ));
        };
        Ok(Policy {
            key: format!("{}/{name}", self.namespace).into(),
            name: name.into(),
            namespace: names.text(&self.namespace),
            scope: self.scope,
            action: self.action,
            rules,
            dry_run: self.dry_run,
            unusable: None,
        })
    }
}

impl From<MatchEntry> for Match {
    fn from(entry: MatchEntry) -> Self {
        Self {
            namespaces: strings(entry.namespaces),
            not_namespaces: strings(entry.not_namespaces),
            service_accounts: accounts(entry.service_accounts),
            not_service_accounts: accounts(entry.not_service_accounts),
            principals: strings(entry.principals),
            not_principals: strings(entry.not_principals),
            source_ips: blocks(entry.source_ips),
            not_source_ips: blocks(entry.not_source_ips),
            destination_ips: blocks(entry.destination_ips),
            not_destination_ips: blocks(entry.not_destination_ips),
            destination_ports: ports(entry.destination_ports),
            not_destination_ports: ports(entry.not_destination_ports),
        }
    }
}

/// Gives the rules, unless one of their matches is missing.
fn rules(rules: List<List<List<Option<MatchEntry>>>>) -> Option<Vec<Rule>> {
    let clause = |matches: List<Option<MatchEntry>>| {
        let matches: Option<Vec<Match>> = matches.0.into_iter().map(|entry| entry.map(Match::from)).collect();
        matches.map(|matches| Clause { matches })
    };
    let rule = |clauses: List<_>| {
        let clauses: Option<Vec<Clause>> = clauses.0.into_iter().map(clause).collect();
        clauses.map(|clauses| Rule { clauses })
    };
    rules.0.into_iter().map(rule).collect()
}

fn strings<T>(conditions: List<Condition<T>>) -> Vec<StringMatch>
where
    StringMatch: From<Condition<T>>,
{
    conditions.map(StringMatch::from)
}

fn accounts(accounts: List<Account>) -> Vec<ServiceAccountMatch> {
    accounts.map(|it| ServiceAccountMatch {
        namespace: it.namespace.0.into(),
        service_account: it.service_account.0.into(),
    })
}

fn blocks(blocks: List<Block>) -> Vec<IpNet> {
    blocks.map(|block| block.0)
}

fn ports(ports: List<Port>) -> Vec<u16> {
    ports.map(|port| port.0)
}
