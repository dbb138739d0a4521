//! Without its waypoint nothing behind it is reached: the client is reset, the log says why, and the server hears nothing.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use culvert_lab::{Behaviour, Error, Pod, PodSpec, Server, Service, ServiceSpec};

use crate::harness::cluster::{Cluster, ECHO, Family};
use crate::harness::h2_waypoint::{Way, Waypoint};
use crate::harness::shared::Shared;
use crate::harness::talk::{Ending, SOON, assert_echo, exchange_on};

use super::{behind, certificate};

/// A cluster, for tests that only add to it.
fn rig() -> Arc<Cluster> {
    static RIG: Shared<Cluster> = Shared::new();
    RIG.take(|| Cluster::start("waypoint-missing"))
}

/// A service that says it is behind something, and the application it would lead to.
struct Behind {
    service: Service,
    application: Server,
}

impl Behind {
    fn new(cluster: &Cluster, name: &str, keys: &str) -> Result<Self, Error> {
        let application = cluster.lab.serve(&cluster.server, 0, Behaviour::Echo)?;
        let spec = ServiceSpec::new(name).port(80, application.port()).mesh_keys(keys);
        let service = cluster.lab.service(spec, &[&cluster.server])?;
        Ok(Self { service, application })
    }

    /// Nobody gets to the application, in neither family; gives a line of the log about that.
    #[track_caller]
    fn refused(&self, cluster: &Cluster, port: u16) -> String {
        let [_, line] =
            [Family::V6, Family::V4].map(|family| refused(cluster, family.of(self.service.ips(), port)));
        assert_eq!(self.application.accepted(), 0, "{} was gone around: {line}", self.service.name());
        line
    }
}

/// The client is reset; gives what the log of its proxy says of that.
#[track_caller]
fn refused(cluster: &Cluster, to: SocketAddr) -> String {
    // Below those the kernel chooses. Chosen here, because the reset may come while the client still connects.
    static NEXT_PORT: AtomicU16 = AtomicU16::new(21_000);
    let port = NEXT_PORT.fetch_add(1, Ordering::Relaxed);
    match cluster.client.connect_from(port, to, SOON) {
        Ok(stream) => assert_eq!(exchange_on(stream, b"let me in"), Ending::Reset, "{to}"),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{to}"),
    }
    let family = if to.is_ipv4() { Family::V4 } else { Family::V6 };
    let own = family.of(cluster.client.ips(), port);
    let proxy = cluster.lab.proxy(&cluster.one).unwrap();
    proxy.wait_for_log(&format!("src.addr={own} "), SOON).unwrap()
}

#[track_caller]
fn assert_says(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "`{part}` is not in: {line}");
    }
}

/// A waypoint's pod with its service. Nothing runs in it.
fn deaf_waypoint(cluster: &Cluster, name: &str) -> (Pod, Service) {
    let pod = PodSpec::new(name).service_account("gate").takes_tunnels();
    let pod = cluster.lab.pod(&cluster.two, pod).unwrap();
    let service = cluster.lab.service(ServiceSpec::new(name).port(15008, 15008), &[&pod]).unwrap();
    (pod, service)
}

/// The way to a service's application.
fn way(behind: &Behind, server: &Pod) -> Way {
    let asked = SocketAddr::from((behind.service.ip4(), 80));
    Way::tunnel(asked, (server.ip4(), behind.application.port()).into(), &server.identity())
}

#[test]
fn a_waypoint_with_a_name_nobody_has_is_not_gone_around() {
    let rig = rig();
    let keys = "waypoint: {destination: default/nobody.example.com}";
    let line = Behind::new(&rig, "nobody", keys).unwrap().refused(&rig, 80);
    assert_says(&line, &["reason=\"unknown_waypoint\"", "nobody.example.com"]);
}

#[test]
fn a_waypoint_at_an_address_nobody_has_is_not_gone_around() {
    let rig = rig();
    let keys = "waypoint: {destination: /10.96.99.99}";
    let line = Behind::new(&rig, "nowhere", keys).unwrap().refused(&rig, 80);
    assert_says(&line, &["reason=\"unknown_waypoint\"", "10.96.99.99"]);
}

