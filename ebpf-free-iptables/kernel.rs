//! What a namespace says about itself: which kinds of rules and which IP versions there can be, and whether packets can
//! loop.
//!
//! In goes a namespace; out come facts. Nothing is changed, and no setting is ever written.

use std::fs;
use std::io;

use culvert_sys::netns::Netns;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use crate::rule::Family;

/// How far IPv6 works in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Ipv6 {
    /// The kernel has none.
    Absent,
    /// Switched off on `lo`: no route can lead there.
    NotOnLoopback,
    /// Switched on.
    Full,
}

/// How far IPv6 works in the namespace.
pub(crate) fn ipv6(netns: &Netns) -> io::Result<Ipv6> {
    let disabled = read(netns, "/proc/sys/net/ipv6/conf/lo/disable_ipv6")?;
    Ok(match disabled.as_deref().map(str::trim) {
        None => Ipv6::Absent,
        Some("0") => Ipv6::Full,
        Some(_) => Ipv6::NotOnLoopback,
    })
}

/// Whether any interface of the namespace has an IPv6 address.
pub(crate) fn has_ipv6_address(netns: &Netns) -> io::Result<bool> {
    Ok(read(netns, "/proc/thread-self/net/if_inet6")?.is_some_and(|lines| !lines.is_empty()))
}

/// Whether `lo` is up. The kernel accepts IPv4 routes to it that do not work while it is down.
pub(crate) fn loopback_is_up(netns: &Netns) -> io::Result<bool> {
    let mut interfaces = netns.run(getifaddrs)??;
    Ok(interfaces.any(|one| one.interface_name == "lo" && one.flags.contains(InterfaceFlags::IFF_UP)))
}

/// The legacy tables that exist in the namespace. Asking for others is pointless, and makes them.
pub(crate) fn legacy_tables(netns: &Netns, family: Family) -> io::Result<Vec<String>> {
    let path = match family {
        Family::V4 => "/proc/thread-self/net/ip_tables_names",
        Family::V6 => "/proc/thread-self/net/ip6_tables_names",
    };
    Ok(read(netns, path)?.unwrap_or_default().lines().map(str::to_owned).collect())
}

/// Whether a legacy table exists in the namespace. Reading it with the legacy tools is pointless otherwise, and with
/// old kernels even creates it.
pub(crate) fn has_legacy_tables(netns: &Netns, family: Family) -> io::Result<bool> {
    Ok(!legacy_tables(netns, family)?.is_empty())
}

/// The content of a file as seen from inside; `None` when there is no such file.
fn read(netns: &Netns, path: &str) -> io::Result<Option<String>> {
    match netns.run(|| fs::read_to_string(path))? {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
