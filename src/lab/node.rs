//! A node of the lab's cluster: a host that pods are wired to and that the mesh's programs run on.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use culvert_sys::netns::Netns;

use crate::address::Both;

/// Where its agent's socket is, below its directory.
pub(crate) const SOCKETS: &str = "zds";

/// A node. Cheap to clone; it lives until its last handle and its lab are gone.
#[derive(Debug, Clone)]
pub struct Node(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    index: usize,
    netns: Arc<Netns>,
    address: Both,
    directory: PathBuf,
}

impl Node {
    pub(crate) fn new(
        name: &str,
        index: usize,
        netns: Arc<Netns>,
        address: Both,
        directory: PathBuf,
    ) -> Self {
        Self(Arc::new(Inner { name: name.to_owned(), index, netns, address, directory }))
    }

    /// Its name, which is also what its programs call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The namespace the node's programs run in.
    #[must_use]
    pub fn netns(&self) -> &Arc<Netns> {
        &self.0.netns
    }

    /// Its IPv4 address.
    #[must_use]
    pub fn ip4(&self) -> Ipv4Addr {
        self.0.address.ip4
    }

    /// Its IPv6 address.
    #[must_use]
    pub fn ip6(&self) -> Ipv6Addr {
        self.0.address.ip6
    }

    /// Where its programs keep their files.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.0.directory
    }

    /// The socket on which the agent hands pods to the node's proxy.
    #[must_use]
    pub fn agent_socket(&self) -> PathBuf {
        self.0.directory.join(SOCKETS).join("agent.sock")
    }

    /// The list of enrolled pods that the agent follows.
    #[must_use]
    pub fn pods_file(&self) -> PathBuf {
        self.0.directory.join("pods.yaml")
    }

    /// The token the node's proxy shows to the control plane.
    #[must_use]
    pub fn token_file(&self) -> PathBuf {
        self.0.directory.join("token")
    }

    /// Whether an agent listens on its socket, according to the kernel: the file alone may be a dead one's.
    pub(crate) fn agent_listens(&self) -> bool {
        let (table, socket) = (|| fs::read_to_string("/proc/thread-self/net/unix"), self.agent_socket());
        let table = self.netns().run(table).and_then(|result| result).unwrap_or_default();
        table.lines().any(|line| is_listener(line, &socket))
    }

    pub(crate) fn index(&self) -> usize {
        self.0.index
    }

    pub(crate) fn address(&self) -> Both {
        self.0.address
    }
}

/// Reads a line of `/proc/net/unix`: number, references, protocol, flags, type, state, inode, path (`proc(5)`).
fn is_listener(line: &str, socket: &Path) -> bool {
    const ACCEPTS_CONNECTIONS: &str = "00010000";
    let words: Vec<_> = line.split_whitespace().collect();
    let [_, _, _, flags, _, _, _, path] = words[..] else { return false };
    flags == ACCEPTS_CONNECTIONS && Path::new(path) == socket
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_listening_socket_of_that_path_counts() {
        let line = "0000000000000000: 00000002 00000000 00010000 0005 01 16193 /x/agent.sock";
        assert!(is_listener(line, Path::new("/x/agent.sock")));
        assert!(!is_listener(line, Path::new("/y/agent.sock")));
        assert!(!is_listener(&line.replace("00010000", "00000000"), Path::new("/x/agent.sock")));
    }
}
