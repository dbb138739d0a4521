//! A pod: a host with one address of each family, wired to its node. Tests act as its application.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use culvert_sys::netns::Netns;

use crate::Error;
use crate::address::Both;
use crate::socket;
use crate::tool;

/// The trust domain of every pod that does not say otherwise.
const TRUST_DOMAIN: &str = "cluster.local";
/// The largest answer [`Pod::ask`] reads.
const LONGEST_ANSWER: u64 = 64 << 20;
/// Shows the packet rules. Which of the two the agent has used is its choice, and the one that is not installed has none.
const SAVE: &str = r"
for save in iptables-nft-save iptables-legacy-save; do
    ! command -v $save >/dev/null || $save || exit
done
";

/// What a pod shall be.
#[derive(Debug, Clone)]
pub struct PodSpec {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) service_account: String,
    pub(crate) trust_domain: String,
    pub(crate) takes_tunnels: bool,
    pub(crate) mesh_keys: String,
    pub(crate) probe_ports: Vec<u16>,
}

impl PodSpec {
    /// A pod in namespace `default` with service account `default`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            namespace: "default".to_owned(),
            service_account: "default".to_owned(),
            trust_domain: TRUST_DOMAIN.to_owned(),
            takes_tunnels: false,
            mesh_keys: String::new(),
            probe_ports: Vec::new(),
        }
    }

    /// Puts it into a namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.namespace);
        self
    }

    /// Gives it a service account.
    #[must_use]
    pub fn service_account(mut self, account: &str) -> Self {
        account.clone_into(&mut self.service_account);
        self
    }

    /// Puts it into another trust domain than `cluster.local`.
    #[must_use]
    pub fn trust_domain(mut self, domain: &str) -> Self {
        domain.clone_into(&mut self.trust_domain);
        self
    }

    /// Says that something in the pod takes tunnels by itself, whether or not the pod is enrolled.
    #[must_use]
    pub fn takes_tunnels(mut self) -> Self {
        self.takes_tunnels = true;
        self
    }

    /// Says that the node probes the pod at these ports.
    #[must_use]
    pub fn probe_ports(mut self, ports: &[u16]) -> Self {
        ports.clone_into(&mut self.probe_ports);
        self
    }

    /// Adds keys, as YAML text, to the pod's entry in the mesh file, such as `canonicalName: shop`.
    #[must_use]
    pub fn mesh_keys(mut self, yaml: &str) -> Self {
        yaml.clone_into(&mut self.mesh_keys);
        self
    }
}

/// A pod. Cheap to clone; it lives until its last handle and its lab are gone.
#[derive(Debug, Clone)]
pub struct Pod(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    spec: PodSpec,
    uid: String,
    node: String,
    netns: Arc<Netns>,
    address: Both,
    node_interface: String,
}

/// Where a pod is, as the lab decides it.
pub(crate) struct Place {
    pub(crate) uid: String,
    pub(crate) node: String,
    pub(crate) netns: Arc<Netns>,
    pub(crate) address: Both,
    pub(crate) node_interface: String,
}

impl Pod {
    pub(crate) fn new(spec: PodSpec, place: Place) -> Self {
        let Place { uid, node, netns, address, node_interface } = place;
        Self(Arc::new(Inner { spec, uid, node, netns, address, node_interface }))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.spec.name
    }

