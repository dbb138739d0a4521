//! Envoy, which real waypoints and gateways are made of, is a peer like any other: as client, and as server.
//!
//! Each Envoy runs in a pod of its own that no agent touches; what it needs is in `tests/peers/`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use culvert_lab::{Error, Pod, PodSpec, Program, Section};

use crate::harness::certificates::{Authority, Certificate};
use crate::harness::cluster::{BULK, Cluster, ECHO, SINK, SOURCE, serve_all};
use crate::harness::envoy;
use crate::harness::metrics::wait_for_flag;
use crate::harness::shared::Shared;
use crate::harness::talk::{
    Ending, SOON, assert_alive, assert_download, assert_echo, assert_reset, assert_upload, exchange,
};

/// A cluster, and the authority of its mesh.
pub(crate) struct Rig {
    pub(crate) cluster: Cluster,
    mesh: Authority,
}

impl Rig {
    pub(crate) fn start(name: &str) -> Result<Self, Error> {
        let cluster = Cluster::start(name)?;
        let mesh = Authority::of_control(&cluster.lab);
        Ok(Self { cluster, mesh })
    }

    fn certificate(&self, account: &str) -> Certificate {
        let identity = format!("spiffe://cluster.local/ns/default/sa/{account}");
        self.mesh.issue(self.cluster.lab.directory(), &identity)
    }

    /// Starts an Envoy in a pod, with values for the names in its configuration.
    #[track_caller]
    fn envoy(&self, pod: &Pod, template: &str, account: &str, values: &[(&str, &str)]) -> Program {
        let certificate = self.certificate(account);
        envoy::start(&self.cluster.lab, pod, &certificate, template, values)
    }

    /// An Envoy that tunnels to the applications of `server`, as a workload with the service account `envoy`.
    #[track_caller]
    pub(crate) fn client(&self, name: &str, tls: &str) -> (Pod, Program) {
        let lab = &self.cluster.lab;
        let pod = lab.pod(&self.cluster.one, PodSpec::new(name)).unwrap();
        let listeners: String =
            [ECHO, SINK, SOURCE].map(|port| LISTENER.replace("@PORT@", &port.to_string())).concat();
        let server = self.cluster.server.ip4().to_string();
        let values = [
            ("LISTENERS", &*listeners),
            ("SERVER", &*server),
            ("TLS", tls),
            ("PEER", &*self.cluster.server.identity()),
        ];
        let program = self.envoy(&pod, CLIENT, "envoy", &values);
        lab.wait_until(SOON, "Envoy listens", || pod.listens(ECHO).unwrap()).unwrap();
        (pod, program)
    }

    /// An Envoy that takes tunnels in front of applications, with a certificate for `account`. The mesh knows it as a
    /// workload with the service account `keeper`.
    #[track_caller]
    pub(crate) fn server(&self, name: &str, account: &str) -> (Pod, PathBuf, Program) {
        let lab = &self.cluster.lab;
        let pod = lab.pod(&self.cluster.two, PodSpec::new(name)).unwrap();
        serve_all(lab, &pod).unwrap();
        let log = lab.directory().join(format!("{name}-access.log"));
        let program = self.envoy(&pod, SERVER, account, &[("LOG", &log.display().to_string())]);
        lab.set(
            Section::Workloads,
            &format!(
                "- {{uid: Kubernetes//Pod/default/envoy-{name}, name: envoy-{name}, namespace: default, \
             serviceAccount: keeper, workloadIps: [\"{}\"], protocol: HBONE, services: {{}}}}\n",
                pod.ip4(),
            ),
        )
        .unwrap();
        lab.apply().unwrap();
        lab.wait_until(SOON, "Envoy listens", || pod.listens(15008).unwrap()).unwrap();
        (pod, log, program)
    }
}

const CLIENT: &str = include_str!("peers/envoy/client.yaml");
const LISTENER: &str = include_str!("peers/envoy/listener.yaml");
const SERVER: &str = include_str!("peers/envoy/server.yaml");

/// A rig with an Envoy as client, for tests that change nothing.
fn with_client() -> Arc<(Rig, Pod, Program)> {
    static RIG: Shared<(Rig, Pod, Program)> = Shared::new();
    RIG.take(|| {
        let rig = Rig::start("envoy-client")?;
        let (pod, program) = rig.client("caller", "TLSv1_3");
        Ok::<_, Error>((rig, pod, program))
    })
}

