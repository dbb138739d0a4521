//! The lab: makes the cluster, knows everything in it, and takes it down.
//!
//! Topology is here, that of pods in [`pods`]; the mesh's programs are in [`start`], what they are told in [`enrol`] and
//! [`files`].

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use culvert_sys::netns::Netns;

use crate::address;
use crate::containers::Containers;
use crate::directory::Directory;
use crate::error::check_name;
use crate::host::{self, End, Forwarding};
use crate::launch::Launch;
use crate::mesh::Additions;
use crate::node::{self, Node};
use crate::pod::Pod;
use crate::program::{Program, with_evidence};
use crate::programs::Programs;
use crate::server::{Behaviour, Server};
use crate::service::{Service, ServiceSpec};
use crate::slow::{Quality, SlowWire};
use crate::wire::Wire;
use crate::{Error, preflight, tool};

mod containers;
mod enrol;
mod files;
mod pods;
mod start;

/// Interface names have at most 15 characters, three of which are `to-`.
const LONGEST_NODE_NAME: usize = 12;
/// What DNS allows for one label.
const LONGEST_LABEL: usize = 63;
/// How long programs get to end in order when the lab is dropped.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A cluster of network namespaces. Everything in it ends when it is dropped.
///
/// All methods take `&self`, so that a test can act from several threads.
#[derive(Debug)]
pub struct Lab {
    programs: Option<Programs>,
    control: Arc<Netns>,
    state: Mutex<State>,
    /// Held by whoever changes the mesh, until the programs have taken the change.
    applying: Mutex<()>,
    directory: Directory,
}

#[derive(Debug, Default)]
struct State {
    nodes: Vec<Node>,
    /// How many pods each node ever had: addresses are used twice only where that is asked for.
    pods_made: Vec<usize>,
    pods: Vec<Pod>,
    /// Those of them that a container runtime has made.
    adopted: BTreeSet<String>,
    enrolled: BTreeSet<String>,
    services: Vec<Service>,
    additions: Additions,
    running: Vec<Running>,
    servers: Vec<Server>,
    slow_wires: Vec<SlowWire>,
    containers: Vec<(String, Containers)>,
}

/// A started program and what the lab needs to know about it.
#[derive(Debug, Clone)]
struct Running {
    role: Role,
    program: Program,
}

#[derive(Debug, Clone)]
enum Role {
    Control,
    /// The agent of the named node.
    Agent(String),
    /// A data plane that follows the mesh file: the named node's, or a single pod's when there is no name.
    Proxy(Option<String>, Arc<Netns>),
    Other,
}

impl Lab {
    /// Makes an empty lab; `name` shows in its directory's name.
    ///
    /// # Errors
    /// When this machine cannot run one, with what to do about it.
    pub fn new(name: &str) -> Result<Self, Error> {
        preflight::check()?;
        check_name("lab", name, LONGEST_LABEL)?;
        let directory = Directory::create(name)?;
        directory.subdirectory(start::MESH)?;
        let control = host::create("control", Forwarding::Off)?;
        Ok(Self { programs: None, control, state: Mutex::default(), applying: Mutex::default(), directory })
    }

    /// Tells the lab which programs to start.
    #[must_use]
    pub fn with_programs(mut self, programs: Programs) -> Self {
        self.programs = Some(programs);
        self
    }

    /// Where the programs' logs and files are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Keeps the directory when the lab is dropped.
    pub fn keep_directory(&self) {
        self.directory.keep();
    }

    /// The host of the control plane.
    #[must_use]
    pub fn control_netns(&self) -> &Arc<Netns> {
        &self.control
    }

    /// Adds a node, wired to every other node and to the control plane's host.
    ///
    /// # Errors
    /// When the name is unfit, or the kernel refuses.
    pub fn node(&self, name: &str) -> Result<Node, Error> {
        check_name("node", name, LONGEST_NODE_NAME)?;
        // Held to the end: the next node must find this one wired.
        let mut state = self.state();
        let index = state.nodes.len();
        let directory = self.directory.subdirectory(name)?;
        self.directory.subdirectory(&format!("{name}/{}", node::SOCKETS))?;
        let netns = host::create(name, Forwarding::On)?;
        let node = Node::new(name, index, netns, address::node(index)?, directory);
        self.wire_to_control(&node)?;
        for other in &state.nodes {
            wire_nodes(other, &node)?;
        }
        state.nodes.push(node.clone());
        state.pods_made.push(0);
        Ok(node)
    }

    fn wire_to_control(&self, node: &Node) -> Result<(), Error> {
        let own_name = format!("to-{}", node.name());
        let here = End { netns: node.netns(), interface: "to-control", address: node.address() };
        let there = End { netns: &self.control, interface: &own_name, address: address::control() };
        host::link(&here, &there)?;
        route_to_pods(&self.control, node)
    }

    /// Adds a service in front of some pods, and waits until the running proxies know it.
    ///
    /// # Errors
    /// When a name is unfit, or a proxy does not take it over.
    pub fn service(&self, spec: ServiceSpec, pods: &[&Pod]) -> Result<Service, Error> {
        check_name("service", &spec.name, LONGEST_LABEL)?;
        check_name("namespace", &spec.namespace, LONGEST_LABEL)?;
        let service = {
            let mut state = self.state();
            let address = address::service(state.services.len())?;
            let service = Service { spec, address, pods: pods.iter().map(|pod| (*pod).clone()).collect() };
            state.services.push(service.clone());
            service
        };
        self.apply()?;
        Ok(service)
    }