    /// Its Kubernetes namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.0.spec.namespace
    }

    /// Its service account.
    #[must_use]
    pub fn service_account(&self) -> &str {
        &self.0.spec.service_account
    }

    /// The identity the mesh gives it: `spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT`.
    #[must_use]
    pub fn identity(&self) -> String {
        let spec = &self.0.spec;
        format!("spiffe://{}/ns/{}/sa/{}", spec.trust_domain, spec.namespace, spec.service_account)
    }

    /// Its uid as Kubernetes would give it.
    #[must_use]
    pub fn uid(&self) -> &str {
        &self.0.uid
    }

    /// The name of its node.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.0.node
    }

    /// Its network namespace.
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

    /// Both its addresses, for tests that hold in each family.
    #[must_use]
    pub fn ips(&self) -> [IpAddr; 2] {
        self.0.address.all()
    }

    pub(crate) fn address(&self) -> Both {
        self.0.address
    }

    /// The name of the node's end of the pod's link.
    #[must_use]
    pub fn node_interface(&self) -> &str {
        &self.0.node_interface
    }

    pub(crate) fn spec(&self) -> &PodSpec {
        &self.0.spec
    }

    /// Connects as the pod's application; reads and writes have the same deadline.
    ///
    /// # Errors
    /// What the kernel says, such as `ConnectionRefused`; `TimedOut` after the deadline.
    pub fn connect(&self, to: impl Into<SocketAddr>, deadline: Duration) -> io::Result<TcpStream> {
        socket::connect(self.netns(), to, deadline)
    }

    /// Connects as the pod's application from a port of the caller's choice, and from the pod's own address.
    ///
    /// # Errors
    /// Also when the port is taken.
    pub fn connect_from(
        &self,
        port: u16,
        to: impl Into<SocketAddr>,
        deadline: Duration,
    ) -> io::Result<TcpStream> {
        let to = to.into();
        let own: IpAddr = if to.is_ipv4() { self.ip4().into() } else { self.ip6().into() };
        socket::connect_from(self.netns(), Some((own, port).into()), to, deadline)
    }

    /// Listens as the pod's application, on all its addresses. Port 0 lets the kernel choose.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn listen(&self, port: u16) -> io::Result<TcpListener> {
        socket::listen(self.netns(), port)
    }

    /// A UDP socket of the pod's application that talks to one address.
    ///
    /// # Errors
    /// When there is no route.
    pub fn udp(&self, to: impl Into<SocketAddr>, deadline: Duration) -> io::Result<UdpSocket> {
        socket::udp(self.netns(), to, deadline)
    }

    /// Connects, sends a request, closes the sending half, and reads the answer to its end.
    ///
    /// # Errors
    /// When any of this fails or takes longer than the deadline; a reset is `ConnectionReset`.
    pub fn ask(&self, to: impl Into<SocketAddr>, request: &[u8], deadline: Duration) -> io::Result<Vec<u8>> {
        let mut stream = self.connect(to, deadline)?;
        stream.write_all(request)?;
        match stream.shutdown(Shutdown::Write) {
            // The other side was quicker and has reset the connection; reading says so.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
            result => result?,
        }
        let mut answer = Vec::new();
        stream.take(LONGEST_ANSWER).read_to_end(&mut answer)?;
        Ok(answer)
    }

    /// Whether something in the pod listens on a TCP port, according to the kernel. Leaves no trace: it does not
    /// connect.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn listens(&self, port: u16) -> io::Result<bool> {
        let tables = self.netns().run(|| {
            let read = |name| fs::read_to_string(format!("/proc/thread-self/net/{name}"));
            Ok::<_, io::Error>([read("tcp")?, read("tcp6")?])
        })??;
        Ok(tables.iter().flat_map(|table| table.lines()).any(|line| is_listener(line, port)))
    }

    /// Whether rules in the pod redirect traffic to the proxy, according to the kernel.
    ///
    /// # Errors
    /// When a tool fails: nothing is known then.
    pub fn is_captured(&self) -> Result<bool, Error> {
        let rules = tool::run_in(self.netns(), &["sh", "-c", SAVE], "")?;
        Ok(rules.contains("--to-ports 15001"))
    }
}

/// Reads a line of `/proc/net/tcp`: number, local address, remote address, state (`proc_net_tcp.rst`).
fn is_listener(line: &str, port: u16) -> bool {
    const LISTEN: &str = "0A";
    let words: Vec<_> = line.split_whitespace().collect();
    let [_, local, _, state, ..] = words[..] else { return false };
    state == LISTEN && local.ends_with(&format!(":{port:04X}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listeners_of_that_port_count() {
        let line = "   0: 00000000:3AA0 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0";
        assert!(is_listener(line, 15008));
        assert!(!is_listener(line, 15006));
        assert!(!is_listener(&line.replace(" 0A ", " 01 "), 15008));
        assert!(!is_listener("sl  local_address rem_address   st", 15008));
    }
}