#[test]
fn a_waypoint_without_pods_is_not_gone_around() {
    let rig = rig();
    let empty = rig.lab.service(ServiceSpec::new("empty").port(15008, 15008), &[]).unwrap();
    let line = Behind::new(&rig, "desolate", &behind(&empty)).unwrap().refused(&rig, 80);
    assert_says(&line, &["reason=\"waypoint_not_ready\"", "no endpoint of service default/empty."]);
}

#[test]
fn a_waypoint_that_has_all_the_weight_is_not_gone_around_to_the_single_one() {
    let rig = rig();
    let keys = format!(
        "{}\nweightedWaypoints: [{{weight: 1, destination: {{destination: default/lost.example.com}}}}]",
        behind(&rig.web)
    );
    let line = Behind::new(&rig, "lost", &keys).unwrap().refused(&rig, 80);
    assert_says(&line, &["reason=\"unknown_waypoint\"", "lost.example.com"]);
}

#[test]
fn a_waypoint_that_does_not_listen_is_not_gone_around() {
    let rig = rig();
    let (pod, deaf) = deaf_waypoint(&rig, "deaf");
    let line = Behind::new(&rig, "unheard", &behind(&deaf)).unwrap().refused(&rig, 80);
    assert_says(&line, &["error=", &format!("{}:15008", pod.ip4())]);
}

#[test]
fn a_waypoint_that_is_somebody_else_is_not_trusted() {
    let rig = rig();
    let (pod, gates) = deaf_waypoint(&rig, "impostor");
    let behind = Behind::new(&rig, "betrayed", &behind(&gates)).unwrap();
    let ways = [way(&behind, &rig.server)];
    let impostor = Waypoint::start(&rig.lab, pod, &certificate(&rig, "somebody-else"), &ways);
    behind.refused(&rig, 80);
    assert_eq!(impostor.connects().len(), 0, "it was told nothing");
}

#[test]
fn a_waypoint_that_says_no_is_not_gone_around() {
    let rig = rig();
    let (pod, gates) = deaf_waypoint(&rig, "stern");
    let behind = Behind::new(&rig, "denied", &behind(&gates)).unwrap();
    let gate = Waypoint::start(&rig.lab, pod, &certificate(&rig, "gate"), &[]);
    let line = behind.refused(&rig, 80);
    assert_says(&line, &["reason=\"refused_by_peer\"", "status 404"]);
    assert_eq!(gate.connects().len(), 2, "one of each family");
}

#[test]
fn a_pod_behind_a_missing_waypoint_is_not_reached_by_its_address() {
    let rig = rig();
    let pod = PodSpec::new("hidden").mesh_keys("waypoint: {destination: default/nobody.example.com}");
    let pod = rig.lab.pod(&rig.two, pod).unwrap();
    let application = rig.lab.serve(&pod, 0, Behaviour::Echo).unwrap();
    rig.lab.enrol(&pod).unwrap();
    for ip in pod.ips() {
        let line = refused(&rig, (ip, application.port()).into());
        assert_says(&line, &["reason=\"unknown_waypoint\"", "nobody.example.com"]);
    }
    assert_eq!(application.accepted(), 0);
}

#[test]
fn a_port_the_service_does_not_have_is_refused_before_the_waypoint_is_asked() {
    let rig = rig();
    let (pod, gates) = deaf_waypoint(&rig, "strict");
    let behind = Behind::new(&rig, "portless", &behind(&gates)).unwrap();
    let ways = [way(&behind, &rig.server)];
    let gate = Waypoint::start(&rig.lab, pod, &certificate(&rig, "gate"), &ways);
    let line = behind.refused(&rig, ECHO);
    assert_says(&line, &["reason=\"unknown_service_port\""]);
    assert_eq!(gate.connects().len(), 0);
}

#[test]
fn a_waypoint_that_comes_later_is_used_from_then_on() {
    let rig = rig();
    let keys = "waypoint: {destination: default/late.default.svc.cluster.local}";
    let behind = Behind::new(&rig, "patient", keys).unwrap();
    assert_says(&behind.refused(&rig, 80), &["reason=\"unknown_waypoint\""]);
    let (pod, _) = deaf_waypoint(&rig, "late");
    let ways = [way(&behind, &rig.server)];
    let gate = Waypoint::start(&rig.lab, pod, &certificate(&rig, "gate"), &ways);
    assert_echo(&rig.client, (behind.service.ip4(), 80), b"at last");
    assert_eq!((gate.connects().len(), behind.application.accepted()), (1, 1));
}
