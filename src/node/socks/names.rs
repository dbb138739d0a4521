//! Where the names clients ask for lead to.
//!
//! In goes a name and a port; out come the addresses to try, in order.

use std::net::{IpAddr, SocketAddr};

use crate::dns::hosts::{self, Hosts};

/// Addresses of a name that are tried for one connection.
const MOST_ADDRESSES: usize = 4;

/// Looks up a name as the pod would; gives the first address, and the others. Those of the family the client speaks come first.
pub(crate) async fn addresses(
    hosts: &Hosts,
    (host, port): (&str, u16),
    client: SocketAddr,
) -> Result<(SocketAddr, Vec<SocketAddr>), hosts::Error> {
    let found = hosts.as_the_pod(host).await?;
    let mut all = in_order(&found, port, client.is_ipv4());
    let first = all.next().ok_or_else(|| hosts::Error::NoAddresses { name: host.into() })?;
    Ok((first, all.collect()))
}

fn in_order(found: &[IpAddr], port: u16, ipv4_first: bool) -> impl Iterator<Item = SocketAddr> {
    let (first, then): (Vec<IpAddr>, Vec<IpAddr>) =
        found.iter().partition(|address| address.is_ipv4() == ipv4_first);
    // One of the other family is among them: of the first, none may be within reach.
    let most_of_first = MOST_ADDRESSES - then.len().min(1);
    let all = first.into_iter().take(most_of_first).chain(then).take(MOST_ADDRESSES);
    all.map(move |address| SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(found: &[&str], ipv4_first: bool) -> Vec<String> {
        let found: Vec<IpAddr> = found.iter().map(|text| text.parse().unwrap()).collect();
        in_order(&found, 80, ipv4_first).map(|address| address.to_string()).collect()
    }

    #[test]
    fn the_family_of_the_client_comes_first_and_the_order_stays() {
        let found = ["fd00::2", "10.0.0.2", "fd00::1", "10.0.0.1"];
        assert_eq!(order(&found, true), ["10.0.0.2:80", "10.0.0.1:80", "[fd00::2]:80", "[fd00::1]:80"]);
        assert_eq!(order(&found, false), ["[fd00::2]:80", "[fd00::1]:80", "10.0.0.2:80", "10.0.0.1:80"]);
    }

    #[test]
    fn only_so_many_are_tried_and_one_of_the_other_family_among_them() {
        let many: Vec<String> = (0..100).map(|last| format!("10.0.0.{last}")).collect();
        let mut many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(order(&many, true), ["10.0.0.0:80", "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]);
        many.push("fd00::1");
        assert_eq!(order(&many, true), ["10.0.0.0:80", "10.0.0.1:80", "10.0.0.2:80", "[fd00::1]:80"]);
        assert_eq!(order(&many, false), ["[fd00::1]:80", "10.0.0.0:80", "10.0.0.1:80", "10.0.0.2:80"]);
    }
}
