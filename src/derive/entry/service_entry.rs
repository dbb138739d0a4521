//! A `ServiceEntry` as it is written.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use culvert_core::service::Visibility;
use ipnet::IpNet;
use serde_json::Value;

use crate::problem::Problem;
use crate::reading::{Notes, Reading};
use crate::{Meta, Selector};

use super::endpoint::Endpoint;
use super::host;
use super::workload_entry::WorkloadEntry;

/// One `ServiceEntry`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceEntry {
    /// What all objects have.
    pub meta: Meta,
    /// The names it defines, each once.
    pub hosts: Vec<Arc<str>>,
    /// The addresses, single ones and blocks, that stand for each of the names.
    pub addresses: Vec<IpNet>,
    /// The addresses somebody has allocated, as its status says.
    pub allocated: Vec<StatusAddress>,
    /// The ports.
    pub ports: Vec<Port>,
    /// How endpoints are found.
    pub way: Way,
    /// The endpoints it lists.
    pub endpoints: Vec<Endpoint>,
    /// Which pods and `WorkloadEntries` of its namespace are endpoints.
    pub selector: Option<Selector>,
    /// Who may see it; nobody when there is nothing.
    pub visibility: Option<Visibility>,
    /// Identities accepted for its endpoints besides their own.
    pub subject_alt_names: Vec<Arc<str>>,
    /// What makes no sense in it.
    pub problems: Vec<Problem>,
}

/// An address that was allocated.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusAddress {
    /// The address.
    pub ip: IpAddr,
    /// For which host; for all of them when there is nothing.
    pub host: Option<Arc<str>>,
}

/// One port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The number clients call.
    pub number: u16,
    /// Its name.
    pub name: Arc<str>,
    /// Where endpoints serve it that do not say otherwise.
    pub target: u16,
}

/// How the endpoints of a `ServiceEntry` are found (`spec.resolution`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Not at all: connections go where the client has sent them.
    Passthrough,
    /// They are listed.
    Static,
    /// By the names of the hosts, when none are listed.
    Dns,
    /// By the names clients ask for.
    DynamicDns,
}

/// As many as the API takes.
const MOST_HOSTS: usize = 256;

impl ServiceEntry {
    /// Reads one.
    #[must_use]
    pub fn read(meta: Meta, object: &Value) -> Self {
        let notes = Notes::default();
        let spec = Reading::of(object, "spec", &notes);
        let endpoints = endpoints(&spec.field("endpoints"));
        let selector = selector(&spec.field("workloadSelector"), &endpoints);
        let visibility = visibility(&spec.field("exportTo"), &meta.namespace);
        let way = way(&spec.field("resolution"));
        let found = Self {
            hosts: hosts(&spec.field("hosts"), way),
            addresses: spec.field("addresses").items().filter_map(|it| block(&it)).collect(),
            allocated: allocated(object),
            ports: ports(&spec.field("ports")),
            way,
            endpoints,
            selector,
            visibility,
            subject_alt_names: spec.field("subjectAltNames").texts(),
            problems: Vec::new(),
            meta,
        };
        Self { problems: notes.into_problems(), ..found }
    }

    /// Gives the key of the core service that a host of this is.
    #[must_use]
    pub fn key_of(&self, host: &str) -> Arc<str> {
        format!("{}/{host}", self.meta.namespace).into()
    }

    /// Gives the ports a selected pod serves it at: by the pod's own ports of these names, or else as declared.
    pub fn ports_of_pod(
        &self,
        container_port: impl Fn(&str) -> Option<u16>,
    ) -> culvert_core::workload::PortMap {
        self.ports
            .iter()
            .map(|port| (port.number, container_port(&port.name).unwrap_or(port.target)))
            .collect()
    }

    /// Gives the ports a selected `WorkloadEntry` serves it at.
    #[must_use]
    pub fn ports_of_entry(&self, entry: &WorkloadEntry) -> culvert_core::workload::PortMap {
        self.own_ports(entry.endpoint.as_ref().map(|endpoint| &endpoint.ports))
    }

    pub(super) fn own_ports(&self, own: Option<&BTreeMap<Arc<str>, u16>>) -> culvert_core::workload::PortMap {
        self.ports_of_pod(|name| own?.get(name).copied())
    }

    /// Gives what makes no sense in it, as things are: these addresses written in it are an older one's.
    #[must_use]
    pub fn problems_without(&self, taken: &BTreeSet<IpAddr>) -> Vec<Problem> {
        let problem = |ip: &IpAddr| Problem {
            path: "spec.addresses".to_owned(),
            what: format!(
                "`{ip}` is the address of an older ServiceEntry, and in a range from which addresses are given; write one outside of 240.240.0.0/16 and 2001:2::/48, or none to be given one"
            ),
        };
        self.problems.iter().cloned().chain(taken.iter().map(problem)).collect()
    }

