//! There is the way through the gateway to those a service vouches for, and no other: the client is reset, the log says why, and
//! whoever should not hear a byte does not.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;

use culvert_lab::{Behaviour, Pod, PodSpec, Server, Service, ServiceSpec};

use crate::harness::cluster::Family;
use crate::harness::h2_waypoint::{Way, Waypoint};
use crate::harness::shared::Shared;
use crate::harness::talk::{Ending, SOON, assert_echo, exchange_on, reporting};

use super::rig::{
    Networks, PORT, assert_says, at, authority, behind, called, gate, gate_service, unused_port, vouching,
};

const SECRET: &[u8] = b"for the server's ears only";

/// Networks, for tests that only add to them.
fn rig() -> Arc<Networks> {
    static RIG: Shared<Networks> = Shared::new();
    RIG.take(|| Networks::start("gateway-refused"))
}

/// A pod on the other network, its application, and the service in front of it.
struct Far {
    pod: Pod,
    application: Server,
    service: Service,
}

impl Far {
    /// Behind a gateway, with other keys of the service.
    #[track_caller]
    fn new(rig: &Networks, name: &str, gateway: &str, keys: impl FnOnce(&Pod) -> String) -> Self {
        Self::placed(rig, name, &behind(gateway), keys)
    }

    /// With these keys of the pod, and others of the service.
    #[track_caller]
    fn placed(rig: &Networks, name: &str, place: &str, keys: impl FnOnce(&Pod) -> String) -> Self {
        let spec = PodSpec::new(name).service_account(name).mesh_keys(place);
        let pod = rig.lab.pod(&rig.there, spec).unwrap();
        let application = rig.lab.serve(&pod, 0, Behaviour::Echo).unwrap();
        let service = ServiceSpec::new(name).port(PORT, application.port()).mesh_keys(&keys(&pod));
        let service = rig.lab.service(service, &[&pod]).unwrap();
        rig.lab.enrol(&pod).unwrap();
        Self { pod, application, service }
    }

    /// Behind a gateway, with a service that vouches for the pod.
    #[track_caller]
    fn vouched(rig: &Networks, name: &str, gateway: &str) -> Self {
        Self::new(rig, name, gateway, |pod| vouching(&[&pod.identity()]))
    }

    fn way_to(&self, to: impl Into<SocketAddr>) -> Way {
        Way::bytes(authority(&self.service, PORT), to)
    }

    /// Nobody gets to the application, in neither family; gives a line of the log about that.
    #[track_caller]
    fn refused(&self, rig: &Networks) -> String {
        let [_, line] =
            [Family::V6, Family::V4].map(|family| refused(rig, family.of(self.service.ips(), PORT)));
        assert_eq!(self.application.accepted(), 0, "{} was reached: {line}", self.service.name());
        line
    }
}

/// A pod for a gateway, in which nothing runs yet.
#[track_caller]
fn gate_pod(rig: &Networks, name: &str) -> Pod {
    let pod = rig.lab.pod(&rig.there, gate(name)).unwrap();
    rig.lab.apply().unwrap();
    pod
}

/// The client is reset; gives what the log of its proxy says of that.
#[track_caller]
fn refused(rig: &Networks, to: SocketAddr) -> String {
    // Chosen here, because the reset may come while the client still connects.
    let port = unused_port();
    match rig.client.connect_from(port, to, SOON) {
        Ok(stream) => assert_eq!(exchange_on(stream, SECRET), Ending::Reset, "{to}"),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{to}"),
    }
    let family = if to.is_ipv4() { Family::V4 } else { Family::V6 };
    let own = family.of(rig.client.ips(), port);
    rig.proxy(&rig.here).wait_for_log(&format!("src.addr={own} "), SOON).unwrap()
}

#[test]
fn a_gateway_at_an_address_nobody_has_is_not_gone_around() {
    let rig = rig();
    let line = Far::vouched(&rig, "nowhere", "destination: \"west/10.99.99.99\"").refused(&rig);
    assert_says(&line, &["reason=\"unknown_gateway\"", "west/10.99.99.99"]);
}

#[test]
fn a_gateway_with_a_name_nobody_has_is_not_gone_around() {
    let rig = rig();
    let line = Far::vouched(&rig, "nobody", "destination: default/nobody.example.com").refused(&rig);
    assert_says(&line, &["reason=\"unknown_gateway\"", "nobody.example.com"]);
}

#[test]
fn a_gateway_without_pods_is_not_gone_around() {
    let rig = rig();
    let empty = rig.lab.service(gate_service("empty"), &[]).unwrap();
    let line = Far::vouched(&rig, "desolate", &called(&empty)).refused(&rig);
    assert_says(&line, &["reason=\"gateway_not_ready\"", "no endpoint of service default/empty."]);
}

#[test]
fn a_network_without_a_gateway_is_not_reached_in_some_other_way() {
    let rig = rig();
    let island = Far::placed(&rig, "island", "network: west", |pod| vouching(&[&pod.identity()]));
    assert_says(&island.refused(&rig), &["reason=\"no_gateway\"", "network `west`"]);
}

