//! What the kernel says of a container's interface.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use culvert_sys::netns::Netns;
use serde_json::Value;

use crate::Error;
use crate::error::Doing as _;
use crate::tool;

use super::chain::INTERFACE;

/// An interface as both sides see it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) ip4: Ipv4Addr,
    pub(super) ip6: Ipv6Addr,
    /// What its other end is called on the node.
    pub(super) outside: String,
}

pub(super) fn interface(inside: &Netns, node: &Netns) -> Result<Interface, Error> {
    let own = tool::run_in(inside, &["ip", "-json", "addr", "show", "dev", INTERFACE], "")?;
    let links = tool::run_in(node, &["ip", "-json", "link", "show"], "")?;
    let missing = || std::io::Error::other(format!("{own} and {links} do not say all of it"));
    read(&own, &links).ok_or_else(missing).doing(|| format!("read what {INTERFACE} of a container is"))
}

fn read(own: &str, links: &str) -> Option<Interface> {
    let (own, links): (Value, Value) = (serde_json::from_str(own).ok()?, serde_json::from_str(links).ok()?);
    let own = own.as_array()?.iter().find(|link| link["ifname"] == INTERFACE)?;
    let global = own["addr_info"].as_array()?.iter().filter(|address| address["scope"] == "global");
    let ips: Vec<IpAddr> = global.filter_map(|address| address["local"].as_str()?.parse().ok()).collect();
    let outside = links.as_array()?.iter().find(|link| link["ifindex"] == own["link_index"])?;
    Some(Interface {
        ip4: ips.iter().find_map(|ip| if let IpAddr::V4(ip) = ip { Some(*ip) } else { None })?,
        ip6: ips.iter().find_map(|ip| if let IpAddr::V6(ip) = ip { Some(*ip) } else { None })?,
        outside: outside["ifname"].as_str()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_addresses_and_the_other_end_are_found() {
        let own = r#"[{"ifname":"eth0","link_index":7,"addr_info":[
            {"local":"10.64.240.2","scope":"global"},{"local":"fe80::1","scope":"link"},{"local":"fd00::2","scope":"global"}]}]"#;
        let links = r#"[{"ifindex":1,"ifname":"lo"},{"ifindex":7,"ifname":"veth1234"}]"#;
        let seen = read(own, links).unwrap();
        assert_eq!((seen.ip4.to_string(), seen.ip6.to_string()), ("10.64.240.2".into(), "fd00::2".into()));
        assert_eq!(seen.outside, "veth1234");
        assert_eq!(read(own, "[]"), None);
    }
}
