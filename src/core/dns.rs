//! What the mesh says about a name, in the terms of DNS: a pure answer from a snapshot; nothing here waits.
//!
//! Goes in: the snapshot, the workload that asks, the name and the kind of record it wants. Comes out: records, or that the
//! name is ours and has none of that kind, or that others are to be asked. Deliberately absent: messages, sockets, and
//! asking others.
//!
//! ```text
//! Question ─▶ names: what may be meant ─▶ lookup: who has such a name ─▶ records: what there is to say about it
//!                      └─▶ lacks: whom a snapshot that is not complete may lack
//! ```
//!
//! # Where others know better
//!
//! - **Service bindings** (RFC 9460) are like addresses: they have addresses in them, and other names to go to. Those the world
//!   publishes would lead around the address that is given here, so a name that is ours has none.
//! - **Other kinds of records** are always for others to give. A service entry for `example.com` gives that name an address
//!   in the mesh, and its owner goes on publishing the text, mail and service records clients need; nothing in the mesh tells
//!   such a name from one that exists only here. What must not come of it is "no such name" for a name that has an address:
//!   who hears that from upstream asks here for [`Kind::A`], and says "no such record" unless that is [`Answer::NotOurs`].
//! - **`_port._protocol` names**: the mesh knows numbers of ports and not their names, and some clients take the mere
//!   existence of such a name for an offer. The cluster's DNS knows them.
//! - **A service without an address on the client's network** might as well not exist: one address that leads nowhere, or
//!   none, is worse than what the cluster's DNS or the world says.

use std::net::IpAddr;
use std::sync::Arc;

use crate::snapshot::Snapshot;
use crate::workload::Workload;

use lookup::Asker;

mod lacks;
mod lookup;
mod names;
mod records;

pub use lacks::MOST_LACKING;

/// Seconds a record may be kept.
pub const TTL: u32 = 30;

/// What answers depend on besides the mesh.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The domain of the cluster, in lower case and without the trailing dot.
    pub cluster_domain: Arc<str>,
    /// Whether IPv6 addresses are given out.
    pub ipv6: bool,
    /// The namespace whose service is meant when several have one name, the client's own has none of them, and none is
    /// canonical.
    pub preferred_namespace: Option<Arc<str>>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// The places of a service: names and ports.
    Srv,
    /// How to reach a name besides its addresses (SVCB, HTTPS).
    Binding,
    /// Anything else.
    Other,
}

/// A question.
#[derive(Debug, Clone, Copy)]
pub struct Question<'q> {
    /// The name in lower case, labels joined by dots, without the trailing dot.
    pub name: &'q str,
    /// What is asked for.
    pub kind: Kind,
}

/// What there is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Records: at most one alias, ahead of those of the kind asked for, of which there is at least one.
    Records(Vec<Record>),
    /// The name is ours and has no such record.
    Nothing,
    /// Others know better: ask upstream.
    NotOurs,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The name it is about, in the form of [`Question::name`].
    pub owner: String,
    /// What it says.
    pub data: Data,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// The owner is another name for this one.
    Cname(String),
    /// The owner has this address.
    Address(IpAddr),
    /// The owner, a service, is to be had there.
    Service {
        /// Lower ones are tried first.
        priority: u16,
        /// The share among those of one priority.
        weight: u16,
        /// The port.
        port: u16,
        /// The name of the host.
        target: String,
    },
}

/// Answers a question of `client`. `entropy` decides the order of the records.
///
/// A name that was found only without the search domain at its end is an alias of the full name it was found by.
#[must_use]
pub fn answer(
    snapshot: &Snapshot,
    client: &Workload,
    settings: &Settings,
    question: Question<'_>,
    entropy: u64,
) -> Answer {
    if question.kind == Kind::Other {
        return Answer::NotOurs;
    }
    let asker = Asker { client, settings };
    let Some(found) = lookup::find(snapshot, asker, question.name) else { return Answer::NotOurs };
    let Some(mut data) = records::of_kind(question.kind, asker, &found) else { return Answer::NotOurs };
    if data.is_empty() {
        return Answer::Nothing;
    }
    shuffle(&mut data, entropy);
    let (alias, owner) = if found.stripped {
        let alias = Record { owner: question.name.to_owned(), data: Data::Cname(found.name.clone()) };
        (Some(alias), &*found.name)
    } else {
        (None, question.name)
    };
    let records = data.into_iter().map(|data| Record { owner: owner.to_owned(), data });
    Answer::Records(alias.into_iter().chain(records).collect())
}

/// Gives the names of the resources that could change the answer and that the snapshot lacks, at most [`MOST_LACKING`]: what to
/// ask a control plane for that tells only what it is asked for. The most literal come first.
///
/// A service of the cluster is `<namespace>/<hostname>` by its own namespace. Other hosts are looked for from the namespace of the
/// client: a control plane that knows such a host in another namespace alone is expected to say so, or that there is none.
#[must_use]
pub fn lacking(
    snapshot: &Snapshot,
    client: &Workload,
    settings: &Settings,
    question: Question<'_>,
) -> Vec<Arc<str>> {
    if question.kind == Kind::Other {
        return Vec::new();
    }
    lacks::lacking(snapshot, Asker { client, settings }, question.name)
}

/// Gives each order of `items` the same chance.
fn shuffle<T>(items: &mut [T], entropy: u64) {
    let mut state = entropy;
    for last in 1..items.len() {
        let drawn = next(&mut state) % (last as u64 + 1);
        items.swap(last, drawn as usize);
    }
}

/// Draws a number from a sequence that looks random whatever it starts with (splitmix64).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests;