/// A rig with an Envoy as server, for tests that change nothing.
fn with_server() -> Arc<(Rig, Pod, PathBuf, Program)> {
    static RIG: Shared<(Rig, Pod, PathBuf, Program)> = Shared::new();
    RIG.take(|| {
        let rig = Rig::start("envoy-server")?;
        let (pod, log, program) = rig.server("keeper", "keeper");
        Ok::<_, Error>((rig, pod, log, program))
    })
}

/// Opens many connections, then uses each.
#[track_caller]
fn assert_many(from: &Pod, to: SocketAddr) {
    let mut streams: Vec<_> = (0..50).map(|_| from.connect(to, SOON).unwrap()).collect();
    for (i, stream) in streams.iter_mut().enumerate() {
        assert_alive(stream, format!("number {i}").as_bytes());
    }
}

#[test]
fn as_a_client_it_reaches_a_captured_pod() {
    let rig = with_client();
    let (Rig { cluster, .. }, envoy, _) = &*rig;
    assert_echo(&cluster.outsider, (envoy.ip4(), ECHO), b"from an Envoy");
    assert_upload(&cluster.outsider, (envoy.ip4(), SINK).into(), BULK);
    assert_download(&cluster.outsider, (envoy.ip4(), SOURCE).into(), BULK);
}

#[test]
fn as_a_client_it_puts_many_connections_on_a_tunnel() {
    let rig = with_client();
    assert_many(&rig.0.cluster.outsider, (rig.1.ip4(), ECHO).into());
}

#[test]
fn as_a_client_of_an_old_tls_version_it_is_turned_away() {
    let rig = Rig::start("envoy-tls12").unwrap();
    let (envoy, _program) = rig.client("old-caller", "TLSv1_2");
    let ending = exchange(&rig.cluster.outsider, (envoy.ip4(), ECHO), b"from the past");
    assert!([Ending::Reset, Ending::Complete(Vec::new())].contains(&ending), "{ending:?}");
    wait_for_flag(&rig.cluster.lab, &rig.cluster.two, "TLS_FAILURE");
}

#[test]
fn as_a_server_it_is_reached_by_a_captured_pod() {
    let rig = with_server();
    let (Rig { cluster, .. }, envoy, ..) = &*rig;
    assert_echo(&cluster.client, (envoy.ip4(), ECHO), b"to an Envoy");
    assert_upload(&cluster.client, (envoy.ip4(), SINK).into(), BULK);
    assert_download(&cluster.client, (envoy.ip4(), SOURCE).into(), BULK);
    assert_many(&cluster.client, (envoy.ip4(), ECHO).into());
}

#[test]
fn as_a_server_it_is_told_who_calls_and_from_where() {
    let rig = with_server();
    let (Rig { cluster, .. }, envoy, log, _) = &*rig;
    let stream = cluster.neighbour.connect((envoy.ip4(), ECHO), SOON).unwrap();
    let from = stream.local_addr().unwrap();
    let ending = crate::harness::talk::exchange_on(stream, b"who am I?");
    assert_eq!(ending, Ending::Complete(b"who am I?".to_vec()));
    let mut line = None;
    cluster
        .lab
        .wait_until(SOON, "Envoy logs the connection", || {
            let text = std::fs::read_to_string(log).unwrap_or_default();
            line = text.lines().find(|line| line.contains(&from.to_string())).map(str::to_owned);
            line.is_some()
        })
        .unwrap();
    let line = line.unwrap();
    for part in [
        format!("authority={}:{ECHO} ", envoy.ip4()),
        format!("peer={} ", cluster.neighbour.identity()),
        "tls=TLSv1.3 ".to_owned(),
        format!("forwarded=for=\"{from}\" "),
        "k8s.namespace.name=default".to_owned(),
        "traceparent=00-".to_owned(),
    ] {
        assert!(line.contains(&part), "`{part}` is not in: {line}");
    }
}

#[test]
fn as_a_server_with_the_wrong_identity_it_is_not_trusted() {
    let rig = Rig::start("envoy-impostor").unwrap();
    let (envoy, ..) = rig.server("impostor", "somebody-else");
    assert_reset(&rig.cluster.client, (envoy.ip4(), ECHO));
    wait_for_flag(&rig.cluster.lab, &rig.cluster.one, "TLS_FAILURE");
}
