//! Settings of the kernel that a measurement must not depend on.

use std::fs;
use std::io;

use culvert_lab::{Node, Pod};
use culvert_sys::netns::Netns;

use super::error::{Doing as _, Error};

/// Under these a sender goes as fast as it can. The default of a machine may be one that paces: on a wire that is memory it
/// finds out the wrong speed, another one each time. Not every namespace may use each: the second is always allowed.
const CONGESTION_CONTROL: [&str; 2] = ["cubic", "reno"];

/// Sets the namespaces of a cluster up, before there are any connections.
pub(super) fn set_up(nodes: &[Node], client: &Pod, server: &Pod) -> Result<(), Error> {
    for netns in nodes.iter().map(Node::netns).chain([client.netns(), server.netns()]) {
        let path = "/proc/sys/net/ipv4/tcp_congestion_control";
        let [preferred, allowed] = CONGESTION_CONTROL;
        write(netns, path, preferred)
            .or_else(|_| write(netns, path, allowed))
            .doing(|| format!("write {allowed} to {path} of a namespace"))?;
    }
    // What runs short of ports must be a proxy in the server's pod, never the load generator, which would then measure
    // its own kernel's search.
    let path = "/proc/sys/net/ipv4/ip_local_port_range";
    write(client.netns(), path, "1024 65535").doing(|| format!("write to {path} of the client's pod"))
}

fn write(netns: &Netns, path: &str, value: &str) -> io::Result<()> {
    netns.run(|| fs::write(path, value)).and_then(|written| written)
}
