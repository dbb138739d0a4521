//! Any HBONE client with a certificate of the mesh is served, whatever it is made of; without one, nobody is.
//!
//! The client is libcurl (`tests/peers/`), the certificates are made with the `openssl` program.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use culvert_lab::{Behaviour, Error, Launch, Pod, Section, Service, ServiceSpec};
use culvert_sys::tcp;

use crate::harness::certificates::{Authority, Certificate};
use crate::harness::cluster::Cluster;
use crate::harness::installed::installed;
use crate::harness::shared::Shared;
use crate::harness::talk::SOON;

/// A cluster with an HTTP server, and what is needed to make certificates.
pub(crate) struct Rig {
    pub(crate) cluster: Cluster,
    pub(crate) mesh: Authority,
    http: u16,
    /// In front of the HTTP server, on port 80.
    service: Service,
}

/// Lets everybody in but one.
const UNWELCOME: &str = "
    - name: no-curl
      namespace: default
      scope: Namespace
      action: Deny
      rules: [[[{ principals: [!Exact cluster.local/ns/default/sa/unwelcome] }]]]
    ";

fn rig() -> Arc<Rig> {
    static RIG: Shared<Rig> = Shared::new();
    RIG.take(|| Rig::start("interop"))
}

/// Sends the body of one request back, and says who asked.
pub(crate) fn serve_http(stream: TcpStream) -> io::Result<()> {
    let caller = tcp::canonical(stream.peer_addr()?);
    let (mut reader, mut length, mut line) = (BufReader::new(stream), 0, String::new());
    while reader.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let stream = reader.get_mut();
    write!(stream, "HTTP/1.1 200 OK\r\nX-Caller: {caller}\r\nContent-Length: {length}\r\n\r\n")?;
    stream.write_all(&body)
}

/// What the client has printed, by key.
pub(crate) struct Report(BTreeMap<String, String>);

impl Report {
    #[track_caller]
    pub(crate) fn assert(&self, expected: &[(&str, &str)]) {
        for (key, value) in expected {
            assert_eq!(self.0[*key], *value, "{key} of {:?}", self.0);
        }
    }

    /// The peer was turned away in the TLS handshake, with an alert.
    #[track_caller]
    fn assert_turned_away(&self) {
        self.assert(&[("connect", "none"), ("status", "0"), ("intact", "no")]);
        assert!(self.0["error"].contains("alert"), "{:?}", self.0);
    }
}

impl Rig {
    pub(crate) fn start(name: &str) -> Result<Self, Error> {
        Self::within(Cluster::start(name)?)
    }

    /// The same in a cluster that is there.
    pub(crate) fn within(cluster: Cluster) -> Result<Self, Error> {
        let mesh = Authority::of_control(&cluster.lab);
        let http = cluster.lab.serve(&cluster.server, 0, Behaviour::custom(serve_http))?.port();
        let service = cluster.lab.service(ServiceSpec::new("http").port(80, http), &[&cluster.server])?;
        let named = format!(
            "- {{name: named, namespace: default, hostname: named.example, vips: [], ports: {{80: 0}}, \
             endpoints: {{\"Kubernetes//Pod/default/server\": {{port: {{80: {http}}}}}}}}}"
        );
        cluster.lab.set(Section::Services, &named)?;
        cluster.lab.set(Section::Policies, UNWELCOME)?;
        Ok(Self { cluster, mesh, http, service })
    }

    pub(crate) fn tunnel(&self) -> SocketAddr {
        (self.cluster.server.ip4(), 15008).into()
    }

    pub(crate) fn application(&self) -> SocketAddr {
        (self.cluster.server.ip4(), self.http).into()
    }

    /// A certificate of the mesh for a workload.
    pub(crate) fn certificate(&self, identity: &str) -> Certificate {
        self.mesh.issue(self.cluster.lab.directory(), identity)
    }

    pub(crate) fn good_certificate(&self) -> Certificate {
        self.certificate("spiffe://cluster.local/ns/default/sa/curl")
    }

