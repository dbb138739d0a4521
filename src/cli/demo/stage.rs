//! The stage: two nodes, four pods, a service and a policy, and the mesh's programs.
//!
//! ```text
//!   node-a                      control                      node-b
//!   ├─ client                   └─ culvert-control           ├─ web-1   (service web)
//!   ├─ web-2   (service web)                                 ├─ db      (only service account web)
//!   └─ culvert-agent, -node  ══════ routed link ══════       └─ culvert-agent, -node
//! ```
//! It is all gone when the stage is dropped, or when the process ends in whatever way.

use std::collections::BTreeSet;
use std::env;
use std::io;
use std::net::{IpAddr, SocketAddrV4};
use std::path::Path;
use std::time::Duration;

use culvert_lab::http::{self, Answer};
use culvert_lab::{
    Lab, LogPosition, Node, Pod, PodSpec, Program, Programs, Section, Service, ServiceSpec, Wire, wait_for,
};
use culvert_sys::netns::Netns;

use super::Error;
use super::application::Application;
use super::facts::access::AccessLine;
use super::narration::Narration;

/// What the client says and nobody on the way should read.
pub(crate) const SECRET: &str = "the-vault-code-is-7391";

const SERVICE_PORT: u16 = 80;
const WEB_PORT: u16 = 8080;
const DB_PORT: u16 = 5432;

/// Lets service account `web` talk to the workloads that refer to it, and so nobody else.
const POLICY: &str = "
    - name: db-only-from-web
      namespace: default
      scope: WorkloadSelector
      action: Allow
      rules: [[[{serviceAccounts: [{namespace: default, serviceAccount: web}]}]]]
";
const REFERS_TO_POLICY: &str = "authorizationPolicies: [default/db-only-from-web]";

/// How long a node may take to log a connection that has ended.
const LOGGED: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) lab: Lab,
    pub(crate) nodes: [Host; 2],
    pub(crate) client: Pod,
    pub(crate) web: Service,
    pub(crate) web_1: Application,
    pub(crate) web_2: Application,
    pub(crate) db: Application,
}

/// A node with its data plane running.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) node: Node,
    pub(crate) proxy: Program,
}

impl Stage {
    /// Builds everything; no pod is in the mesh yet.
    pub(crate) fn build(narration: &Narration<'_>) -> Result<Self, Error> {
        let lab = Lab::new("demo")?.with_programs(programs()?);
        let [a, b] = [lab.node("node-a")?, lab.node("node-b")?];
        narration.say(format!(
            "node-a ({}) and node-b ({}) are joined by a routed link",
            a.ip4(),
            b.ip4()
        ))?;
        let pod = |node: &Node, spec: PodSpec| -> Result<Pod, Error> {
            let pod = lab.pod(node, spec)?;
            let (name, account, ip) = (pod.name(), pod.service_account(), pod.ip4());
            narration.say(format!(
                "pod {name} is on {} with service account {account} and address {ip}",
                node.name()
            ))?;
            Ok(pod)
        };
        let client = pod(&a, spec("client", "client", ""))?;
        let web_2 = pod(&a, spec("web-2", "web", ""))?;
        let web_1 = pod(&b, spec("web-1", "web", ""))?;
        let db = pod(&b, spec("db", "db", REFERS_TO_POLICY))?;

        let web = lab.service(ServiceSpec::new("web").port(SERVICE_PORT, WEB_PORT), &[&web_1, &web_2])?;
        narration.say(format!("service web is {}:{SERVICE_PORT}, in front of web-1 and web-2", web.ip4()))?;
        lab.set(Section::Policies, POLICY)?;
        narration.say("policy: only service account web may call db")?;
        let web_1 = Application::start(&lab, web_1, WEB_PORT)?;
        let web_2 = Application::start(&lab, web_2, WEB_PORT)?;
        let db = Application::start(&lab, db, DB_PORT)?;

        let nodes = start(&lab, [a, b], narration)?;
        Ok(Self { lab, nodes, client, web, web_1, web_2, db })
    }

