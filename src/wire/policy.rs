//! Policies: message to value and back.
//!
//! Any part that makes no sense makes the policy invalid. To leave it out instead would make an ALLOW broader and a DENY
//! narrower.

use culvert_core::intern::Interner;
use culvert_core::policy::{Action, Clause, Match, Policy, Rule, Scope, ServiceAccountMatch, StringMatch};
use culvert_proto::security as proto;
use ipnet::IpNet;
use proto::string_match::MatchType;

use crate::address::{block, octets, port};
use crate::expect_name;
use crate::invalid::{Fault, Invalid, Problem, Within, each, known};

/// Reads a policy; `name` has to be its key.
pub(crate) fn decode(
    name: &str,
    message: &proto::Authorization,
    interner: &mut Interner,
) -> Result<Policy, Invalid> {
    expect_name(name, &format!("{}/{}", message.namespace, message.name))?;
    let scope = scope(message.scope).within("scope")?;
    if scope == Scope::Namespace && message.namespace.is_empty() {
        return Err(Fault::new("namespace", Problem::EmptyText).into());
    }
    Ok(Policy {
        key: interner.text(name),
        name: interner.text(&message.name),
        namespace: interner.text(&message.namespace),
        scope,
        action: match known(message.action).within("action")? {
            proto::Action::Allow => Action::Allow,
            proto::Action::Deny => Action::Deny,
        },
        rules: each("rules", &message.rules, |it| rule(it, interner))?,
        dry_run: message.dry_run,
        unusable: None,
    })
}

/// Writes a policy. There is no message for one that cannot be understood; what it does is deny everybody.
pub(crate) fn encode(policy: &Policy) -> proto::Authorization {
    let (action, rules) = match policy.unusable {
        Some(_) => (Action::Deny, vec![proto::Rule::default()]),
        None => (policy.action, policy.rules.iter().map(rule_message).collect()),
    };
    let action = match action {
        Action::Allow => proto::Action::Allow,
        Action::Deny => proto::Action::Deny,
    };
    let scope = match policy.scope {
        Scope::Global => proto::Scope::Global,
        Scope::Namespace => proto::Scope::Namespace,
        Scope::WorkloadSelector => proto::Scope::WorkloadSelector,
    };
    proto::Authorization {
        name: policy.name.to_string(),
        namespace: policy.namespace.to_string(),
        scope: scope.into(),
        action: action.into(),
        rules,
        dry_run: policy.dry_run,
    }
}

/// Gives the scope a number stands for.
pub(crate) fn scope(number: i32) -> Result<Scope, Problem> {
    Ok(match known(number)? {
        proto::Scope::Global => Scope::Global,
        proto::Scope::Namespace => Scope::Namespace,
        proto::Scope::WorkloadSelector => Scope::WorkloadSelector,
    })
}

fn rule(message: &proto::Rule, interner: &mut Interner) -> Result<Rule, Fault> {
    Ok(Rule { clauses: each("clauses", &message.clauses, |it| clause(it, interner))? })
}

fn rule_message(rule: &Rule) -> proto::Rule {
    let clause =
        |clause: &Clause| proto::Clause { matches: clause.matches.iter().map(match_message).collect() };
    proto::Rule { clauses: rule.clauses.iter().map(clause).collect() }
}

fn clause(message: &proto::Clause, interner: &mut Interner) -> Result<Clause, Fault> {
    Ok(Clause { matches: each("matches", &message.matches, |it| attributes(it, interner))? })
}

fn attributes(it: &proto::Match, interner: &mut Interner) -> Result<Match, Fault> {
    let mut strings =
        |field, items: &[proto::StringMatch]| each(field, items, |it| string_match(it, interner));
    let namespaces = strings("namespaces", &it.namespaces)?;
    let not_namespaces = strings("not_namespaces", &it.not_namespaces)?;
    let principals = strings("principals", &it.principals)?;
    let not_principals = strings("not_principals", &it.not_principals)?;
    let mut accounts =
        |field, items: &[proto::ServiceAccountMatch]| each(field, items, |it| account(it, interner));
    Ok(Match {
        namespaces,
        not_namespaces,
        principals,
        not_principals,
        service_accounts: accounts("service_accounts", &it.service_accounts)?,
        not_service_accounts: accounts("not_service_accounts", &it.not_service_accounts)?,
        source_ips: blocks("source_ips", &it.source_ips)?,
        not_source_ips: blocks("not_source_ips", &it.not_source_ips)?,
        destination_ips: blocks("destination_ips", &it.destination_ips)?,
        not_destination_ips: blocks("not_destination_ips", &it.not_destination_ips)?,
        destination_ports: ports("destination_ports", &it.destination_ports)?,
        not_destination_ports: ports("not_destination_ports", &it.not_destination_ports)?,
    })
}

