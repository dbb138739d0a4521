//! A service works as long as one of its endpoints does: one that cannot be connected to costs its callers nothing but a little
//! time, and soon not even that. What an application has said is said to one endpoint only.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use culvert_lab::{Behaviour, Pod, PodSpec, Service, ServiceSpec};
use serde_json::json;

use crate::harness::certificates::Authority;
use crate::harness::cluster::{Cluster, ECHO};
use crate::harness::kernel::drop_all_input;
use crate::harness::metrics::counter;
use crate::harness::node_http2;
use crate::harness::talk::{Ending, SOON, assert_echo, assert_reset, exchange};

/// Ports of the service, and where they lead.
const PORT: u16 = 80;

struct Rig {
    cluster: Cluster,
    service: Service,
    /// Endpoints beside the server, which works.
    others: Vec<Pod>,
}

impl Rig {
    fn at(&self) -> SocketAddr {
        (self.service.ips()[0], PORT).into()
    }
}

/// A service of the server, and of pods like `spec` that are in the mesh or not and serve nothing.
fn start(name: &str, target: u16, others: &[(PodSpec, bool)]) -> Rig {
    let cluster = Cluster::without_mesh(name).unwrap();
    let lab = &cluster.lab;
    let others: Vec<(Pod, bool)> =
        others.iter().map(|(spec, meshed)| (lab.pod(&cluster.two, spec.clone()).unwrap(), *meshed)).collect();
    let endpoints: Vec<&Pod> = others.iter().map(|(pod, _)| pod).chain([&cluster.server]).collect();
    let service = lab.service(ServiceSpec::new("shop").port(PORT, target), &endpoints).unwrap();
    for (pod, meshed) in &others {
        if *meshed {
            lab.enrol(pod).unwrap();
        }
    }
    cluster.start_mesh().unwrap();
    Rig { cluster, service, others: others.into_iter().map(|(pod, _)| pod).collect() }
}

/// Calls often enough for every endpoint to be chosen first by somebody.
fn all_are_served(rig: &Rig) {
    for nth in 0..30 {
        assert_echo(&rig.cluster.client, rig.at(), format!("call {nth}").as_bytes());
    }
}

#[test]
fn an_endpoint_whose_application_refuses_is_passed_over() {
    let closed = PodSpec::new("closed").service_account("server");
    let rig = start("retry-503", ECHO, &[(closed, true)]);
    all_are_served(&rig);
}

#[test]
fn an_endpoint_without_a_proxy_is_passed_over() {
    // In the mesh as everybody is told, and not captured: nothing listens at its HBONE port.
    let bare = PodSpec::new("bare").service_account("server").takes_tunnels();
    let rig = start("retry-bare", ECHO, &[(bare, false)]);
    all_are_served(&rig);
}

/// As after an address was given to somebody else, until the mesh knows.
#[test]
fn an_endpoint_that_is_somebody_else_is_passed_over_and_told_nothing() {
    let stranger = PodSpec::new("stranger").service_account("expected").takes_tunnels();
    let rig = start("retry-stranger", ECHO, &[(stranger, false)]);
    let Cluster { lab, one, .. } = &rig.cluster;
    let identity = "spiffe://cluster.local/ns/default/sa/somebody-else";
    let certificate = Authority::of_control(lab).issue(lab.directory(), identity);
    let stranger = node_http2::serve_tunnels(lab, &rig.others[0], &certificate, json!({}));
    all_are_served(&rig);
    lab.proxy(one).unwrap().wait_for_log("endpoint set aside", SOON).unwrap();
    let said = stranger.log_text();
    assert!(!said.contains("CONNECT"), "{said}");
}

#[test]
fn an_endpoint_in_plaintext_that_refuses_is_passed_over() {
    let plain = PodSpec::new("plain");
    let rig = start("retry-plain", ECHO, &[(plain, false)]);
    all_are_served(&rig);
}

#[test]
fn an_endpoint_that_does_not_answer_costs_a_few_callers_a_few_seconds_and_then_nobody() {
    let rig = start("retry-silent", ECHO, &[(PodSpec::new("silent"), false)]);
    drop_all_input(&rig.others[0]);
    let mut slow = 0;
    for nth in 0..40 {
        let began = Instant::now();
        assert_echo(&rig.cluster.client, rig.at(), format!("call {nth}").as_bytes());
        assert!(began.elapsed() < Duration::from_secs(9), "{nth} took {:?}", began.elapsed());
        slow += usize::from(began.elapsed() > Duration::from_secs(2));
    }
    assert!(slow <= 4, "{slow} callers waited for an endpoint that had not answered others");
    let counted = counter(&rig.cluster.one, "culvert_endpoints_set_aside_total", &[]);
    assert!((1..=2).contains(&counted), "set aside {counted} times");
}

#[test]
fn when_no_endpoint_can_be_reached_the_caller_is_reset() {
    let closed = PodSpec::new("closed").service_account("server");
    let unserved = 7999;
    let rig = start("retry-none", unserved, &[(closed, true)]);
    let began = Instant::now();
    assert_reset(&rig.cluster.client, rig.at());
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
}

/// An endpoint that took the connection and then broke it may have acted on what it was told.
#[test]
fn what_was_said_to_one_endpoint_is_not_said_to_another() {
    let breaks = PodSpec::new("breaks").service_account("server");
    let target = 7998;
    let rig = start("retry-once", target, &[(breaks, true)]);
    let lab = &rig.cluster.lab;
    let breaking = lab.serve(&rig.others[0], target, Behaviour::ResetAfter(1)).unwrap();
    let serving = lab.serve(&rig.cluster.server, target, Behaviour::Echo).unwrap();
    let mut broken = 0;
    for _ in 0..30 {
        match exchange(&rig.cluster.client, rig.at(), b"pay 10 euros") {
            Ending::Reset => broken += 1,
            Ending::Complete(bytes) => assert_eq!(bytes, b"pay 10 euros"),
            ending @ (Ending::Refused | Ending::Other(_)) => panic!("{ending:?}"),
        }
    }
    assert!((1..30).contains(&broken), "{broken} of 30 met the endpoint that breaks");
    drop((breaking, serving));
}