#[test]
fn a_service_that_vouches_for_nobody_is_refused_before_the_gateway_is_asked() {
    let rig = rig();
    let pod = gate_pod(&rig, "gate-unvouched");
    let far = Far::new(&rig, "unvouched", &at(pod.ip4()), |_| String::new());
    let gate = rig.lead(&pod, &[far.way_to((far.pod.ip4(), 15008))]);
    let line = far.refused(&rig);
    assert_says(&line, &["reason=\"nobody_vouched_for\"", "default/unvouched."]);
    assert_eq!(gate.connects().len(), 0);
}

#[test]
fn a_gateway_that_does_not_listen_is_not_gone_around() {
    let rig = rig();
    let pod = gate_pod(&rig, "gate-deaf");
    let line = Far::vouched(&rig, "unheard", &at(pod.ip4())).refused(&rig);
    assert_says(&line, &["reason=\"peer_refused\"", &format!("{}:15008", pod.ip4())]);
}

#[test]
fn a_gateway_that_is_somebody_else_is_told_nothing() {
    let rig = rig();
    let pod = gate_pod(&rig, "gate-impostor");
    let far = Far::vouched(&rig, "betrayed", &at(pod.ip4()));
    let ways = [far.way_to((far.pod.ip4(), 15008))];
    let impostor = Waypoint::start(&rig.lab, pod, &rig.certificate("somebody-else"), &ways);
    let line = far.refused(&rig);
    assert_says(&line, &["reason=\"tls_failure\"", "sa/somebody-else"]);
    assert_eq!(impostor.connects().len(), 0);
}

#[test]
fn a_gateway_that_says_no_is_not_gone_around() {
    let rig = rig();
    let pod = gate_pod(&rig, "gate-stern");
    let far = Far::vouched(&rig, "denied", &at(pod.ip4()));
    let gate = rig.lead(&pod, &[]);
    let line = far.refused(&rig);
    assert_says(&line, &["reason=\"refused_by_peer\"", "status 404", &format!("{}:15008", pod.ip4())]);
    assert_eq!(gate.connects().len(), 2, "one of each family");
}

/// Somebody takes the inner tunnel whom the service does not vouch for.
#[track_caller]
fn assert_not_told(rig: &Networks, name: &str, account: &str) {
    let pod = gate_pod(rig, &format!("gate-{name}"));
    let far = Far::vouched(rig, name, &at(pod.ip4()));
    let stranger = rig.lab.pod(&rig.there, PodSpec::new(&format!("{name}-stranger"))).unwrap();
    let gate = rig.lead(&pod, &[far.way_to((stranger.ip4(), 15008))]);
    let onward = (far.pod.ip4(), far.application.port()).into();
    let ways = [Way::tunnel(authority(&far.service, PORT), onward, &far.pod.identity())];
    let stranger = Waypoint::start(&rig.lab, stranger, &rig.certificate(account), &ways);
    let line = far.refused(rig);
    let behind = format!("behind gateway {}:15008 was not reached", pod.ip4());
    assert_says(&line, &["reason=\"tls_failure\"", &behind, &format!("sa/{account}")]);
    assert_eq!((gate.connects().len(), stranger.connects().len()), (2, 0));
}

#[test]
fn somebody_else_behind_the_gateway_is_told_nothing() {
    assert_not_told(&rig(), "misled", "somebody-else");
}

#[test]
fn the_gateway_itself_is_not_who_is_behind_it() {
    assert_not_told(&rig(), "curious", "gate");
}

#[test]
fn whoever_does_not_prove_who_they_are_hears_not_a_byte_of_what_was_said() {
    let rig = rig();
    let pod = gate_pod(&rig, "gate-gullible");
    let far = Far::vouched(&rig, "overheard", &at(pod.ip4()));
    let (listener, heard) = reporting(|mut stream| {
        let mut bytes = Vec::new();
        let mut piece = [0; 4096];
        // Until the client loses patience, or answers what makes no sense to it.
        let taken = stream.read(&mut piece).unwrap();
        bytes.extend_from_slice(&piece[..taken]);
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let _ = stream.read_to_end(&mut bytes);
        bytes
    });
    let listener = rig.lab.serve(&rig.gate, 0, listener).unwrap();
    let _gate = rig.lead(&pod, &[far.way_to((rig.gate.ip4(), listener.port()))]);
    let line = far.refused(&rig);
    assert_says(&line, &["reason=\"tls_failure\"", "behind gateway"]);
    for _ in [Family::V4, Family::V6] {
        let bytes = heard.recv_timeout(SOON).unwrap();
        assert!(!bytes.is_empty() && !bytes.windows(SECRET.len()).any(|window| window == SECRET));
    }
}

#[test]
fn a_gateway_that_comes_later_is_used_from_then_on() {
    let rig = rig();
    let far = Far::vouched(
        &rig,
        "patient",
        "destination: default/late.default.svc.cluster.local, hboneMtlsPort: 15009",
    );
    assert_says(&far.refused(&rig), &["reason=\"unknown_gateway\""]);
    let pod = rig.lab.pod(&rig.there, gate("late")).unwrap();
    rig.lab.service(gate_service("late"), &[&pod]).unwrap();
    let gate = rig.lead(&pod, &[far.way_to((far.pod.ip4(), 15008))]);
    assert_echo(&rig.client, (far.service.ip4(), PORT), b"at last");
    assert_eq!((gate.connects().len(), far.application.accepted()), (1, 1));
}