fn match_message(it: &Match) -> proto::Match {
    proto::Match {
        namespaces: it.namespaces.iter().map(string_message).collect(),
        not_namespaces: it.not_namespaces.iter().map(string_message).collect(),
        principals: it.principals.iter().map(string_message).collect(),
        not_principals: it.not_principals.iter().map(string_message).collect(),
        source_ips: it.source_ips.iter().map(block_message).collect(),
        not_source_ips: it.not_source_ips.iter().map(block_message).collect(),
        destination_ips: it.destination_ips.iter().map(block_message).collect(),
        not_destination_ips: it.not_destination_ips.iter().map(block_message).collect(),
        destination_ports: it.destination_ports.iter().map(|&port| port.into()).collect(),
        not_destination_ports: it.not_destination_ports.iter().map(|&port| port.into()).collect(),
        service_accounts: it.service_accounts.iter().map(account_message).collect(),
        not_service_accounts: it.not_service_accounts.iter().map(account_message).collect(),
    }
}

/// A condition on a text has to name one: the empty text is what is left of a condition that got lost.
fn string_match(message: &proto::StringMatch, interner: &mut Interner) -> Result<StringMatch, Problem> {
    let mut text = |text: &str| match text {
        "" => Err(Problem::EmptyText),
        text => Ok(interner.text(text)),
    };
    match &message.match_type {
        None => Err(Problem::Missing),
        Some(MatchType::Exact(exact)) => text(exact).map(StringMatch::Exact),
        Some(MatchType::Prefix(prefix)) => text(prefix).map(StringMatch::Prefix),
        Some(MatchType::Suffix(suffix)) => text(suffix).map(StringMatch::Suffix),
        Some(MatchType::Presence(())) => Ok(StringMatch::Presence),
    }
}

fn string_message(condition: &StringMatch) -> proto::StringMatch {
    let match_type = match condition {
        StringMatch::Exact(exact) => MatchType::Exact(exact.to_string()),
        StringMatch::Prefix(prefix) => MatchType::Prefix(prefix.to_string()),
        StringMatch::Suffix(suffix) => MatchType::Suffix(suffix.to_string()),
        StringMatch::Presence => MatchType::Presence(()),
    };
    proto::StringMatch { match_type: Some(match_type) }
}

fn account(
    message: &proto::ServiceAccountMatch,
    interner: &mut Interner,
) -> Result<ServiceAccountMatch, Fault> {
    let mut text = |field, text: &str| match text {
        "" => Err(Fault::new(field, Problem::EmptyText)),
        text => Ok(interner.text(text)),
    };
    Ok(ServiceAccountMatch {
        namespace: text("namespace", &message.namespace)?,
        service_account: text("service_account", &message.service_account)?,
    })
}

fn account_message(account: &ServiceAccountMatch) -> proto::ServiceAccountMatch {
    proto::ServiceAccountMatch {
        namespace: account.namespace.to_string(),
        service_account: account.service_account.to_string(),
    }
}

fn blocks(field: &str, messages: &[proto::Address]) -> Result<Vec<IpNet>, Fault> {
    each(field, messages, network)
}

/// Reads a block. A length of 0 is not told from one that was left out, and would take the block for everything. Who means
/// everything has no bits to write; bits without a length are what is left of a narrower block.
fn network(message: &proto::Address) -> Result<IpNet, Problem> {
    let block = block(&message.address, message.length)?;
    match message.length {
        0 if message.address.iter().any(|octet| *octet != 0) => Err(Problem::NoPrefixLength),
        _ => Ok(block),
    }
}

fn block_message(block: &IpNet) -> proto::Address {
    proto::Address { address: octets(block.addr()), length: block.prefix_len().into() }
}

fn ports(field: &str, numbers: &[u32]) -> Result<Vec<u16>, Fault> {
    each(field, numbers, |&number| port(number))
}
