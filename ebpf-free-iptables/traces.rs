//! Whether anything of ours is in a namespace: for those nobody remembers, such as all pods of a node after a crash.
//!
//! In goes a namespace, and no plan. What was begun and not ended is found as well, whichever step was the last: each part
//! is looked for in itself. Taking it out is for [`Iptables::remove`], which leaves nothing that is found here.

use std::io;

use culvert_sys::netns::Netns;

use crate::binary::Iptables;
use crate::kernel::{self, Ipv6};
use crate::legacy;
use crate::nft;
use crate::policy_route::{Object, PolicyRoutes};
use crate::rule::{Chain, Family, Table};

impl Iptables {
    /// Whether a chain, a policy rule or a route of ours is in the namespace. No process is started, and nothing is
    /// changed.
    ///
    /// Looks at both backends, whichever tools this machine has.
    ///
    /// # Errors
    /// When the namespace could not be read, which says nothing about what it holds.
    pub fn has_traces(&self, netns: &Netns) -> io::Result<bool> {
        Ok(has_routing(netns)? || has_nft_chains(netns)? || has_legacy_chains(netns)?)
    }
}

fn has_routing(netns: &Netns) -> io::Result<bool> {
    let ipv6 = kernel::ipv6(netns)? != Ipv6::Absent;
    let mut routes = PolicyRoutes::open(netns)?;
    for family in Family::BOTH.into_iter().filter(|family| *family == Family::V4 || ipv6) {
        for object in Object::BOTH {
            if routes.has(object, family)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn has_nft_chains(netns: &Netns) -> io::Result<bool> {
    let mut found = false;
    nft::each_chain(netns, |table, chain| found |= is_ours(table, chain))?;
    Ok(found)
}

fn has_legacy_chains(netns: &Netns) -> io::Result<bool> {
    let mut found = false;
    for family in Family::BOTH {
        legacy::each_entry(netns, family, |table, entry| {
            found |= entry.chain().is_some_and(|chain| is_ours(table.as_bytes(), chain));
        })?;
    }
    Ok(found)
}

/// A rule that jumps to a chain cannot be without it, so looking for chains is enough.
fn is_ours(table: &[u8], chain: &[u8]) -> bool {
    let tables = Table::ALL.iter().any(|ours| ours.name().as_bytes() == table);
    tables && Chain::BOTH.iter().any(|ours| ours.name().as_bytes() == chain)
}
