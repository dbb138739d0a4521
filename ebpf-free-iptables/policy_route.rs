//! The policy rule and the route that bring the application's replies back to the proxy.
//!
//! A reply goes to the client's address, which is not the pod's: without help it would leave the pod. Packets marked
//! [`RETURN_MARK`] are looked up in [`ROUTE_TABLE`], where every address is local. In goes a namespace and an IP
//! version; each object is looked at, added and removed for itself, so that one that exists never hides one that is
//! missing.

use std::io;

use culvert_sys::netns::Netns;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleHeader, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;

use crate::netlink::{Netlink, consistently};
use crate::plan::{MARK_MASK, RETURN_MARK, ROUTE_TABLE, RULE_PRIORITY};
use crate::rule::Family;

/// `lo` is the first interface of every namespace (`LOOPBACK_IFINDEX` in the kernel).
const LOOPBACK: u32 = 1;
/// How often an object is deleted before somebody else must be making it again.
const MOST_COPIES: usize = 16;

/// One of the two objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    /// The rule that leads to the routing table.
    Rule,
    /// The route in it.
    Route,
}

impl Object {
    pub(crate) const BOTH: [Self; 2] = [Self::Rule, Self::Route];
}

impl std::fmt::Display for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Rule => "policy rule",
            Self::Route => "local default route",
        })
    }
}

/// The policy routing of one namespace.
#[derive(Debug)]
pub(crate) struct PolicyRoutes {
    netlink: Netlink,
}

impl PolicyRoutes {
    pub(crate) fn open(netns: &Netns) -> io::Result<Self> {
        Ok(Self { netlink: Netlink::routing(netns)? })
    }

    /// Whether the object is there.
    pub(crate) fn has(&mut self, object: Object, family: Family) -> io::Result<bool> {
        let all = match object {
            Object::Rule => RouteNetlinkMessage::GetRule(empty_rule(family)),
            Object::Route => RouteNetlinkMessage::GetRoute(empty_route(family)),
        };
        consistently(|| {
            let mut found = false;
            self.netlink.request(&all, NLM_F_DUMP, |answer| found |= is_ours(&answer, family))?;
            Ok(found)
        })
    }

    /// Makes the object; it is fine if it is there.
    pub(crate) fn add(&mut self, object: Object, family: Family) -> io::Result<()> {
        let (message, flags) = match object {
            Object::Rule => (RouteNetlinkMessage::NewRule(rule(family)), NLM_F_CREATE | NLM_F_EXCL),
            Object::Route => (RouteNetlinkMessage::NewRoute(route(family)), NLM_F_CREATE | NLM_F_REPLACE),
        };
        tolerating(&[Errno::EEXIST], self.netlink.change(&message, flags))
    }

    /// Deletes the object, and copies of it that differ only in who made them; it is fine if there is none.
    pub(crate) fn remove(&mut self, object: Object, family: Family) -> io::Result<()> {
        for _ in 0..MOST_COPIES {
            if !self.has(object, family)? {
                return Ok(());
            }
            let message = match object {
                Object::Rule => RouteNetlinkMessage::DelRule(rule(family)),
                Object::Route => RouteNetlinkMessage::DelRoute(any_such_route(family)),
            };
            tolerating(&[Errno::ENOENT, Errno::ESRCH], self.netlink.change(&message, 0))?;
        }
        Err(io::Error::other("it is still there after it was deleted, somebody else keeps making it"))
    }
}

fn tolerating(harmless: &[Errno], result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if harmless.iter().any(|errno| error.raw_os_error() == Some(*errno as i32)) => Ok(()),
        other => other,
    }
}

fn is_ours(answer: &RouteNetlinkMessage, family: Family) -> bool {
    if let RouteNetlinkMessage::NewRule(found) = answer {
        return is_our_rule(found, family);
    }
    if let RouteNetlinkMessage::NewRoute(found) = answer {
        return is_our_route(found, family);
    }
    false
}

/// Everything we ask for is there, and nothing that narrows it.
fn is_our_rule(found: &RuleMessage, family: Family) -> bool {
    let wanted = rule(family);
    let extra = |attribute: &RuleAttribute| {
        !wanted.attributes.contains(attribute)
            && !matches!(attribute, RuleAttribute::Protocol(_) | RuleAttribute::SuppressPrefixLen(u32::MAX))
    };
    found.header == wanted.header
        && wanted.attributes.iter().all(|attribute| found.attributes.contains(attribute))
        && !found.attributes.iter().any(extra)
}

fn is_our_route(found: &RouteMessage, family: Family) -> bool {
    let (header, wanted) = (&found.header, route(family).header);
    header.address_family == wanted.address_family
        && header.kind == wanted.kind
        && header.destination_prefix_length == 0
        && header.source_prefix_length == 0
        && found.attributes.contains(&RouteAttribute::Table(ROUTE_TABLE.into()))
        && found.attributes.contains(&RouteAttribute::Oif(LOOPBACK))
}

fn rule(family: Family) -> RuleMessage {
    let mut message = empty_rule(family);
    message.header.table = ROUTE_TABLE;
    message.header.action = RuleAction::ToTable;
    message.attributes = vec![
        RuleAttribute::Priority(RULE_PRIORITY),
        RuleAttribute::FwMark(RETURN_MARK),
        RuleAttribute::FwMask(MARK_MASK),
        RuleAttribute::Table(ROUTE_TABLE.into()),
    ];
    message
}

fn route(family: Family) -> RouteMessage {
    let mut message = empty_route(family);
    message.header.table = ROUTE_TABLE;
    message.header.protocol = RouteProtocol::Static;
    message.header.kind = RouteType::Local;
    message.header.scope = match family {
        Family::V4 => RouteScope::Host,
        // IPv6 routes have no scope.
        Family::V6 => RouteScope::Universe,
    };
    message.attributes = vec![RouteAttribute::Table(ROUTE_TABLE.into()), RouteAttribute::Oif(LOOPBACK)];
    message
}

/// For deleting: whoever made the route, and whatever scope they gave it.
fn any_such_route(family: Family) -> RouteMessage {
    let mut message = route(family);
    message.header.protocol = RouteProtocol::Unspec;
    message.header.scope = RouteScope::NoWhere;
    message
}

fn empty_rule(family: Family) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header = RuleHeader { family: address_family(family), ..RuleHeader::default() };
    message
}

fn empty_route(family: Family) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header = RouteHeader { address_family: address_family(family), ..RouteHeader::default() };
    message
}

fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}