    /// Puts a service in front of other pods than before, and waits until the running proxies know it.
    ///
    /// # Errors
    /// When a proxy does not take it over.
    pub fn set_endpoints(&self, service: &Service, pods: &[&Pod]) -> Result<(), Error> {
        for known in &mut self.state().services {
            if known.hostname() == service.hostname() {
                known.pods = pods.iter().map(|pod| (*pod).clone()).collect();
            }
        }
        self.apply()
    }

    /// Replaces the wire between two nodes by one that takes its time and loses packets, until the lab is dropped.
    /// Established connections go on over it.
    ///
    /// # Errors
    /// When the kernel refuses, as without `/dev/net/tun`, or the wire was replaced before.
    pub fn slow_wire(&self, one: &Node, other: &Node, quality: Quality) -> Result<SlowWire, Error> {
        let (left, right) = ends_between(one, other);
        let (left, right) = (end(one, &left), end(other, &right));
        tool::ip(left.netns, &[format!("link del {}", left.interface)])?;
        let wire = SlowWire::open(&left, &right, quality)?;
        host::address(&left, &right)?;
        route_between(one, other)?;
        self.state().slow_wires.push(wire.clone());
        Ok(wire)
    }

    /// Starts to record what passes between two nodes.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn wire(&self, one: &Node, other: &Node) -> Result<Wire, Error> {
        Wire::open(one.netns(), &format!("to-{}", other.name()))
    }

    /// Starts to record what passes between a pod and its node.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn wire_of_pod(&self, pod: &Pod) -> Result<Wire, Error> {
        Wire::open(pod.netns(), "eth0")
    }

    /// Starts an application in a pod. It runs until it is stopped or the lab is dropped.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn serve(&self, pod: &Pod, port: u16, behaviour: Behaviour) -> Result<Server, Error> {
        let server = Server::start(pod, port, behaviour)?;
        self.state().servers.push(server.clone());
        Ok(server)
    }

    /// Starts any program.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, launch: Launch) -> Result<Program, Error> {
        self.start_as(Role::Other, launch)
    }

    fn start_as(&self, role: Role, launch: Launch) -> Result<Program, Error> {
        let program = launch.start(self.directory.path())?;
        self.state().running.push(Running { role, program: program.clone() });
        Ok(program)
    }

    /// Waits until a condition holds; a failure shows the ends of all logs.
    ///
    /// # Errors
    /// [`Error::Timeout`] when it did not hold within `deadline`; `what` completes the sentence "waited until ...".
    pub fn wait_until(
        &self,
        deadline: Duration,
        what: &str,
        condition: impl FnMut() -> bool,
    ) -> Result<(), Error> {
        crate::wait_until(deadline, what, condition).map_err(|error| self.explain(error))
    }

    /// The ends of the logs of all programs, to be shown when something went wrong.
    #[must_use]
    pub fn evidence(&self) -> String {
        let programs = self.state().running.clone();
        programs.iter().map(|running| running.program.evidence()).collect()
    }

    /// Adds the logs to an error, and keeps them unless the error says all there is to say.
    fn explain(&self, error: Error) -> Error {
        if !matches!(error, Error::Refused { .. }) {
            self.directory.keep();
        }
        with_evidence(error, || self.evidence())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wire_nodes(one: &Node, other: &Node) -> Result<(), Error> {
    let (left, right) = ends_between(one, other);
    host::link(&end(one, &left), &end(other, &right))?;
    route_between(one, other)
}

/// The names of the interfaces at both ends of the wire between two nodes.
fn ends_between(one: &Node, other: &Node) -> (String, String) {
    (format!("to-{}", other.name()), format!("to-{}", one.name()))
}

fn end<'h>(node: &'h Node, interface: &'h str) -> End<'h> {
    End { netns: node.netns(), interface, address: node.address() }
}

fn route_between(one: &Node, other: &Node) -> Result<(), Error> {
    route_to_pods(one.netns(), other)?;
    route_to_pods(other.netns(), one)
}

fn route_to_pods(from: &Netns, node: &Node) -> Result<(), Error> {
    let [v4, v6] = address::pod_networks(node.index())?;
    host::route(from, [&v4, &v6], node.address())
}

impl Drop for Lab {
    fn drop(&mut self) {
        let state = std::mem::take(self.state.get_mut().unwrap_or_else(PoisonError::into_inner));
        state.servers.iter().for_each(Server::stop);
        state.slow_wires.iter().for_each(SlowWire::cut);
        let programs: Vec<_> = state.running.into_iter().map(|running| running.program).collect();
        for program in &programs {
            // One that cannot be asked is killed below.
            let _ = program.terminate();
        }
        let end = Instant::now() + LAST_WORDS;
        for program in programs {
            let left = end.saturating_duration_since(Instant::now());
            let _ = program.wait_for_exit(left).or_else(|_| program.kill_hard());
        }
        for (node, containers) in state.containers {
            if let Err(error) = containers.end() {
                eprintln!("something of the containers of node {node} is left: {error:?}");
            }
        }
    }
}
