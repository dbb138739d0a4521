//! The programs of a lab's mesh: how each is started, and when it counts as started.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::address;
use crate::directory::replace;
use crate::http;
use crate::launch::Launch;
use crate::node::Node;
use crate::pod::Pod;
use crate::program::Program;
use crate::programs::Programs;
use crate::wait::{PATIENCE, wait_for};
use crate::{Error, Lab};

use super::Role;
use super::files::pod_token;

/// The directory of the mesh state.
pub(super) const MESH: &str = "mesh";
/// Where the control plane serves.
const CONTROL_PORT: u16 = 15012;
/// Where a proxy says whether it is ready.
const READINESS: ([u8; 4], u16) = ([127, 0, 0, 1], 15021);

impl Lab {
    /// The address and port of the control plane.
    #[must_use]
    pub fn control_address(&self) -> SocketAddr {
        (address::control().ip4, CONTROL_PORT).into()
    }

    /// The certificate that the control plane's own is signed with.
    #[must_use]
    pub fn root_certificate(&self) -> PathBuf {
        self.directory().join("ca/root-cert.pem")
    }

    /// The file the control plane serves the mesh state from.
    #[must_use]
    pub fn mesh_file(&self) -> PathBuf {
        self.directory().join(MESH).join("mesh.yaml")
    }

    /// Starts everything: the control plane, and agent and proxy of each node; waits until the pods enrolled so far
    /// are captured.
    ///
    /// # Errors
    /// When a program does not start or get ready in time; with the ends of the logs.
    pub fn start_mesh(&self) -> Result<(), Error> {
        self.start_control()?;
        let (nodes, pods) = {
            let state = self.state();
            (state.nodes.clone(), state.pods.clone())
        };
        for node in &nodes {
            self.start_agent(node)?;
            self.start_node(node)?;
        }
        pods.iter().filter(|pod| self.is_enrolled(pod)).try_for_each(|pod| self.wait_until_captured(pod))
    }

    /// Starts the control plane and waits until it serves.
    ///
    /// # Errors
    /// When it does not within twenty seconds; with the end of its log.
    pub fn start_control(&self) -> Result<Program, Error> {
        let launch = self.control_launch()?;
        let program = self.start_as(Role::Control, launch)?;
        program.wait_for_log("ready", PATIENCE).map_err(|error| self.explain(error))?;
        Ok(program)
    }

    /// The control plane, if it runs.
    #[must_use]
    pub fn control(&self) -> Option<Program> {
        self.state().control()
    }

    /// How the control plane is started, to be changed and given to [`Lab::start`].
    ///
    /// # Errors
    /// When its files cannot be written.
    pub fn control_launch(&self) -> Result<Launch, Error> {
        self.apply()?;
        let directory = self.directory();
        let launch = Launch::new("control", &self.known_programs()?.control, self.control_netns());
        Ok(launch
            .path_arg("--mesh", &directory.join(MESH))
            .path_arg("--ca-dir", &directory.join("ca"))
            .path_arg("--tokens", &directory.join("tokens.yaml"))
            .arg("--listen")
            .arg(self.control_address())
            .arg("--name")
            .arg(self.control_address().ip()))
    }

    /// Starts a node's agent and waits until it listens for the proxy.
    ///
    /// # Errors
    /// When it does not within twenty seconds; with the end of its log.
    pub fn start_agent(&self, node: &Node) -> Result<Program, Error> {
        let launch = self.agent_launch(node)?;
        self.start_agent_as(node, launch)
    }

    /// Starts a changed [`agent_launch`](Self::agent_launch).
    ///
    /// # Errors
    /// As [`start_agent`](Self::start_agent).
    pub fn start_agent_as(&self, node: &Node, launch: Launch) -> Result<Program, Error> {
        let program = self.start_as(Role::Agent(node.name().to_owned()), launch)?;
        let what = format!("{} listens on {}", program.name(), node.agent_socket().display());
        self.wait_while_running(&program, &what, || node.agent_listens())?;
        Ok(program)
    }

    /// How a node's agent is started.
    ///
    /// # Errors
    /// When its files cannot be written.
    pub fn agent_launch(&self, node: &Node) -> Result<Launch, Error> {
        self.apply()?;
        let name = format!("agent-{}", node.name());
        let launch = Launch::new(&name, &self.known_programs()?.agent, node.netns());
        Ok(launch.path_arg("--pods", &node.pods_file()).path_arg("--socket", &node.agent_socket()))
    }