    /// Tells whether an address has to be allocated for a host, since nobody else gives it one.
    #[must_use]
    pub fn wants_address(&self, host: &str) -> bool {
        let opted_out = self.meta.labels.get("networking.istio.io/enable-autoallocate-ip") == Some("false");
        let reachable = match self.way {
            Way::Passthrough => false,
            Way::Static | Way::Dns => !host::is_wildcard(host),
            Way::DynamicDns => true,
        };
        self.visibility.is_some() && self.addresses.is_empty() && reachable && !opted_out
    }
}

fn hosts(reading: &Reading<'_>, way: Way) -> Vec<Arc<str>> {
    let mut seen = BTreeSet::new();
    let mut hosts = Vec::new();
    for item in reading.items() {
        let Some(host) = host::name_or_wildcard(&item) else { continue };
        if host::is_wildcard(&host) && way == Way::Dns {
            item.note(
                "no wildcard can be looked up; write DYNAMIC_DNS or NONE as spec.resolution, or single hosts",
            );
        }
        if seen.insert(host.clone()) {
            hosts.push(host);
        }
    }
    if hosts.is_empty() {
        reading.note("there is no host");
    }
    if hosts.len() > MOST_HOSTS {
        reading.note(format!("of {} hosts the first {MOST_HOSTS} count; make several entries", hosts.len()));
        hosts.truncate(MOST_HOSTS);
    }
    hosts
}

fn block(reading: &Reading<'_>) -> Option<IpNet> {
    let text = reading.text()?;
    let single = text.parse::<IpAddr>().map(|ip| IpNet::from(ip.to_canonical()));
    let block = single.ok().or_else(|| text.parse::<IpNet>().ok().map(|block| block.trunc()));
    if block.is_none() {
        reading.note(format!("`{text}` is neither an IP address nor a block of them (CIDR)"));
    }
    block
}

fn ports(reading: &Reading<'_>) -> Vec<Port> {
    let mut seen = HashSet::new();
    let mut ports = Vec::new();
    for item in reading.items() {
        let Some(number) = item.field("number").port() else {
            item.field("number").note("there is no port number");
            continue;
        };
        if item.field("protocol").text().is_some_and(|protocol| protocol.eq_ignore_ascii_case("UDP")) {
            continue;
        }
        if !seen.insert(number) {
            item.note(format!("port {number} is there twice"));
            continue;
        }
        let target = item.field("targetPort").port().unwrap_or(number);
        ports.push(Port { number, name: item.field("name").shared(), target });
    }
    ports
}

fn way(reading: &Reading<'_>) -> Way {
    match reading.text() {
        None | Some("NONE") => Way::Passthrough,
        Some("STATIC") => Way::Static,
        Some("DNS" | "DNS_ROUND_ROBIN") => Way::Dns,
        Some("DYNAMIC_DNS") => Way::DynamicDns,
        // Connections that go where clients like, or to a name, are more than somebody may have meant.
        Some(other) => {
            reading.note(format!("`{other}` is not known, so that only endpoints listed or selected count"));
            Way::Static
        }
    }
}

fn endpoints(reading: &Reading<'_>) -> Vec<Endpoint> {
    let mut seen = HashSet::new();
    let mut endpoints = Vec::new();
    for item in reading.items() {
        let Some(endpoint) = Endpoint::read(&item) else { continue };
        if seen.insert(endpoint.name()) {
            endpoints.push(endpoint);
        } else {
            item.note(format!("there is another endpoint at `{}`", endpoint.name()));
        }
    }
    endpoints
}

fn selector(reading: &Reading<'_>, listed: &[Endpoint]) -> Option<Selector> {
    if reading.is_absent() {
        return None;
    }
    let labels = reading.field("labels").all_labels()?;
    if !listed.is_empty() {
        reading.note("endpoints are listed as well, and these count; write one of the two");
    } else if labels.is_empty() {
        reading.note("selects nothing without labels");
    } else {
        return Some(Selector::new(labels));
    }
    None
}

/// Who may see it. Nodes can be told of everybody and of the own namespace; of other namespaces they cannot.
fn visibility(reading: &Reading<'_>, own: &str) -> Option<Visibility> {
    let to = reading.texts();
    let has = |wanted: &str| to.iter().any(|to| &**to == wanted);
    if to.is_empty() || has("*") {
        return Some(Visibility::Public);
    }
    if to.iter().any(|to| !matches!(&**to, "." | "~") && &**to != own) {
        reading.note("single other namespaces are not supported and see nothing; write `*`, `.` or `~`");
    }
    (has(".") || has(own)).then_some(Visibility::Namespace)
}

/// What a status says that makes no sense is nobody's wish, and not noted.
pub(super) fn allocated(object: &Value) -> Vec<StatusAddress> {
    let notes = Notes::default();
    let address = |item: Reading<'_>| {
        let ip: IpAddr = item.field("value").text()?.parse().ok()?;
        let host = item.field("host").text().map(|host| host.to_ascii_lowercase().into());
        Some(StatusAddress { ip: ip.to_canonical(), host })
    };
    let status = Reading::of(object, "status", &notes);
    status.field("addresses").items().filter_map(address).collect()
}
