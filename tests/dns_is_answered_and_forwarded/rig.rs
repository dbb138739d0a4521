//! A pod whose DNS is captured, and nameservers nobody here wrote: dnsmasq, in pods of its own outside the mesh. Clients are
//! dig and the C library.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use culvert_lab::{Error, Lab, Node, Pod, PodSpec, Program, Section, Service, ServiceSpec};

use crate::harness::cluster::{ECHO, lab, serve_all, start_next};
use crate::harness::command::run;
use crate::harness::nameserver::{self, dig};
use crate::harness::shared::Shared;
use crate::harness::talk::SOON;

/// A host that exists in the mesh alone: where it is, for the mesh.
pub(super) const ENTRY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(240, 240, 0, 1)), 443);

/// One node, on it two pods in the mesh, and two nameservers that disagree.
pub(super) struct Rig {
    pub(super) lab: Lab,
    pub(super) node: Node,
    pub(super) client: Pod,
    pub(super) neighbour: Pod,
    pub(super) web: Service,
    pub(super) cluster: Nameserver,
    pub(super) other: Nameserver,
    pub(super) agent: Program,
    pub(super) proxy: Program,
}

/// A pod with a nameserver.
pub(super) struct Nameserver {
    pub(super) pod: Pod,
    program: Program,
}

/// A rig for tests that change nothing in it; everybody gets the same one.
pub(super) fn shared() -> Arc<Rig> {
    static RIG: Shared<Rig> = Shared::new();
    RIG.take(|| Rig::start("dns"))
}

impl Rig {
    /// One whose node says what becomes of each query.
    pub(super) fn start(name: &str) -> Result<Self, Error> {
        Self::start_with(name, &[("RUST_LOG", "info,dns=debug")])
    }

    /// One whose node has other settings.
    pub(super) fn start_with(name: &str, settings: &[(&str, &str)]) -> Result<Self, Error> {
        let lab = lab(name)?;
        let node = lab.node("one")?;
        let spec = PodSpec::new("client").mesh_keys("canonicalName: shop\ncanonicalRevision: v1");
        let client = lab.pod(&node, spec)?;
        let neighbour = lab.pod(&node, PodSpec::new("neighbour"))?;
        let cluster = Nameserver::start(&lab, &node, "cluster", "192.0.2.1")?;
        let other = Nameserver::start(&lab, &node, "other", "192.0.2.2")?;
        serve_all(&lab, &other.pod)?;
        let web = lab.service(ServiceSpec::new("web").port(80, 8080), &[])?;
        lab.set(
            Section::Services,
            "
            - name: entry
              namespace: default
              hostname: entry.example
              vips: [\"/240.240.0.1\"]
              ports: {443: 443}
            ",
        )?;
        let behind = format!(
            "
            - uid: entry
              name: entry
              namespace: default
              workloadIps: [\"{}\"]
              services: {{default/entry.example: {{443: {ECHO}}}}}
            ",
            other.ip4()
        );
        lab.set(Section::Workloads, &behind)?;
        lab.start_control()?;
        let agent = lab.start_agent(&node)?;
        let launch = lab.node_launch(&node)?;
        let proxy = settings.iter().fold(launch, |launch, (name, value)| launch.env(name, value));
        let proxy = lab.start_node_as(&node, proxy)?;
        lab.enrol_all(&[&client, &neighbour])?;
        Ok(Self { lab, node, client, neighbour, web, cluster, other, agent, proxy })
    }

    /// Starts another proxy beside the first, and waits until it serves the pod.
    #[track_caller]
    pub(super) fn start_next(&self) {
        let next = start_next(&self.lab, &self.node);
        next.wait_for_log("serving pod", SOON).unwrap();
    }

    /// Asks `server` as dig does, from the captured pod; with everything dig says.
    #[track_caller]
    pub(super) fn dig(&self, server: impl Into<IpAddr>, words: &str) -> String {
        let said = self.try_dig(server.into(), words);
        said.unwrap_or_else(|said| panic!("dig {words}: {said}\n{}", self.lab.evidence()))
    }

    /// Asks as [`Self::dig`] does; that nobody answers is an error.
    pub(super) fn try_dig(&self, server: IpAddr, words: &str) -> Result<String, String> {
        dig(&self.client, server, words)
    }

    /// The answers of dig alone.
    #[track_caller]
    pub(super) fn dig_short(&self, server: impl Into<IpAddr>, words: &str) -> Vec<String> {
        let said = self.dig(server, &format!("{words} +short"));
        said.lines().map(str::to_owned).collect()
    }
}

impl Nameserver {
    /// One that knows `known.example`, to which it gives `address`, some other names there, all under `load.example`, and nobody
    /// else's.
    fn start(lab: &Lab, node: &Node, name: &str, address: &str) -> Result<Self, Error> {
        let pod = lab.pod(node, PodSpec::new(name))?;
        let many = (0..100).map(|last| format!("--host-record=many.example,198.51.100.{last}"));
        let records = [
            format!("--address=/load.example/{address}"),
            format!("--host-record=known.example,{address},2001:db8::1"),
            "--txt-record=known.example,a text".to_owned(),
            "--mx-host=known.example,mail.example,10".to_owned(),
        ];
        let program = nameserver::start(lab, &pod, records.into_iter().chain(many))?;
        Ok(Self { pod, program })
    }

    pub(super) fn ip4(&self) -> IpAddr {
        self.pod.ip4().into()
    }

    pub(super) fn ip6(&self) -> IpAddr {
        self.pod.ip6().into()
    }

    /// Its address of each family, and how to reach it over each transport, as words for dig.
    pub(super) fn ways(&self) -> Vec<(IpAddr, &'static str)> {
        let ways = |ip| [(ip, "+notcp"), (ip, "+tcp")];
        self.pod.ips().into_iter().flat_map(ways).collect()
    }

    /// The queries for a name it has had: who asked.
    pub(super) fn queries(&self, name: &str) -> Vec<IpAddr> {
        nameserver::queries(&self.program, name)
    }
}

/// Looks a name up as programs do, through the C library, with the nameserver and the search list Kubernetes gives a pod.
#[track_caller]
pub(super) fn look_up(rig: &Rig, server: IpAddr, name: &str) -> Vec<IpAddr> {
    let file = rig.lab.directory().join(format!("resolv-{server}.conf"));
    let search = "search default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5";
    std::fs::write(&file, format!("nameserver {server}\n{search}\n")).unwrap();
    // In a mount namespace of its own the file is the one every program reads.
    let script = format!("mount --bind {} /etc/resolv.conf && exec getent ahosts {name}", file.display());
    let said = run(&rig.client, &["unshare", "--mount", "sh", "-c", &script]);
    let said = said.unwrap_or_else(|said| panic!("getent {name}: {said}\n{}", rig.lab.evidence()));
    let mut found: Vec<IpAddr> =
        said.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect();
    found.dedup();
    found
}
