//! The values conditions are made of: a text in, what peers are compared with out, or why no peer can be meant.
//!
//! A value nobody can have is refused: in a DENY it would protect nothing, and look as if it did.

use std::net::IpAddr;
use std::sync::Arc;

use culvert_core::identity::SpiffeId;
use culvert_core::policy::{ServiceAccountMatch, StringMatch};
use ipnet::IpNet;

use super::super::problem::Clipped;

/// Reads an identity without its scheme, or a part of one with `*`.
pub(super) fn principal(text: &str) -> Result<StringMatch, String> {
    if text.contains("://") {
        let without = text.split_once("://").map_or(text, |(_, rest)| rest);
        return Err(format!(
            "no peer is `{}`: identities are written without scheme; write `{}`",
            Clipped(text),
            Clipped(without)
        ));
    }
    let condition = condition(text)?;
    let possible = match &condition {
        StringMatch::Exact(all) => is_identity(all),
        StringMatch::Prefix(part) | StringMatch::Suffix(part) => part.chars().all(is_of_identities),
        StringMatch::Presence => true,
    };
    if !possible {
        return Err(format!(
            "no peer is `{}`; write <trust domain>/ns/<namespace>/sa/<service account>, or a part of it with `*`",
            Clipped(text)
        ));
    }
    Ok(condition)
}

/// Gives the trust domain a principal has to be of, if it says so.
pub(super) fn trust_domain(principal: &StringMatch) -> Option<&str> {
    match principal {
        StringMatch::Exact(text) | StringMatch::Prefix(text) => {
            text.split_once('/').map(|(domain, _)| domain)
        }
        StringMatch::Suffix(_) | StringMatch::Presence => None,
    }
}

/// Reads the name of a namespace, or a part of one with `*`.
pub(super) fn namespace(text: &str) -> Result<StringMatch, String> {
    let condition = condition(text)?;
    match &condition {
        StringMatch::Exact(part) | StringMatch::Prefix(part) | StringMatch::Suffix(part)
            if !is_name(part, "-") =>
        {
            Err(format!(
                "no namespace is called `{}`; write its name, or a part of it with `*`",
                Clipped(text)
            ))
        }
        StringMatch::Exact(_) | StringMatch::Prefix(_) | StringMatch::Suffix(_) | StringMatch::Presence => {
            Ok(condition)
        }
    }
}

/// Reads a service account, which is in `home` unless it says otherwise.
pub(super) fn account(text: &str, home: &Arc<str>) -> Result<ServiceAccountMatch, String> {
    let (namespace, name) = match text.split_once('/') {
        Some((namespace, name)) => (namespace.into(), name),
        None => (home.clone(), text),
    };
    if !is_name(&namespace, "-") || !is_name(name, "-.") {
        return Err(format!(
            "no service account is called `{}`; write <namespace>/<name>, or the name alone for one of this namespace; \
             there is no `*`",
            Clipped(text)
        ));
    }
    Ok(ServiceAccountMatch { namespace, service_account: name.into() })
}

/// Reads a block of addresses, or a single one. A block of IPv4-mapped addresses is the IPv4 block it stands for, since that is
/// how addresses are compared.
pub(super) fn block(text: &str) -> Result<IpNet, String> {
    let block = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let block = block.map_err(|_| {
        format!(
            "`{}` is no block of addresses; write one as 10.0.0.0/8 or fd00::/64, or an address",
            Clipped(text)
        )
    })?;
    let mapped = match block {
        IpNet::V6(v6) => v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96)),
        IpNet::V4(_) => None,
    };
    let plain = mapped.and_then(|(ip, length)| IpNet::new(ip.into(), length).ok());
    Ok(plain.unwrap_or(block).trunc())
}

/// Reads a port.
pub(in crate::policy) fn port(text: &str) -> Result<u16, String> {
    let port = text.parse().ok().filter(|&port: &u16| port != 0 && port.to_string() == text);
    port.ok_or_else(|| format!("`{}` is no port; write a number from 1 to 65535", Clipped(text)))
}

fn is_identity(principal: &str) -> bool {
    principal.chars().all(is_of_identities) && format!("spiffe://{principal}").parse::<SpiffeId>().is_ok()
}

fn is_of_identities(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._/".contains(c)
}

/// Reads a text: `*` for any, `*` at one end for a part, else all of it.
fn condition(text: &str) -> Result<StringMatch, String> {
    let (condition, part) = match (text.strip_prefix('*'), text.strip_suffix('*')) {
        (Some(""), _) => return Ok(StringMatch::Presence),
        (Some(part), _) => (StringMatch::Suffix(part.into()), part),
        (None, Some(part)) => (StringMatch::Prefix(part.into()), part),
        (None, None) => (StringMatch::Exact(text.into()), text),
    };
    if part.is_empty() {
        return Err("is empty; write a value, or remove it".to_owned());
    }
    if part.contains('*') {
        return Err(format!(
            "`{}` has a `*` where it means nothing; write one at the beginning or at the end",
            Clipped(text)
        ));
    }
    Ok(condition)
}

/// Tells whether a text is made of what names in Kubernetes are made of.
fn is_name(text: &str, also: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || also.contains(c))
}
