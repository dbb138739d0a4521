//! A cluster whose first node lets applications ask for connections.

use std::io::Read as _;
use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};
use std::sync::Arc;

use culvert_lab::{Behaviour, Error, Launch, Pod, PodSpec, Program, Section, Service, ServiceSpec};

use crate::harness::cluster::{Cluster, serve_all};
use crate::harness::command::run;
use crate::harness::kernel::drop_all_input;
use crate::harness::nameserver;
use crate::harness::shared::Shared;
use crate::harness::socks::{PLACES, SOCKS, ask, asking};
use crate::harness::talk::SOON;
use crate::other_hbone_clients_are_served::serve_http;

/// Nobody gets into this namespace.
const SHUT: &str = "
    - name: shut
      namespace: shut
      scope: Namespace
      action: Deny
      rules: [[]]
    ";

/// A name that a nameserver gives to the pod outside the mesh, at both its addresses.
pub(super) const OUTSIDE: &str = "outside.example";
/// One that it gives to the server's IPv4 address, and to the IPv6 address of the pod outside.
pub(super) const CLOSED_FIRST: &str = "closed-first.example";
/// One that it gives to the IPv4 address of a pod that does not answer, and to the IPv6 address of the pod outside.
pub(super) const SILENT_FIRST: &str = "silent-first.example";
/// One that it gives to a loopback address.
pub(super) const LOOPBACK: &str = "loopback.example";

/// A cluster with an HTTP server in the mesh and one outside.
pub(super) struct Rig {
    pub(super) cluster: Cluster,
    /// The proxy of the client and its neighbour.
    pub(super) proxy: Program,
    /// In the mesh, and closed to everybody.
    pub(super) shut: Pod,
    /// In front of the server's HTTP, on port 80.
    pub(super) shop: Service,
    /// A service without a pod.
    pub(super) empty: Service,
    /// The port of HTTP in `server` and in `outsider`.
    pub(super) http: u16,
}

/// A rig for tests that change nothing in it; everybody gets the same one.
pub(super) fn shared() -> Arc<Rig> {
    static RIG: Shared<Rig> = Shared::new();
    RIG.take(|| Rig::start("socks"))
}

impl Rig {
    pub(super) fn start(name: &str) -> Result<Self, Error> {
        let rig = Self::start_with(name, &[])?;
        rig.start_nameserver()?;
        Ok(rig)
    }

    /// One whose pods' queries are not captured.
    pub(super) fn without_dns(name: &str) -> Result<Self, Error> {
        Self::start_with(name, &["--dns-capture=false"])
    }

    fn start_with(name: &str, agent: &[&str]) -> Result<Self, Error> {
        let cluster = Cluster::without_mesh(name)?;
        let lab = &cluster.lab;
        let shut = lab.pod(&cluster.two, PodSpec::new("shut").namespace("shut"))?;
        serve_all(lab, &shut)?;
        let http = lab.serve(&cluster.server, 0, Behaviour::custom(serve_http))?.port();
        lab.serve(&cluster.outsider, http, Behaviour::custom(serve_http))?;
        let shop = lab.service(ServiceSpec::new("shop").port(80, http), &[&cluster.server])?;
        let empty = lab.service(ServiceSpec::new("empty").port(80, http), &[])?;
        lab.set(Section::Policies, SHUT)?;
        lab.enrol_all(&[&cluster.client, &cluster.neighbour, &cluster.server, &shut])?;
        lab.start_control()?;
        let launch = agent.iter().fold(lab.agent_launch(&cluster.one)?, Launch::arg);
        lab.start_agent_as(&cluster.one, launch)?;
        lab.start_agent(&cluster.two)?;
        let proxy = lab.start_node_as(&cluster.one, asking(lab.node_launch(&cluster.one)?))?;
        lab.start_node(&cluster.two)?;
        for pod in [&cluster.client, &cluster.neighbour] {
            lab.wait_until(SOON, "the pods are served", || pod.listens(SOCKS).unwrap_or(false))?;
        }
        lab.wait_until(SOON, "the pods are served", || shut.listens(15008).unwrap_or(false))?;
        Ok(Self { cluster, proxy, shut, shop, empty, http })
    }

    /// Starts a nameserver outside the mesh, and has the client choose it.
    fn start_nameserver(&self) -> Result<(), Error> {
        let Cluster { lab, two, client, server, outsider, .. } = &self.cluster;
        let (pod, silent) = (lab.pod(two, PodSpec::new("names"))?, lab.pod(two, PodSpec::new("silent"))?);
        drop_all_input(&silent);
        let record = |name, v4: Ipv4Addr, v6: Ipv6Addr| format!("--host-record={name},{v4},{v6}");
        let records = [
            record(OUTSIDE, outsider.ip4(), outsider.ip6()),
            record(CLOSED_FIRST, server.ip4(), outsider.ip6()),
            record(SILENT_FIRST, silent.ip4(), outsider.ip6()),
            record(LOOPBACK, Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST),
        ];
        nameserver::start(lab, &pod, records)?;
        let asked = || nameserver::dig(client, pod.ip4().into(), &format!("{OUTSIDE} +short"));
        let chosen = || asked().is_ok_and(|said| !said.is_empty());
        lab.wait_until(SOON, "the client has asked the nameserver", chosen)
    }

    /// Runs curl in the client; gives back what it wrote, as an error when it failed.
    pub(super) fn curl(&self, words: &[&str]) -> Result<String, String> {
        let curl = ["curl", "--silent", "--show-error", "--include", "--noproxy", ""];
        run(&self.cluster.client, &[&curl, words].concat())
    }

    /// The client asks; it must be connected.
    #[track_caller]
    pub(super) fn connected(&self, request: &[u8]) -> TcpStream {
        let (code, stream) = ask(&self.cluster.client, PLACES[0], request).unwrap();
        assert_eq!(code, 0, "{request:?}\n{}", self.cluster.lab.evidence());
        stream
    }

    /// What the client is told by its code, after which there must be an orderly end.
    #[track_caller]
    pub(super) fn refused(&self, request: &[u8]) -> u8 {
        let (code, mut stream) = ask(&self.cluster.client, PLACES[0], request).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "an answer that ends in a reset may not be heard");
        code
    }
}