    /// Runs the client in the pod outside the mesh; `wish` are its arguments that say what it shall ask for.
    #[track_caller]
    pub(crate) fn ask(&self, server: SocketAddr, certificate: Option<&Certificate>, wish: &str) -> Report {
        self.ask_from(&self.cluster.outsider, server, certificate, wish)
    }

    #[track_caller]
    pub(crate) fn ask_from(
        &self,
        pod: &Pod,
        server: SocketAddr,
        certificate: Option<&Certificate>,
        wish: &str,
    ) -> Report {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/hbone_client.py");
        let mut launch = Launch::new("curl", installed("python"), pod.netns()).arg(script);
        launch = launch.arg("--server").arg(server).path_arg("--ca", &self.cluster.lab.root_certificate());
        if let Some(Certificate { chain, key }) = certificate {
            launch = launch.path_arg("--cert", chain).path_arg("--key", key);
        }
        let launch = wish.split_whitespace().fold(launch, Launch::arg);
        let program = self.cluster.lab.start(launch).unwrap();
        let status = program.wait_for_exit(SOON * 2).unwrap();
        let said = program.log_text();
        assert!(status.success(), "{said}");
        Report(said.split_whitespace().filter_map(|word| word.split_once('=')).map(owned).collect())
    }

    #[track_caller]
    fn connect(&self, certificate: Option<&Certificate>, authority: SocketAddr) -> Report {
        self.ask(self.tunnel(), certificate, &authority.to_string())
    }
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[test]
fn a_client_with_a_certificate_of_the_mesh_is_served() {
    let rig = rig();
    let report = rig.connect(Some(&rig.good_certificate()), rig.application());
    report.assert(&[
        ("connect", "200"),
        ("status", "200"),
        ("http", "2"),
        ("intact", "yes"),
        ("error", "none"),
    ]);
    let caller: SocketAddr = report.0["caller"].parse().unwrap();
    assert_eq!(caller.ip(), std::net::IpAddr::from(rig.cluster.outsider.ip4()));
}

#[test]
fn the_same_over_ipv6() {
    let rig = rig();
    let ip = rig.cluster.server.ip6();
    let report = rig.ask(
        (ip, 15008).into(),
        Some(&rig.good_certificate()),
        &SocketAddr::from((ip, rig.http)).to_string(),
    );
    report.assert(&[("connect", "200"), ("status", "200"), ("intact", "yes"), ("error", "none")]);
}

#[test]
fn a_host_name_leads_to_the_service_of_that_name() {
    let rig = rig();
    let report =
        rig.ask(rig.tunnel(), Some(&rig.good_certificate()), &format!("{}:80", rig.service.hostname()));
    report.assert(&[("connect", "200"), ("intact", "yes"), ("error", "none")]);
    // Where its service leaves that to each pod, the port is the pod's own.
    let report = rig.ask(rig.tunnel(), Some(&rig.good_certificate()), "named.example:80");
    report.assert(&[("connect", "200"), ("intact", "yes"), ("error", "none")]);
    let report = rig.ask(rig.tunnel(), Some(&rig.good_certificate()), "nobody.default.svc.cluster.local:80");
    report.assert(&[("connect", "503")]);
}

#[test]
fn a_client_without_a_certificate_is_turned_away() {
    let rig = rig();
    rig.connect(None, rig.application()).assert_turned_away();
}

#[test]
fn a_client_with_a_certificate_of_another_authority_is_turned_away() {
    let rig = rig();
    let stranger = Authority::create(rig.cluster.lab.directory());
    let certificate =
        stranger.issue(rig.cluster.lab.directory(), "spiffe://cluster.local/ns/default/sa/curl");
    rig.connect(Some(&certificate), rig.application()).assert_turned_away();
}

#[test]
fn a_client_of_another_trust_domain_is_turned_away() {
    let rig = rig();
    for identity in ["spiffe://elsewhere.org/ns/default/sa/curl", "https://cluster.local/ns/default/sa/curl"]
    {
        rig.connect(Some(&rig.certificate(identity)), rig.application()).assert_turned_away();
    }
}

#[test]
fn a_client_whose_certificate_has_expired_is_turned_away() {
    let rig = rig();
    let identity = "spiffe://cluster.local/ns/default/sa/curl";
    let certificate = rig.mesh.issue_expired(rig.cluster.lab.directory(), identity);
    rig.connect(Some(&certificate), rig.application()).assert_turned_away();
}

#[test]
fn only_connect_is_understood() {
    let rig = rig();
    let report = rig.ask(rig.tunnel(), Some(&rig.good_certificate()), "--get");
    report.assert(&[("status", "400"), ("http", "2")]);
}

#[test]
fn a_tunnel_leads_only_to_the_pod_it_ends_at() {
    let rig = rig();
    let certificate = rig.good_certificate();
    for ip in [rig.cluster.neighbour.ip4(), rig.cluster.outsider.ip4(), [127, 0, 0, 1].into()] {
        rig.connect(Some(&certificate), (ip, rig.http).into())
            .assert(&[("connect", "400"), ("intact", "no")]);
    }
    for port in [15001, 15006, 15008] {
        let report = rig.connect(Some(&certificate), (rig.cluster.server.ip4(), port).into());
        report.assert(&[("connect", "503"), ("intact", "no")]);
    }
}

#[test]
fn a_closed_port_is_answered_503() {
    let rig = rig();
    let closed = rig.cluster.server.listen(0).unwrap().local_addr().unwrap().port();
    let report = rig.connect(Some(&rig.good_certificate()), (rig.cluster.server.ip4(), closed).into());
    report.assert(&[("connect", "503"), ("intact", "no")]);
}

#[test]
fn a_client_that_policy_refuses_is_answered_401() {
    let rig = rig();
    let unwelcome = rig.certificate("spiffe://cluster.local/ns/default/sa/unwelcome");
    rig.connect(Some(&unwelcome), rig.application()).assert(&[("connect", "401"), ("intact", "no")]);
    rig.connect(Some(&rig.good_certificate()), rig.application())
        .assert(&[("connect", "200"), ("intact", "yes")]);
}

#[test]
fn policies_judge_the_port_a_host_name_leads_to() {
    let rig = Rig::start("interop-ports").unwrap();
    let host = format!("{}:80", rig.service.hostname());
    let certificate = rig.good_certificate();
    for (port, status) in [(80, "200"), (15008, "200"), (rig.http, "401")] {
        let closed = format!(
            "- {{name: closed, namespace: default, scope: Namespace, action: Deny, \
             rules: [[[{{ destinationPorts: [{port}] }}]]]}}"
        );
        rig.cluster.lab.set(Section::Policies, &closed).unwrap();
        rig.ask(rig.tunnel(), Some(&certificate), &host).assert(&[("connect", status)]);
    }
}

#[test]
fn the_log_says_why_a_request_was_refused() {
    let rig = Rig::start("interop-log").unwrap();
    let Cluster { lab, two, neighbour, server, .. } = &rig.cluster;
    let only = "- {name: only, namespace: default, scope: Namespace, action: Allow, \
                rules: [[[{ principals: [!Exact cluster.local/ns/default/sa/somebody] }]]]}";
    lab.set(Section::Policies, only).unwrap();
    let proxy = lab.proxy(two).unwrap();
    let certificate = rig.good_certificate();
    let mismatch = format!("ip mismatch: {} != {}", neighbour.ip4(), server.ip4());
    let unknown = "no service is called `nobody.example`";
    let ports = format!("{}:15006", server.ip4());
    for (authority, status, reason, why) in [
        (format!("{}:80", neighbour.ip4()), "400", "ip_mismatch", mismatch.as_str()),
        ("nobody.example:80".to_owned(), "503", "unknown_host", unknown),
        (ports, "503", "own_port", "port 15006 belongs to the proxy"),
        (rig.application().to_string(), "401", "denied", "allow policies exist, but none allowed"),
    ] {
        let position = proxy.log_position();
        rig.ask(rig.tunnel(), Some(&certificate), &authority).assert(&[("connect", status)]);
        let line = proxy.wait_for_log_since(position, "connection complete", SOON).unwrap();
        for part in [why, &format!("reason=\"{reason}\""), &format!("dst.hbone_addr={authority}"), "sa/curl"]
        {
            assert!(line.contains(part), "`{part}` is not in: {line}");
        }
    }
}
