//! The addresses of a network namespace's interfaces (`getifaddrs(3)`).

use std::io;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;

use crate::netns::Netns;

/// The addresses others can have for whoever lives in the namespace, each once: those of the loopback and of a link alone are
/// left out, and those of interfaces that are down.
///
/// # Errors
/// When the namespace cannot be entered, or the kernel does not tell.
pub fn of(netns: &Netns) -> io::Result<Vec<IpAddr>> {
    let mut found = Vec::new();
    for address in netns.run(getifaddrs)?? {
        if let Some(ip) = address.address.as_ref().and_then(ip).filter(is_for_others)
            && address.flags.contains(nix::net::if_::InterfaceFlags::IFF_UP)
            && !found.contains(&ip)
        {
            found.push(ip);
        }
    }
    Ok(found)
}

fn ip(address: &nix::sys::socket::SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|it| it.ip().into());
    v4.or_else(|| address.as_sockaddr_in6().map(|it| it.ip().into()))
}

fn is_for_others(ip: &IpAddr) -> bool {
    let is_of_link = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    !ip.is_loopback() && !is_of_link
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::child;

    fn inside(netns: &Netns, script: &str) {
        let mut shell = Command::new("sh");
        shell.args(["-ec", script]);
        assert!(child::start_in(&mut shell, netns).unwrap().status().unwrap().success());
    }

    #[test]
    fn addresses_for_others_are_found_and_those_of_loopback_and_link_are_not() {
        let netns = Netns::create().unwrap();
        assert!(of(&netns).unwrap().is_empty());
        inside(
            &netns,
            "ip link set lo up; ip link add eth0 type veth peer name end0; ip link set eth0 up
             ip addr add 10.0.0.9/24 dev eth0; ip addr add fd00::9/64 dev eth0 nodad; ip addr add 10.0.0.9/32 dev lo
             ip link add off type veth peer name end1; ip addr add 10.0.1.9/24 dev off",
        );
        let mut found = of(&netns).unwrap();
        found.sort();
        assert_eq!(found, ["10.0.0.9", "fd00::9"].map(|ip| ip.parse::<IpAddr>().unwrap()));
    }
}
