//! Whether a namespace is as it was when it was last verified, for a fraction of what verifying costs.
//!
//! In goes a namespace; out comes a [`Fingerprint`], made without starting a process. What is there is not judged: another
//! fingerprint is a reason to verify, and the same one a reason not to.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash as _, Hasher};
use std::io;
use std::sync::LazyLock;

use culvert_sys::netns::Netns;
use netlink_packet_core::NLM_F_DUMP;

use crate::binary::Iptables;
use crate::kernel;
use crate::legacy;
use crate::netlink::{Netlink, Question, consistently};
use crate::nft;
use crate::plan::ROUTE_TABLE;
use crate::rule::Family;

/// What a namespace was like at a moment. Two of the same namespace that are equal mean that all that
/// [`Iptables::verify`] looks at is the same: packet rules of both backends, policy rules, the routes of the routing
/// table, and how far IPv6 works. It is of use within this process only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// The kernel counts changes of `nf_tables` rules, whoever makes them.
    generation: Option<u32>,
    /// Of everything else.
    content: u64,
}

impl Iptables {
    /// Takes the namespace's fingerprint. Changes nothing, and makes no legacy tables where there are none.
    ///
    /// Take it before you verify: what changes in between then is another fingerprint the next time.
    ///
    /// # Errors
    /// When the namespace could not be read.
    pub fn fingerprint(&self, netns: &Netns) -> io::Result<Fingerprint> {
        let generation = nft::generation(netns)?;
        // Keyed, so that nobody can prepare rules with the fingerprint of others.
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        let content = consistently(|| {
            let mut content = KEY.build_hasher();
            self.hash_limits(netns, &mut content)?;
            for family in Family::BOTH {
                hash_legacy(netns, family, &mut content)?;
            }
            hash_routing(netns, &mut content)?;
            Ok(content.finish())
        })?;
        Ok(Fingerprint { generation, content })
    }

    /// What else decides what has to be there.
    fn hash_limits(&self, netns: &Netns, content: &mut impl Hasher) -> io::Result<()> {
        kernel::ipv6(netns)?.hash(content);
        if self.toolset(Family::V6).is_err() {
            kernel::has_ipv6_address(netns)?.hash(content);
        }
        Ok(())
    }
}

fn hash_legacy(netns: &Netns, family: Family, content: &mut impl Hasher) -> io::Result<()> {
    legacy::each_entry(netns, family, |table, entry| {
        table.hash(content);
        entry.content().hash(content);
    })?;
    family.hash(content);
    Ok(())
}

// linux/rtnetlink.h
const GET_ROUTE: u16 = 26;
const GET_RULE: u16 = 34;
const IPV4: u8 = 2;
const IPV6: u8 = 10;
/// Length of `struct rtmsg` and of `struct fib_rule_hdr`, and where both have the number of the routing table.
const HEADER: usize = 12;
const TABLE: usize = 4;

fn hash_routing(netns: &Netns, content: &mut impl Hasher) -> io::Result<()> {
    let mut netlink = Netlink::routing(netns)?;
    netlink.filter_strictly();
    for family in [IPV4, IPV6] {
        let mut body = [0; HEADER];
        body[0] = family;
        list(&mut netlink, GET_RULE, body, |rule| rule.hash(content))?;
        body[TABLE] = ROUTE_TABLE;
        list(&mut netlink, GET_ROUTE, body, |route| {
            if route.get(TABLE) == Some(&ROUTE_TABLE) {
                route.hash(content);
            }
        })?;
    }
    Ok(())
}

/// An IP version or a table that is not there is a list without content.
fn list(netlink: &mut Netlink, kind: u16, body: [u8; HEADER], mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let listed = netlink.ask(Question { kind, flags: NLM_F_DUMP, body: &body }, |answer| each(answer.body));
    let absent = [nix::errno::Errno::ENOENT, nix::errno::Errno::EAFNOSUPPORT, nix::errno::Errno::EOPNOTSUPP];
    match listed {
        Err(error) if absent.iter().any(|errno| error.raw_os_error() == Some(*errno as i32)) => Ok(()),
        other => other,
    }
}