    /// Starts a node's proxy and waits until it is ready, for which its agent must be running.
    ///
    /// # Errors
    /// When it is not within twenty seconds; with the ends of the logs.
    pub fn start_node(&self, node: &Node) -> Result<Program, Error> {
        let launch = self.node_launch(node)?;
        self.start_node_as(node, launch)
    }

    /// Starts a changed [`node_launch`](Self::node_launch).
    ///
    /// # Errors
    /// As [`start_node`](Self::start_node).
    pub fn start_node_as(&self, node: &Node, launch: Launch) -> Result<Program, Error> {
        self.start_proxy(Some(node.name().to_owned()), launch)
    }

    /// A node's proxy, if one runs; the newest of several.
    #[must_use]
    pub fn proxy(&self, node: &Node) -> Option<Program> {
        self.state().proxy_of(node.name()).map(|(program, _)| program)
    }

    /// How a node's proxy is started.
    ///
    /// # Errors
    /// When its files cannot be written.
    pub fn node_launch(&self, node: &Node) -> Result<Launch, Error> {
        self.apply()?;
        let launch =
            Launch::new(&format!("node-{}", node.name()), &self.known_programs()?.node, node.netns());
        Ok(self
            .proxy_environment(launch)
            .env("NODE_NAME", node.name())
            .env("AUTH_TOKEN", node.token_file().display())
            .env("INPOD_UDS", node.agent_socket().display()))
    }

    /// Starts a proxy for one pod only, inside it, and waits until it is ready. Redirecting traffic to it is the
    /// test's business.
    ///
    /// # Errors
    /// When it is not within twenty seconds; with the ends of the logs.
    pub fn start_dedicated(&self, pod: &Pod) -> Result<Program, Error> {
        let launch = self.dedicated_launch(pod)?;
        self.start_proxy(None, launch)
    }

    /// How a proxy for one pod is started. The control plane knows its token only if the pod was there before.
    ///
    /// # Errors
    /// When its files cannot be written.
    pub fn dedicated_launch(&self, pod: &Pod) -> Result<Launch, Error> {
        self.apply()?;
        let token = self.directory().join(format!("{}.token", pod.uid()));
        replace(&token, &pod_token(pod))?;
        let workload = format!("{}/{}/{}", pod.namespace(), pod.name(), pod.service_account());
        let launch = Launch::new(&format!("pod-{}", pod.name()), &self.known_programs()?.node, pod.netns());
        Ok(self
            .proxy_environment(launch)
            .env("NODE_NAME", pod.node())
            .env("AUTH_TOKEN", token.display())
            .env("PROXY_MODE", "dedicated")
            .env("PROXY_WORKLOAD_INFO", workload))
    }

    fn proxy_environment(&self, launch: Launch) -> Launch {
        launch
            .arg("proxy")
            .arg("ztunnel")
            .env("XDS_ADDRESS", format!("https://{}", self.control_address()))
            .env("XDS_ROOT_CA", self.root_certificate().display())
            .env("CA_ADDRESS", format!("https://{}", self.control_address()))
            .env("CA_ROOT_CA", self.root_certificate().display())
    }

    fn start_proxy(&self, node: Option<String>, launch: Launch) -> Result<Program, Error> {
        let netns = Arc::clone(launch.netns());
        let program = self.start_as(Role::Proxy(node, Arc::clone(&netns)), launch)?;
        let what = format!("{} is ready", program.name());
        let is_ready =
            || http::get(&netns, READINESS, "/healthz/ready").is_ok_and(|answer| answer.status == 200);
        self.wait_while_running(&program, &what, is_ready)?;
        Ok(program)
    }

    /// Waits for a condition as long as a program runs.
    pub(super) fn wait_while_running(
        &self,
        program: &Program,
        what: &str,
        mut condition: impl FnMut() -> bool,
    ) -> Result<(), Error> {
        let ended = || program.exit_status().map(|status| Err(program.ended(status, what.to_owned())));
        let waited = wait_for(PATIENCE, what, || if condition() { Some(Ok(())) } else { ended() });
        waited.and_then(|result| result).map_err(|error| self.explain(error))
    }

    fn known_programs(&self) -> Result<&Programs, Error> {
        self.programs.as_ref().ok_or(Error::NoPrograms)
    }
}