    /// All pods.
    pub(crate) fn pods(&self) -> [&Pod; 4] {
        [&self.client, &self.web_1.pod, &self.web_2.pod, &self.db.pod]
    }

    /// The addresses of the pods, and the service's, which should never be seen outside a pod.
    pub(crate) fn addresses(&self) -> BTreeSet<IpAddr> {
        self.pods().iter().flat_map(|pod| pod.ips()).chain(self.web.ips()).collect()
    }

    /// Where the service listens.
    pub(crate) fn web_address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.web.ip4(), SERVICE_PORT)
    }

    /// Records what passes between the nodes.
    pub(crate) fn link(&self) -> Result<Wire, Error> {
        let [a, b] = &self.nodes;
        Ok(self.lab.wire(&a.node, &b.node)?)
    }

    /// Records what leaves and enters the client's pod.
    pub(crate) fn client_interface(&self) -> Result<Wire, Error> {
        Ok(self.lab.wire_of_pod(&self.client)?)
    }

    /// Makes the ends of both nodes' logs, so that [`Host::access_line`] looks at later lines only.
    pub(crate) fn log_positions(&self) -> [LogPosition; 2] {
        [self.nodes[0].proxy.log_position(), self.nodes[1].proxy.log_position()]
    }
}

impl Host {
    /// Waits for a line of the access log that says all this; a line without any field when there is none.
    pub(crate) fn access_line(&self, since: LogPosition, says: &[(&str, &str)]) -> AccessLine {
        let found = wait_for(LOGGED, "the line is there", || {
            let log = self.proxy.log_since(since);
            let mut lines = log.lines().filter_map(AccessLine::parse);
            lines.find(|line| says.iter().all(|(name, value)| line.is(name, value)))
        });
        found.unwrap_or_default()
    }
}

/// Asks as a pod's application, over HTTP, for a path with the secret in it.
pub(crate) fn ask(pod: &Pod, server: SocketAddrV4) -> io::Result<Answer> {
    http::get(pod.netns(), server, &format!("/?{SECRET}"))
}

/// What a person types to run a command inside a namespace.
pub(crate) fn inside(netns: &Netns, command: &str) -> String {
    format!("nsenter --net={} {command}", netns.path().display())
}

/// A pod of a deployment that is called like its service account.
fn spec(name: &str, account: &str, more: &str) -> PodSpec {
    let keys = format!("workloadName: {account}\ncanonicalName: {account}\n{more}");
    PodSpec::new(name).service_account(account).mesh_keys(&keys)
}

fn start(lab: &Lab, nodes: [Node; 2], narration: &Narration<'_>) -> Result<[Host; 2], Error> {
    let control = lab.start_control()?;
    narration.say(format!("culvert-control (pid {}) serves on {}", control.pid(), lab.control_address()))?;
    let start = |node: Node| -> Result<Host, Error> {
        let agent = lab.start_agent(&node)?;
        let proxy = lab.start_node(&node)?;
        let (name, agent, pid) = (node.name(), agent.pid(), proxy.pid());
        narration
            .say(format!("culvert-agent (pid {agent}) and culvert-node (pid {pid}) are ready on {name}"))?;
        Ok(Host { node, proxy })
    };
    let [a, b] = nodes;
    Ok([start(a)?, start(b)?])
}

/// The mesh's programs, which are built into the same directory as this one.
fn programs() -> Result<Programs, Error> {
    let this = env::current_exe().map_err(Error::Whereabouts)?;
    let programs = Programs::from_directory(this.parent().unwrap_or(Path::new("/")));
    for path in [&programs.node, &programs.agent, &programs.control] {
        if !path.is_file() {
            return Err(Error::MissingProgram { path: path.clone() });
        }
    }
    Ok(programs)
}
