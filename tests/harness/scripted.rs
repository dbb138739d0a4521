//! A node whose control plane is played by the test: [`Ads`] and [`Authority`] on one side, two pods on the other.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use culvert_lab::{Lab, Launch, Node, Pod, PodSpec, Program, Service, http};
use culvert_sys::child::{die_with_parent, start_in};
use serde_json::Value;

use super::ads::resources::{Told, of_yaml};
use super::ads::{Ads, Stream};
use super::authority::Authority;
use super::cluster::{ECHO, lab, serve_all, service_spec};
use super::endpoint::{Endpoint, Groups};
use super::metrics;
use super::pki::Issuer;
use super::talk::{Ending, SOON, exchange};

const ADMIN: ([u8; 4], u16) = ([127, 0, 0, 1], 15000);
const READINESS: ([u8; 4], u16) = ([127, 0, 0, 1], 15021);
/// The listeners of a captured pod.
const CAPTURE_PORTS: [u16; 3] = [15001, 15006, 15008];

/// One node with `client` and `server`, both in the mesh; the outsider is on another node and never is. The agent runs, the
/// node's proxy is started by the test.
pub(crate) struct Rig {
    pub(crate) ads: Ads,
    pub(crate) ca: Authority,
    pub(crate) node: Node,
    pub(crate) client: Pod,
    pub(crate) server: Pod,
    pub(crate) outsider: Pod,
    /// In front of `server`.
    pub(crate) web: Service,
    pub(crate) lab: Lab,
}

impl Rig {
    pub(crate) fn new(name: &str) -> Self {
        Self::with_groups(name, Groups::All)
    }

    /// With peers that can do these key exchanges.
    pub(crate) fn with_groups(name: &str, groups: Groups) -> Self {
        let lab = lab(name).unwrap();
        let (node, other) = (lab.node("one").unwrap(), lab.node("two").unwrap());
        let client = lab.pod(&node, PodSpec::new("client").service_account("client")).unwrap();
        let server = lab.pod(&node, PodSpec::new("server").service_account("server")).unwrap();
        let outsider = lab.pod(&other, PodSpec::new("outsider")).unwrap();
        serve_all(&lab, &server).unwrap();
        serve_all(&lab, &outsider).unwrap();
        let web = lab.service(service_spec("web"), &[&server]).unwrap();
        lab.enrol_all(&[&client, &server]).unwrap();
        lab.start_agent(&node).unwrap();
        let issuer = Issuer::root("control plane");
        fs::write(root_file(&lab), issuer.pem()).unwrap();
        let ads = Ads::start(&lab, &issuer, groups);
        let ca = Authority::start(&lab, &issuer, groups);
        Self { ads, ca, node, client, server, outsider, web, lab }
    }

    /// With the node's proxy running and told the mesh of the lab.
    pub(crate) fn start(name: &str) -> (Self, Stream, Program) {
        let rig = Self::new(name);
        let (stream, program) = rig.run(rig.launch());
        (rig, stream, program)
    }

    /// How the node's proxy is started.
    pub(crate) fn launch(&self) -> Launch {
        self.led_here(self.lab.node_launch(&self.node).unwrap())
    }

    /// Any proxy, with the peers of this rig as its control plane.
    pub(crate) fn led_here(&self, launch: Launch) -> Launch {
        let root = root_file(&self.lab).display().to_string();
        launch
            .env("XDS_ADDRESS", self.ads.endpoint.url())
            .env("XDS_ROOT_CA", &root)
            .env("CA_ADDRESS", self.ca.endpoint.url())
            .env("CA_ROOT_CA", &root)
    }

    /// Starts the node's proxy, tells it the mesh of the lab, and waits until it serves both pods.
    #[track_caller]
    pub(crate) fn run(&self, launch: Launch) -> (Stream, Program) {
        let program = self.lab.start(launch).unwrap();
        let stream = self.ads.sync(&self.told());
        self.wait_until_served();
        (stream, program)
    }

    /// The mesh of the lab.
    pub(crate) fn told(&self) -> Told {
        self.lab.apply().unwrap();
        of_yaml(&fs::read_to_string(self.lab.mesh_file()).unwrap())
    }

    /// Waits until both pods are captured and connections between them work.
    #[track_caller]
    pub(crate) fn wait_until_served(&self) {
        self.wait_until_captured(&[&self.client, &self.server]);
        self.lab.wait_until(SOON, "the pods reach each other", || self.works()).unwrap();
    }

