//! A service: a name and virtual addresses in front of pods.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::address::Both;
use crate::pod::Pod;

/// What a service shall be.
#[derive(Debug, Clone)]
pub struct ServiceSpec {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) ports: Vec<(u16, u16)>,
    pub(crate) mesh_keys: String,
}

impl ServiceSpec {
    /// A service in namespace `default` without ports.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let (name, namespace) = (name.to_owned(), "default".to_owned());
        Self { name, namespace, ports: Vec::new(), mesh_keys: String::new() }
    }

    /// Puts it into a namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.namespace);
        self
    }

    /// Adds a port: connections to `port` of the service go to `target` of a pod.
    #[must_use]
    pub fn port(mut self, port: u16, target: u16) -> Self {
        self.ports.push((port, target));
        self
    }

    /// Adds keys, as YAML text, to the service's entry in the mesh file, such as `ipFamilies: Dual`.
    #[must_use]
    pub fn mesh_keys(mut self, yaml: &str) -> Self {
        yaml.clone_into(&mut self.mesh_keys);
        self
    }
}

/// A service of the lab.
#[derive(Debug, Clone)]
pub struct Service {
    pub(crate) spec: ServiceSpec,
    pub(crate) address: Both,
    pub(crate) pods: Vec<Pod>,
}

impl Service {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Its Kubernetes namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.spec.namespace
    }

    /// The name DNS has for it: `NAME.NAMESPACE.svc.cluster.local`.
    #[must_use]
    pub fn hostname(&self) -> String {
        format!("{}.{}.svc.cluster.local", self.spec.name, self.spec.namespace)
    }

    /// Its virtual IPv4 address. Nothing routes it: only the mesh knows what it stands for.
    #[must_use]
    pub fn ip4(&self) -> Ipv4Addr {
        self.address.ip4
    }

    /// Its virtual IPv6 address.
    #[must_use]
    pub fn ip6(&self) -> Ipv6Addr {
        self.address.ip6
    }

    /// Both its addresses, for tests that hold in each family.
    #[must_use]
    pub fn ips(&self) -> [IpAddr; 2] {
        self.address.all()
    }

    pub(crate) fn has(&self, pod: &Pod) -> bool {
        self.pods.iter().any(|member| member.uid() == pod.uid())
    }
}
