//! nghttpx, and Node's HTTP/2, both nghttp2 and OpenSSL, are servers of tunnels like any other.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use culvert_lab::{Behaviour, Error, Pod, PodSpec, Program, Section, bulk};
use serde_json::json;

use crate::harness::certificates::{Authority, Certificate};
use crate::harness::cluster::{BULK, Cluster, ECHO, SINK, WHO, serve_all};
use crate::harness::metrics::wait_for_flag;
use crate::harness::shared::Shared;
use crate::harness::talk::{
    Ending, SOON, assert_alive, assert_both_ways, assert_download, assert_echo, assert_reset, assert_upload,
    exchange,
};
use crate::harness::{nghttpx, node_http2};

/// A captured pod, and a server of tunnels in a pod of its own, with the applications it leads to.
pub(crate) struct Rig {
    pub(crate) cluster: Cluster,
    pub(crate) pod: Pod,
    program: Program,
}

impl Rig {
    /// `start` starts the server, with a certificate for `account`. The mesh takes it for a workload with the service account
    /// `stranger`.
    pub(crate) fn start(
        name: &str,
        account: &str,
        start: impl Fn(&Cluster, &Pod, &Certificate) -> Program,
    ) -> Result<Self, Error> {
        Self::within(Cluster::start(name)?, account, start)
    }

    /// The same in a cluster that is there.
    pub(crate) fn within(
        cluster: Cluster,
        account: &str,
        start: impl Fn(&Cluster, &Pod, &Certificate) -> Program,
    ) -> Result<Self, Error> {
        let lab = &cluster.lab;
        let identity = format!("spiffe://cluster.local/ns/default/sa/{account}");
        let certificate = Authority::of_control(lab).issue(lab.directory(), &identity);
        let pod = lab.pod(&cluster.two, PodSpec::new("stranger"))?;
        serve_all(lab, &pod)?;
        let program = start(&cluster, &pod, &certificate);
        let workload = format!(
            "- {{uid: Kubernetes//Pod/default/stranger-mesh, name: stranger-mesh, namespace: default, \
             serviceAccount: stranger, workloadIps: [\"{}\"], protocol: HBONE, services: {{}}}}\n",
            pod.ip4()
        );
        lab.set(Section::Workloads, &workload)?;
        Ok(Self { cluster, pod, program })
    }
}

fn with_nghttpx() -> Arc<Rig> {
    static RIG: Shared<Rig> = Shared::new();
    RIG.take(|| Rig::start("nghttpx", "stranger", |cluster, pod, it| nghttpx::start(&cluster.lab, pod, it)))
}

/// With a window of its own choice, as small as a web server's may be.
fn with_node() -> Arc<Rig> {
    static RIG: Shared<Rig> = Shared::new();
    RIG.take(|| {
        Rig::start("node-server", "stranger", |cluster, pod, certificate| {
            let settings = json!({ "initialWindowSize": 20_000, "maxConcurrentStreams": 20 });
            node_http2::serve_tunnels(&cluster.lab, pod, certificate, json!({ "settings": settings }))
        })
    })
}

/// What nghttpx can do, too: the client never has to say first that it has sent all.
#[track_caller]
pub(crate) fn assert_serves_without_half_closes(rig: &Rig, bytes: u64) {
    let Rig { cluster: Cluster { lab, client, .. }, pod, .. } = rig;
    let who = exchange(client, (pod.ip4(), WHO), b"");
    assert!(matches!(&who, Ending::Complete(line) if line.starts_with(b"stranger ")), "{who:?}");
    let source = lab.serve(pod, 0, Behaviour::Source(bytes)).unwrap();
    assert_download(client, (pod.ip4(), source.port()).into(), bytes);
    let sink = lab.serve(pod, 0, sink_of(bytes)).unwrap();
    assert_upload(client, (pod.ip4(), sink.port()).into(), bytes);
}

/// A sink that knows how much will come.
fn sink_of(bytes: u64) -> Behaviour {
    Behaviour::custom(move |stream| digest_of(&stream, bytes))
}

