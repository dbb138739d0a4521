//! A cluster of two nodes with the pods and applications most tests need.

use std::net::SocketAddr;
use std::sync::Arc;

use culvert_lab::{
    Behaviour, Error, Lab, Launch, Node, Pod, PodSpec, Program, Programs, Service, ServiceSpec,
};

use super::shared::Shared;

/// Sends everything back.
pub(crate) const ECHO: u16 = 7007;
/// Says `POD CALLER` in one line.
pub(crate) const WHO: u16 = 7010;
/// Takes bulk data and answers its digest.
pub(crate) const SINK: u16 = 7009;
/// Sends [`BULK`] bytes of bulk data.
pub(crate) const SOURCE: u16 = 7019;
/// How much bulk data is moved.
pub(crate) const BULK: u64 = 10 * 1024 * 1024;

/// Every service forwards this much lower port to each of the ports above.
const SERVICE_OFFSET: u16 = 7000;

/// Two nodes; `client` and `neighbour` live on the first, `server` and `outsider` on the second. The outsider is never
/// in the mesh. All pods run all applications.
pub(crate) struct Cluster {
    pub(crate) lab: Lab,
    pub(crate) one: Node,
    pub(crate) two: Node,
    pub(crate) client: Pod,
    pub(crate) neighbour: Pod,
    pub(crate) server: Pod,
    pub(crate) outsider: Pod,
    /// In front of `server`.
    pub(crate) web: Service,
    /// In front of `neighbour`.
    pub(crate) near: Service,
}

/// The programs under test: ours, with the node program that `SUBJECT` names, if it is set.
pub(crate) fn programs() -> Result<Programs, Error> {
    let ours = Programs::build()?;
    let Some(subject) = std::env::var_os("SUBJECT") else { return Ok(ours) };
    // Programs run in the lab's directory, where a relative path means something else.
    let subject = std::fs::canonicalize(&subject)
        .unwrap_or_else(|error| panic!("SUBJECT={} cannot be used: {error}", subject.display()));
    Ok(ours.with_node(subject))
}

/// An empty lab that knows the programs under test.
pub(crate) fn lab(name: &str) -> Result<Lab, Error> {
    Ok(Lab::new(name)?.with_programs(programs()?))
}

/// Starts all applications in a pod.
pub(crate) fn serve_all(lab: &Lab, pod: &Pod) -> Result<(), Error> {
    lab.serve(pod, ECHO, Behaviour::Echo)?;
    lab.serve(pod, WHO, Behaviour::WhoAmI)?;
    lab.serve(pod, SINK, Behaviour::Sink)?;
    lab.serve(pod, SOURCE, Behaviour::Source(BULK))?;
    Ok(())
}

/// A service with a port for each application.
pub(crate) fn service_spec(name: &str) -> ServiceSpec {
    [ECHO, WHO, SINK, SOURCE]
        .iter()
        .fold(ServiceSpec::new(name), |spec, port| spec.port(service_port(*port), *port))
}

/// The port of a service that leads to an application.
pub(crate) fn service_port(port: u16) -> u16 {
    port - SERVICE_OFFSET
}

/// Starts another proxy for a node, and waits until it is ready.
pub(crate) fn start_next(lab: &Lab, node: &Node) -> Program {
    lab.start_node_as(node, next_launch(lab, node)).unwrap()
}

/// How another proxy for a node is started. Like any second one it has a network of its own.
pub(crate) fn next_launch(lab: &Lab, node: &Node) -> Launch {
    let home = lab.pod(node, PodSpec::new("next-proxy").namespace("mesh-system")).unwrap();
    launch_in(lab, node, &home)
}

