//! A pod whose DNS is captured, and nameservers nobody here wrote: dnsmasq, in pods of its own outside the mesh. Clients are
//! dig and the C library.

use std::net::IpAddr;
use std::process::Command;
use std::sync::Arc;

use culvert_lab::{Error, Lab, Launch, Node, Pod, PodSpec, Program, Section, Service, ServiceSpec};
use culvert_sys::child::{die_with_parent, start_in};

use crate::harness::cluster::{lab, start_next};
use crate::harness::shared::Shared;
use crate::harness::talk::SOON;

/// A client takes longer only when it is stuck.
const PATIENCE: &str = "20";

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
        lab.start_control()?;
        let agent = lab.start_agent_as(&node, lab.agent_launch(&node)?.arg("--dns"))?;
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

/// Asks `server` as dig does, from any pod.
pub(super) fn dig(pod: &Pod, server: IpAddr, words: &str) -> Result<String, String> {
    let server = format!("@{server}");
    let mut all = vec!["dig", &server, "+tries=1", "+timeout=9", "+nocookie"];
    all.extend(words.split_whitespace());
    run(pod, &all)
}

impl Nameserver {
    /// One that asks another one about everything.
    pub(super) fn forwarding(lab: &Lab, pod: &Pod, to: IpAddr) -> Result<Program, Error> {
        let launch = Launch::new("forwarding", "dnsmasq", pod.netns())
            .arg("--keep-in-foreground")
            .arg("--conf-file=/dev/null")
            .arg("--pid-file=")
            .arg("--user=root")
            .arg("--no-resolv")
            .arg("--no-hosts")
            .arg(format!("--server={to}"))
            .arg("--log-queries")
            .arg("--log-facility=-");
        let program = lab.start(launch)?;
        program.wait_for_log("started", SOON)?;
        Ok(program)
    }

    /// One that knows `known.example`, to which it gives `address`, some other names there, all under `load.example`, and nobody
    /// else's.
    fn start(lab: &Lab, node: &Node, name: &str, address: &str) -> Result<Self, Error> {
        let pod = lab.pod(node, PodSpec::new(name))?;
        let many = (0..100).map(|last| format!("--host-record=many.example,198.51.100.{last}"));
        let launch = Launch::new(name, "dnsmasq", pod.netns())
            .arg("--keep-in-foreground")
            .arg("--conf-file=/dev/null")
            .arg("--pid-file=")
            .arg("--user=root")
            .arg("--no-resolv")
            .arg("--no-hosts")
            .arg("--local=/example/")
            .arg("--local=/local/")
            .arg("--local-ttl=300")
            .arg(format!("--address=/load.example/{address}"))
            .arg(format!("--host-record=known.example,{address},2001:db8::1"))
            .arg("--txt-record=known.example,a text")
            .arg("--mx-host=known.example,mail.example,10")
            .arg("--log-queries")
            .arg("--log-facility=-");
        let launch = many.fold(launch, Launch::arg);
        let program = lab.start(launch)?;
        program.wait_for_log("started", SOON)?;
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
        let text = self.program.log_text();
        let asked =
            text.lines().filter(|line| line.contains("query[") && line.contains(&format!(" {name} from ")));
        asked.filter_map(|line| line.rsplit_once(" from ")?.1.trim().parse().ok()).collect()
    }
}

/// Runs a program in a pod to its end; gives back what it said, as an error when it failed.
pub(super) fn run(pod: &Pod, words: &[&str]) -> Result<String, String> {
    let mut command = Command::new("timeout");
    command.arg(PATIENCE).args(words);
    start_in(&mut command, pod.netns()).unwrap();
    let output = die_with_parent(&mut command).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    Err(format!("{} {said}{}", output.status, String::from_utf8_lossy(&output.stderr)))
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
