//! Two networks: a client on the one, and on the other, `west`, a server behind a gateway.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};

use culvert_lab::{
    Behaviour, Error, Lab, Node, Pod, PodSpec, Program, Server, Service, ServiceSpec, wait_for,
};

use crate::harness::certificates::{Authority, Certificate};
use crate::harness::cluster::{lab, serve_all, service_spec};
use crate::harness::h2_waypoint::{Way, Waypoint};
use crate::harness::talk::SOON;

/// Where applications of a test's own are called.
pub(super) const PORT: u16 = 80;

/// The two networks. Nothing runs in the gateway's pod yet.
pub(super) struct Networks {
    pub(super) lab: Lab,
    /// On the network without a name.
    pub(super) here: Node,
    /// On `west`.
    pub(super) there: Node,
    pub(super) client: Pod,
    pub(super) neighbour: Pod,
    pub(super) gate: Pod,
    pub(super) server: Pod,
    /// In front of the server.
    pub(super) far: Service,
}

impl Networks {
    /// Wires it up and starts the applications, but no program of the mesh.
    pub(super) fn without_mesh(name: &str) -> Result<Self, Error> {
        let lab = lab(name)?;
        let (here, there) = (lab.node("here")?, lab.node("there")?);
        let pod = |name: &str| PodSpec::new(name).service_account(name);
        let client = lab.pod(&here, pod("client").mesh_keys("workloadName: caller"))?;
        let neighbour = lab.pod(&here, pod("neighbour"))?;
        let gate = lab.pod(&there, gate("gate"))?;
        let keys = format!("workloadName: orders\n{}", behind(&at(gate.ip4())));
        let server = lab.pod(&there, pod("server").mesh_keys(&keys))?;
        for pod in [&client, &neighbour, &server] {
            serve_all(&lab, pod)?;
        }
        let vouched = vouching(&[&server.identity()]);
        let far = lab.service(service_spec("far").mesh_keys(&vouched), &[&server])?;
        Ok(Self { lab, here, there, client, neighbour, gate, server, far })
    }

    /// With everything running but the gateway.
    pub(super) fn start(name: &str) -> Result<Self, Error> {
        let networks = Self::without_mesh(name)?;
        networks.start_mesh(&[])?;
        Ok(networks)
    }

    /// Puts the client, its neighbour, the server and other pods into the mesh, and starts all its programs.
    pub(super) fn start_mesh(&self, others: &[&Pod]) -> Result<(), Error> {
        let Self { lab, here, there, client, neighbour, server, .. } = self;
        lab.enrol_all(&[&[client, neighbour, server], others].concat())?;
        lab.start_control()?;
        lab.start_agent(here)?;
        lab.start_agent(there)?;
        lab.start_node(here)?;
        lab.start_node_as(there, lab.node_launch(there)?.env("NETWORK", "west"))?;
        // Agents and proxies are there: this waits until they have captured the pods.
        lab.enrol_all(&[&[client, neighbour, server], others].concat())
    }

    /// An application of the server and the service in front of it, which vouches for the server.
    #[track_caller]
    pub(super) fn application(&self, name: &str, behaviour: Behaviour) -> (Service, Server) {
        let application = self.lab.serve(&self.server, 0, behaviour).unwrap();
        let vouched = vouching(&[&self.server.identity()]);
        let spec = ServiceSpec::new(name).port(PORT, application.port()).mesh_keys(&vouched);
        (self.lab.service(spec, &[&self.server]).unwrap(), application)
    }

    /// Connects as the client from a port that nobody else calls from: two connections from the same port to different places cannot
    /// both be captured with it. Gives the client's end, too.
    #[track_caller]
    pub(super) fn call(&self, to: impl Into<SocketAddr>) -> (TcpStream, SocketAddr) {
        let stream = self.client.connect_from(unused_port(), to, SOON).unwrap();
        let own = stream.local_addr().unwrap();
        (stream, own)
    }

    /// A certificate of the mesh for a service account.
    #[track_caller]
    pub(super) fn certificate(&self, account: &str) -> Certificate {
        let identity = format!("spiffe://cluster.local/ns/default/sa/{account}");
        Authority::of_control(&self.lab).issue(self.lab.directory(), &identity)
    }

    /// Starts a gateway of Python's h2 in a pod.
    #[track_caller]
    pub(super) fn lead(&self, gate: &Pod, ways: &[Way]) -> Waypoint {
        Waypoint::start(&self.lab, gate.clone(), &self.certificate("gate"), ways)
    }

    /// The proxy of the client's node, or of the server's.
    #[track_caller]
    pub(super) fn proxy(&self, node: &Node) -> Program {
        self.lab.proxy(node).unwrap()
    }
}

/// A port that nobody calls from, below those the kernel chooses.
pub(super) fn unused_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(21_000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A pod for a gateway of `west`.
pub(super) fn gate(name: &str) -> PodSpec {
    PodSpec::new(name).service_account("gate").takes_tunnels().mesh_keys("network: west")
}

/// Keys of a workload on `west`, behind a gateway.
pub(super) fn behind(gateway: &str) -> String {
    format!("network: west\nnetworkGateway: {{{gateway}}}")
}

/// A gateway, by its address.
pub(super) fn at(ip: impl Into<IpAddr>) -> String {
    format!("destination: \"west/{}\"", ip.into())
}

/// A gateway, by the name of its service; at the port a gateway's service has.
pub(super) fn called(service: &Service) -> String {
    format!("destination: \"{}/{}\", hboneMtlsPort: 15009", service.namespace(), service.hostname())
}

/// A gateway's service: its port is not the one that pods listen on.
pub(super) fn gate_service(name: &str) -> ServiceSpec {
    ServiceSpec::new(name).port(15009, 15008)
}

/// A key of a service: who may be behind it.
pub(super) fn vouching(identities: &[&str]) -> String {
    format!("subjectAltNames: {identities:?}")
}

/// What a gateway is asked for.
pub(super) fn authority(service: &Service, port: u16) -> String {
    format!("{}:{port}", service.hostname())
}

/// The line a proxy logs about the end of a connection that all these parts are in.
#[track_caller]
pub(super) fn logged(proxy: &Program, parts: &[String]) -> String {
    let is_it = |line: &&str| {
        line.contains("connection complete") && parts.iter().all(|part| line.contains(part.as_str()))
    };
    let what = format!("{} logs a line with {parts:?}", proxy.name());
    wait_for(SOON, &what, || proxy.log_text().lines().find(is_it).map(str::to_owned)).unwrap()
}

/// Fails unless all parts are in a line.
#[track_caller]
pub(super) fn assert_says(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "`{part}` is not in: {line}");
    }
}