    /// Waits until pods are captured.
    #[track_caller]
    pub(crate) fn wait_until_captured(&self, pods: &[&Pod]) {
        for pod in pods {
            let listens = |port: &u16| pod.listens(*port).unwrap();
            let captured = || CAPTURE_PORTS.iter().all(listens) && pod.is_captured().unwrap();
            self.lab.wait_until(SOON * 2, "the pods are captured", captured).unwrap();
        }
    }

    /// Whether a new connection between the pods works.
    pub(crate) fn works(&self) -> bool {
        self.call() == Ending::Complete(b"hello".to_vec())
    }

    /// A new connection from the client to the server.
    pub(crate) fn call(&self) -> Ending {
        exchange(&self.client, (self.server.ip4(), ECHO), b"hello")
    }

    /// Whether the node says it is ready, and what else it says; `None` while nobody answers.
    pub(crate) fn readiness(&self) -> Option<(bool, String)> {
        let answer = http::get(self.node.netns(), READINESS, "/healthz/ready").ok()?;
        Some((answer.status == 200, answer.text()))
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.readiness().is_some_and(|(ready, _)| ready)
    }

    #[track_caller]
    pub(crate) fn wait_until_ready(&self) {
        self.lab.wait_until(SOON * 2, "the node is ready", || self.is_ready()).unwrap();
    }

    /// Waits until the node is not ready and says all of this.
    #[track_caller]
    pub(crate) fn wait_until_it_says(&self, parts: &[&str]) {
        let said = || self.readiness().unwrap_or_default();
        let says = || {
            let (ready, text) = said();
            !ready && parts.iter().all(|part| text.contains(part))
        };
        let waited = self.lab.wait_until(SOON, "the node says what it waits for", says);
        waited.unwrap_or_else(|error| panic!("{error:?}\nsaid {:?}, not {parts:?}", said()));
    }

    /// `/config_dump`.
    pub(crate) fn dump(&self) -> Value {
        let answer = http::get(self.node.netns(), ADMIN, "/config_dump");
        answer.ok().and_then(|answer| serde_json::from_slice(&answer.body).ok()).unwrap_or_default()
    }

    /// What the dump says of an identity's certificate.
    pub(crate) fn certificate(&self, identity: &str) -> Value {
        let dump = self.dump();
        let all = dump["certificates"].as_array().map_or(&[][..], Vec::as_slice);
        all.iter().find(|one| one["identity"] == identity).cloned().unwrap_or_default()
    }

    /// What the dump says of a service of the control plane.
    pub(crate) fn sees(&self, service: &str) -> Value {
        self.dump()["controlPlane"][service].clone()
    }

    /// Waits until dump and metrics say that a service of the control plane is `Up`, `Down`...
    #[track_caller]
    pub(crate) fn wait_until_it_sees(&self, service: &str, state: &str) {
        let up = u64::from(state == "Up");
        let label = format!("service=\"{service}\"");
        let seen = || {
            self.sees(service)["state"] == state
                && metrics::counter(&self.node, "culvert_control_plane_up", &[&label]) == up
        };
        self.lab.wait_until(SOON * 2, "the node sees its control plane as it is", seen).unwrap();
    }

    /// Whatever is sent to an endpoint or by it disappears on the way, until the guard is dropped.
    #[track_caller]
    pub(crate) fn cut_off(&self, endpoint: &Endpoint) -> CutOff<'_> {
        let cut = CutOff { rig: self, port: endpoint.address().port() };
        cut.rules("-I");
        cut
    }
}

/// See [`Rig::cut_off`].
pub(crate) struct CutOff<'r> {
    rig: &'r Rig,
    port: u16,
}

impl CutOff<'_> {
    fn rules(&self, action: &str) {
        let port = self.port.to_string();
        for [chain, side] in [["INPUT", "--dport"], ["OUTPUT", "--sport"]] {
            let mut command = Command::new("iptables");
            command.args(["-w", "5", action, chain, "-p", "tcp", side, &port, "-j", "DROP"]);
            start_in(&mut command, self.rig.lab.control_netns()).unwrap();
            let output = die_with_parent(&mut command).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

impl Drop for CutOff<'_> {
    fn drop(&mut self) {
        self.rules("-D");
    }
}

fn root_file(lab: &Lab) -> PathBuf {
    lab.directory().join("control-plane.pem")
}