fn digest_of(mut stream: &TcpStream, bytes: u64) -> io::Result<()> {
    let digest = bulk::receive(&mut stream.take(bytes))?;
    writeln!(stream, "{digest}")?;
    stream.shutdown(Shutdown::Write)?;
    io::copy(&mut stream, &mut io::sink()).map(drop)
}

/// What applications expect of any tunnel.
#[track_caller]
fn assert_serves(rig: &Rig) {
    assert_serves_without_half_closes(rig, BULK);
    let Rig { cluster: Cluster { client, .. }, pod, .. } = rig;
    assert_echo(client, (pod.ip4(), ECHO), b"to a stranger");
    assert_upload(client, (pod.ip4(), SINK).into(), BULK);
    assert_both_ways(client, (pod.ip4(), ECHO).into(), BULK);
}

/// Connections at once, each used after all are there.
#[track_caller]
fn assert_serves_many(rig: &Rig) {
    let connect = |_| rig.cluster.client.connect((rig.pod.ip4(), ECHO), SOON).unwrap();
    let mut streams: Vec<_> = (0..50).map(connect).collect();
    for (i, stream) in streams.iter_mut().enumerate() {
        assert_alive(stream, format!("number {i}").as_bytes());
    }
}

#[track_caller]
fn assert_a_closed_port_is_a_reset(rig: &Rig) {
    let closed = rig.pod.listen(0).unwrap().local_addr().unwrap().port();
    assert_eq!(exchange(&rig.cluster.client, (rig.pod.ip4(), closed), b"anybody?"), Ending::Reset);
}

#[test]
fn nghttpx_is_reached_by_a_captured_pod() {
    let rig = with_nghttpx();
    assert_serves_without_half_closes(&rig, BULK);
    let asked = format!("CONNECT {}:{WHO}", rig.pod.ip4());
    rig.program.wait_for_log(&asked, SOON).unwrap();
}

#[test]
fn nghttpx_serves_many_connections_at_once() {
    assert_serves_many(&with_nghttpx());
}

#[test]
fn a_closed_port_behind_nghttpx_is_a_reset() {
    assert_a_closed_port_is_a_reset(&with_nghttpx());
}

#[test]
fn node_is_reached_by_a_captured_pod() {
    assert_serves(&with_node());
}

#[test]
fn node_serves_more_connections_than_it_takes_streams_on_a_tunnel() {
    assert_serves_many(&with_node());
}

#[test]
fn what_breaks_behind_node_is_a_reset() {
    let rig = with_node();
    assert_a_closed_port_is_a_reset(&rig);
    let breaking = rig.cluster.lab.serve(&rig.pod, 0, Behaviour::ResetAfter(4)).unwrap();
    assert_eq!(exchange(&rig.cluster.client, (rig.pod.ip4(), breaking.port()), b"hurt"), Ending::Reset);
}

#[test]
fn node_is_told_who_calls_and_from_where() {
    let rig = with_node();
    let Rig { cluster: Cluster { neighbour, .. }, pod, program } = &*rig;
    let mut stream = neighbour.connect((pod.ip4(), ECHO), SOON).unwrap();
    assert_alive(&mut stream, b"who am I?");
    let from = stream.local_addr().unwrap().to_string();
    let line = program.wait_for_log(&from, SOON).unwrap();
    let said: serde_json::Value = serde_json::from_str(&line).unwrap();
    let peer = format!("URI:{}", neighbour.identity());
    let authority = format!("{}:{ECHO}", pod.ip4());
    let forwarded = format!("for=\"{from}\"");
    assert_eq!(
        said,
        json!({ "method": "CONNECT", "authority": authority, "peer": peer, "forwarded": forwarded })
    );
}

#[test]
fn with_the_wrong_identity_a_stranger_is_not_trusted() {
    let start = |cluster: &Cluster, pod: &Pod, it: &Certificate| nghttpx::start(&cluster.lab, pod, it);
    let rig = Rig::start("nghttpx-impostor", "somebody-else", start).unwrap();
    assert_reset(&rig.cluster.client, (rig.pod.ip4(), ECHO));
    wait_for_flag(&rig.cluster.lab, &rig.cluster.one, "TLS_FAILURE");
}
