//! One policy and whether it matches a peer.
//!
//! A policy is an OR of rules, a rule an AND of clauses, a clause an OR of matches, a match an AND of attributes. What
//! the empty ones mean is uneven and part of the contract:
//!
//! | empty                  | matches    |
//! |------------------------|------------|
//! | policy (no rules)      | nothing    |
//! | rule (no clauses)      | everything |
//! | clause (no matches)    | everything |
//! | match (no attributes)  | nothing    |

use std::sync::Arc;

use ipnet::IpNet;
use serde::Deserialize;

use super::matcher::{ServiceAccountMatch, StringMatch, Subject, lies_in};

/// How identities begin, and principals do not.
const SCHEME: &str = "spiffe://";

/// An authorization policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// What workloads refer to it by, normally `<namespace>/<name>`.
    pub key: Arc<str>,
    /// The name.
    pub name: Arc<str>,
    /// The namespace.
    pub namespace: Arc<str>,
    /// Which workloads it applies to.
    pub scope: Scope,
    /// What a match means.
    pub action: Action,
    /// The conditions; any rule that matches makes the policy match.
    pub rules: Vec<Rule>,
    /// Whether it is evaluated without being enforced.
    pub dry_run: bool,
    /// Why it cannot be understood; then it denies whatever it applies to, as the rules that were meant might have, and
    /// what its own rules say does not count.
    pub unusable: Option<Arc<str>>,
}

/// Which workloads a policy applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum Scope {
    /// All.
    Global,
    /// Those of its namespace.
    Namespace,
    /// Those that refer to it.
    WorkloadSelector,
}

/// What it means that a policy matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum Action {
    /// The peer may come in, and peers that no such policy matches may not.
    Allow,
    /// The peer may not come in.
    Deny,
}

/// Conditions of which all must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule {
    /// The conditions.
    pub clauses: Vec<Clause>,
}

/// Alternatives of which one must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Clause {
    /// The alternatives.
    pub matches: Vec<Match>,
}

/// Attributes of which all must hold: one of the values if there are any, and none of the `not_` values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Match {
    /// The namespace of the peer.
    pub namespaces: Vec<StringMatch>,
    /// The namespaces it must not be in.
    pub not_namespaces: Vec<StringMatch>,
    /// The service account of the peer.
    pub service_accounts: Vec<ServiceAccountMatch>,
    /// The service accounts it must not be.
    pub not_service_accounts: Vec<ServiceAccountMatch>,
    /// The identity of the peer, without `spiffe://`.
    pub principals: Vec<StringMatch>,
    /// The identities it must not be.
    pub not_principals: Vec<StringMatch>,
    /// Where the peer calls from.
    pub source_ips: Vec<IpNet>,
    /// Where it must not call from.
    pub not_source_ips: Vec<IpNet>,
    /// The address it calls.
    pub destination_ips: Vec<IpNet>,
    /// The addresses it must not call.
    pub not_destination_ips: Vec<IpNet>,
    /// The port it calls.
    pub destination_ports: Vec<u16>,
    /// The ports it must not call.
    pub not_destination_ports: Vec<u16>,
}

impl Policy {
    /// Gives the policy that stands in for one that cannot be understood.
    #[must_use]
    pub fn unusable(key: Arc<str>, namespace: Arc<str>, scope: Scope, reason: Arc<str>) -> Self {
        let name = key.rsplit('/').next().unwrap_or_default().into();
        let (action, rules) = (Action::Deny, Vec::new());
        Self { key, name, namespace, scope, action, rules, dry_run: false, unusable: Some(reason) }
    }

    /// Gives a principal that no peer can be, because it is written with its scheme.
    #[must_use]
    pub fn principal_with_scheme(&self) -> Option<&str> {
        let matches = self.rules.iter().flat_map(|rule| &rule.clauses).flat_map(|clause| &clause.matches);
        let mut principals = matches.flat_map(|it| it.principals.iter().chain(&it.not_principals));
        principals.find_map(|principal| match principal {
            StringMatch::Exact(text) | StringMatch::Prefix(text) => {
                text.starts_with(SCHEME).then_some(&**text)
            }
            StringMatch::Suffix(_) | StringMatch::Presence => None,
        })
    }

    pub(super) fn matches(&self, subject: &Subject<'_>) -> bool {
        self.unusable.is_none() && self.rules.iter().any(|rule| rule.matches(subject))
    }
}

impl Rule {
    fn matches(&self, subject: &Subject<'_>) -> bool {
        self.clauses.iter().all(|clause| clause.matches(subject))
    }
}

impl Clause {
    fn matches(&self, subject: &Subject<'_>) -> bool {
        self.matches.is_empty() || self.matches.iter().any(|m| m.matches(subject))
    }
}

impl Match {
    fn matches(&self, subject: &Subject<'_>) -> bool {
        let namespace = |m: &StringMatch| m.matches(subject.namespace());
        let account = |m: &ServiceAccountMatch| subject.identity.is_some_and(|id| m.matches(id));
        let principal = |m: &StringMatch| subject.identity.is_some_and(|id| m.matches(id.principal()));
        let source = |block: &IpNet| lies_in(block, subject.source);
        let destination = |block: &IpNet| lies_in(block, subject.destination);
        let port = |&port: &u16| port == subject.port;
        !self.is_empty()
            && hits(&self.destination_ips, &self.not_destination_ips, destination)
            && hits(&self.source_ips, &self.not_source_ips, source)
            && hits(&self.destination_ports, &self.not_destination_ports, port)
            && hits(&self.service_accounts, &self.not_service_accounts, account)
            && hits(&self.principals, &self.not_principals, principal)
            && hits(&self.namespaces, &self.not_namespaces, namespace)
    }

    fn is_empty(&self) -> bool {
        let Self {
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
        } = self;
        namespaces.is_empty()
            && not_namespaces.is_empty()
            && service_accounts.is_empty()
            && not_service_accounts.is_empty()
            && principals.is_empty()
            && not_principals.is_empty()
            && source_ips.is_empty()
            && not_source_ips.is_empty()
            && destination_ips.is_empty()
            && not_destination_ips.is_empty()
            && destination_ports.is_empty()
            && not_destination_ports.is_empty()
    }
}

/// Tells whether one of `wanted` holds (or there is none) and none of `unwanted` does.
fn hits<T>(wanted: &[T], unwanted: &[T], holds: impl Fn(&T) -> bool) -> bool {
    (wanted.is_empty() || wanted.iter().any(&holds)) && !unwanted.iter().any(&holds)
}
