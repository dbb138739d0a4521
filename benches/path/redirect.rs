//! Packet rules that lead a pod's traffic to a proxy, for the proxies that bring none of their own.
//!
//! The namespaces end with their cluster, and the rules with them.

use super::error::Error;
use super::tool::run_in;
use super::topology::Bed;

/// The mark of the packets a proxy sends itself.
pub(super) const MARK: u32 = 0x539;
/// Where redirected connections arrive.
pub(super) const CLIENT_PORT: u16 = 15001;
pub(super) const SERVER_PORT: u16 = 15006;

/// Leads what the client sends to the server to the proxy in the client's pod.
pub(super) fn at_client(bed: &Bed) -> Result<(), Error> {
    let rule = format!(
        "iptables -w -t nat -A OUTPUT -p tcp -d {} -m mark ! --mark {MARK} -j REDIRECT --to-ports {CLIENT_PORT}",
        bed.server.ip4()
    );
    run_in(bed.client.netns(), &rule).map(|_| ())
}

/// Leads what arrives at the server's pod to the proxy there.
pub(super) fn at_server(bed: &Bed) -> Result<(), Error> {
    let rule =
        format!("iptables -w -t nat -A PREROUTING -i eth0 -p tcp -j REDIRECT --to-ports {SERVER_PORT}");
    run_in(bed.server.netns(), &rule).map(|_| ())
}