/// How a node's proxy is started in a pod of its own.
pub(crate) fn launch_in(lab: &Lab, node: &Node, home: &Pod) -> Launch {
    Launch::new(home.name(), programs().unwrap().node, home.netns())
        .arg("proxy")
        .env("NODE_NAME", node.name())
        .env("INPOD_UDS", node.agent_socket().display())
        .env("AUTH_TOKEN", node.token_file().display())
        .env("XDS_ADDRESS", format!("https://{}", lab.control_address()))
        .env("XDS_ROOT_CA", lab.root_certificate().display())
        .env("CA_ADDRESS", format!("https://{}", lab.control_address()))
        .env("CA_ROOT_CA", lab.root_certificate().display())
}

impl Cluster {
    /// Wires it up and starts the applications, but no program of the mesh.
    pub(crate) fn without_mesh(name: &str) -> Result<Self, Error> {
        let lab = lab(name)?;
        let (one, two) = (lab.node("one")?, lab.node("two")?);
        let client = lab.pod(&one, PodSpec::new("client").service_account("client"))?;
        let neighbour = lab.pod(&one, PodSpec::new("neighbour").service_account("neighbour"))?;
        let server = lab.pod(&two, PodSpec::new("server").service_account("server"))?;
        let outsider = lab.pod(&two, PodSpec::new("outsider"))?;
        for pod in [&client, &neighbour, &server, &outsider] {
            serve_all(&lab, pod)?;
        }
        let web = lab.service(service_spec("web"), &[&server])?;
        let near = lab.service(service_spec("near"), &[&neighbour])?;
        Ok(Self { lab, one, two, client, neighbour, server, outsider, web, near })
    }

    /// Puts all pods but the outsider into the mesh and starts all programs.
    pub(crate) fn start_mesh(&self) -> Result<(), Error> {
        self.enrol()?;
        self.lab.start_mesh()
    }

    /// Puts all pods but the outsider into the mesh.
    fn enrol(&self) -> Result<(), Error> {
        self.lab.enrol_all(&[&self.client, &self.neighbour, &self.server])
    }

    /// Starts the programs of the mesh with these settings of the nodes' proxies.
    pub(crate) fn start_programs(&self, settings: &[(&str, &str)]) -> Result<(), Error> {
        self.lab.start_control()?;
        for node in [&self.one, &self.two] {
            self.lab.start_agent(node)?;
            let launch = self.lab.node_launch(node)?;
            let launch = settings.iter().fold(launch, |launch, (name, value)| launch.env(name, value));
            self.lab.start_node_as(node, launch)?;
        }
        Ok(())
    }

    /// A cluster with everything running.
    pub(crate) fn start(name: &str) -> Result<Self, Error> {
        let cluster = Self::without_mesh(name)?;
        cluster.start_mesh()?;
        Ok(cluster)
    }

    /// A cluster with everything running, with these settings of the nodes' proxies.
    pub(crate) fn start_with(name: &str, settings: &[(&str, &str)]) -> Result<Self, Error> {
        let cluster = Self::without_mesh(name)?;
        cluster.start_programs(settings)?;
        cluster.enrol()?;
        Ok(cluster)
    }

    /// The ways in which the client can reach an application, with the pod that must answer: on the same node and on
    /// the other, by pod address and by service address.
    pub(crate) fn ways(&self, family: Family, port: u16) -> Vec<(SocketAddr, &Pod)> {
        let at = |pod: &Pod| family.of(pod.ips(), port);
        let service = |service: &Service| family.of(service.ips(), service_port(port));
        vec![
            (at(&self.neighbour), &self.neighbour),
            (at(&self.server), &self.server),
            (service(&self.near), &self.neighbour),
            (service(&self.web), &self.server),
        ]
    }
}

/// A cluster for tests that change nothing in it; everybody gets the same one.
pub(crate) fn shared() -> Arc<Cluster> {
    static CLUSTER: Shared<Cluster> = Shared::new();
    CLUSTER.take(|| Cluster::start("shared"))
}

/// A version of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    /// The address of this family, out of one of each, with a port.
    pub(crate) fn of(self, [v4, v6]: [std::net::IpAddr; 2], port: u16) -> SocketAddr {
        let ip = match self {
            Self::V4 => v4,
            Self::V6 => v6,
        };
        (ip, port).into()
    }
}
