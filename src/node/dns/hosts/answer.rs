//! What the answer to a question for addresses says.
//!
//! In goes an answer; out come addresses, with how long they hold. Only what belongs to the question is taken: the records of
//! the name, and of what it is an alias of.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record};

use super::{Error, Found};
use crate::dns::cache::seconds;

/// Aliases that are followed one after the other.
const MOST_ALIASES: usize = 16;
/// Addresses that are taken of an answer; a connection tries a few.
const MOST_ADDRESSES: usize = 64;

/// What is said of a host in one family.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// None when it has none of that family.
    pub(super) addresses: Vec<IpAddr>,
    /// Whether there is a host of that name at all.
    pub(super) exists: bool,
    /// For how many seconds that holds, as far as it is said.
    pub(super) life: Option<u32>,
}

/// Reads an answer to a question about `name`; the code, when it says nothing about the name.
pub(super) fn read(answer: &Message, name: &Name) -> Result<Told, ResponseCode> {
    let code = answer.metadata.response_code;
    let exists = code == ResponseCode::NoError;
    if !exists && code != ResponseCode::NXDomain {
        return Err(code);
    }
    let mut life: Option<u32> = None;
    let mut shorten = |ttl: u32| life = Some(life.map_or(ttl, |life| life.min(ttl)));
    let mut owner = name;
    let mut addresses = Vec::new();
    for _ in 0..=MOST_ALIASES {
        let mut alias = None;
        for record in answer.answers.iter().filter(|record| record.name.eq_ignore_root(owner)) {
            if let RData::CNAME(target) = &record.data {
                alias = Some(&target.0);
            } else if let Some(address) = record.data.ip_addr() {
                addresses.push(address);
            } else {
                continue;
            }
            shorten(seconds(record.ttl));
        }
        match alias.filter(|_| addresses.is_empty()) {
            Some(alias) => owner = alias,
            None => break,
        }
    }
    if addresses.is_empty() {
        answer.authorities.iter().filter_map(denial).for_each(shorten);
    }
    addresses.truncate(MOST_ADDRESSES);
    Ok(Told { addresses, exists, life })
}

/// How long it holds that there is nothing (RFC 2308 §5).
fn denial(record: &Record) -> Option<u32> {
    let RData::SOA(soa) = &record.data else { return None };
    Some(seconds(record.ttl).min(seconds(soa.minimum)))
}

/// Gives those addresses another host can have, each once; an error when there are none of them.
pub(super) fn usable(name: &Arc<str>, addresses: Vec<IpAddr>) -> Found {
    let (mut usable, mut refused) = (Vec::with_capacity(addresses.len()), None);
    for address in addresses.into_iter().map(|address| address.to_canonical()) {
        if !is_usable(address) {
            refused = Some(address);
        } else if !usable.contains(&address) {
            usable.push(address);
        }
    }
    match refused {
        _ if !usable.is_empty() => Ok(usable.into()),
        Some(address) => Err(Error::Unusable { name: Arc::clone(name), address }),
        None => Err(Error::NoAddresses { name: Arc::clone(name) }),
    }
}

/// Whether a connection to the address can go to another host.
fn is_usable(address: IpAddr) -> bool {
    match address {
        // What begins with 0 is this host (RFC 1122 §3.2.1.3), and Linux takes it for the loopback address.
        IpAddr::V4(ip) => {
            ip.octets()[0] != 0 && !ip.is_loopback() && !ip.is_multicast() && ip != Ipv4Addr::BROADCAST
        }
        // Link-local addresses lead nowhere without an interface, and names do not have one.
        IpAddr::V6(ip) => !is_v4_compatible(ip) && !ip.is_multicast() && !ip.is_unicast_link_local(),
    }
}

/// `::`, `::1` and what is like them: an IPv4 address behind zeros, which nothing uses any more (RFC 4291 §2.5.5.1).
fn is_v4_compatible(ip: Ipv6Addr) -> bool {
    ip.segments()[..6] == [0; 6]
}

#[cfg(test)]
mod tests;
