//! Which way is taken where there are several: of two gateways one that works, and near endpoints before far ones.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use culvert_lab::{Behaviour, Pod, PodSpec, Service, ServiceSpec};

use crate::harness::cluster::{ECHO, serve_all, service_port, service_spec};
use crate::harness::h2_waypoint::{Way, Waypoint};
use crate::harness::kernel::drop_all_input;
use crate::harness::talk::{SOON, assert_echo, assert_reset, who};

use super::rig::{Networks, PORT, authority, behind, called, gate, gate_service, vouching};

/// Networks with two gateways, and what is behind either.
struct Two {
    networks: Networks,
    gates: [Pod; 2],
    pod: Pod,
    service: Service,
}

impl Two {
    fn start(name: &str) -> Self {
        let networks = Networks::without_mesh(name).unwrap();
        let Networks { lab, there, .. } = &networks;
        let gates = [networks.gate.clone(), lab.pod(there, gate("spare")).unwrap()];
        let both = lab.service(gate_service("gates"), &[&gates[0], &gates[1]]).unwrap();
        let pod = PodSpec::new("twice").service_account("twice").mesh_keys(&behind(&called(&both)));
        let pod = lab.pod(there, pod).unwrap();
        serve_all(lab, &pod).unwrap();
        let vouched = vouching(&[&pod.identity()]);
        let service = lab.service(service_spec("twice").mesh_keys(&vouched), &[&pod]).unwrap();
        networks.start_mesh(&[&pod]).unwrap();
        Self { networks, gates, pod, service }
    }

    fn ways(&self) -> [Way; 1] {
        [Way::bytes(authority(&self.service, service_port(ECHO)), (self.pod.ip4(), 15008))]
    }

    #[track_caller]
    fn lead(&self, gate: usize) -> Waypoint {
        self.networks.lead(&self.gates[gate], &self.ways())
    }

    /// Calls often enough for either gateway to be chosen first by somebody.
    #[track_caller]
    fn all_are_served(&self) {
        let to = SocketAddr::from((self.service.ip4(), service_port(ECHO)));
        for nth in 0..20 {
            assert_echo(&self.networks.client, to, format!("call {nth}").as_bytes());
        }
    }
}

#[test]
fn of_two_gateways_either_is_taken() {
    let two = Two::start("gateways");
    let gates = [two.lead(0), two.lead(1)];
    two.all_are_served();
    two.all_are_served();
    let asked = gates.map(|gate| gate.connects().len());
    assert!(asked[0] + asked[1] == 40 && !asked.contains(&0), "{asked:?}");
}

#[test]
fn a_gateway_that_is_down_is_passed_over() {
    let two = Two::start("gateway-down");
    let gate = two.lead(1);
    two.all_are_served();
    assert_eq!(gate.connects().len(), 20);
}

#[test]
fn a_gateway_that_goes_down_is_passed_over_from_then_on() {
    let two = Two::start("gateway-goes");
    let gates = [two.lead(0), two.lead(1)];
    two.all_are_served();
    gates[1].program.kill_hard().unwrap();
    two.all_are_served();
}

#[test]
fn a_gateway_that_does_not_answer_costs_a_few_callers_a_few_seconds_and_then_nobody() {
    let two = Two::start("gateway-mute");
    let _gate = two.lead(1);
    drop_all_input(&two.gates[0]);
    let began = Instant::now();
    two.all_are_served();
    // Ten that each wait for it would take longer than that.
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
}

#[test]
fn a_gateway_that_is_somebody_else_is_passed_over() {
    let two = Two::start("gateway-other");
    let _gate = two.lead(1);
    let certificate = two.networks.certificate("somebody-else");
    let impostor = Waypoint::start(&two.networks.lab, two.gates[0].clone(), &certificate, &two.ways());
    two.all_are_served();
    assert_eq!(impostor.connects().len(), 0);
}

#[test]
fn a_gateway_that_leads_nowhere_is_passed_over() {
    let two = Two::start("gateway-lost");
    let _gate = two.lead(1);
    let _lost = two.networks.lead(&two.gates[0], &[]);
    two.all_are_served();
}

#[test]
fn a_gateway_that_leads_to_somebody_silent_costs_a_few_callers_a_few_seconds_and_then_nobody() {
    let two = Two::start("gateway-silent");
    let _gate = two.lead(1);
    let silent = two.networks.lab.serve(&two.networks.gate, 0, Behaviour::Silent).unwrap();
    let silence = (two.networks.gate.ip4(), silent.port());
    let way = Way::bytes(authority(&two.service, service_port(ECHO)), silence);
    let _silent = two.networks.lead(&two.gates[0], &[way]);
    let began = Instant::now();
    two.all_are_served();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn what_is_wrong_with_one_service_does_not_count_against_the_gateway_for_others() {
    let networks = Networks::start("gateway-blame").unwrap();
    let Networks { lab, client, neighbour, server, gate, .. } = &networks;
    for pod in [neighbour, server] {
        lab.serve(pod, 7040, Behaviour::WhoAmI).unwrap();
    }
    let vouched = vouching(&[&server.identity(), &neighbour.identity()]);
    let spec = ServiceSpec::new("anywhere").port(PORT, 7040).mesh_keys(&vouched);
    let anywhere = lab.service(spec, &[neighbour, server]).unwrap();
    let (dead, application) = networks.application("dead", Behaviour::Echo);
    application.stop();
    let (lost, _) = networks.application("lost", Behaviour::Echo);
    let way = |service| Way::bytes(authority(service, PORT), (server.ip4(), 15008));
    let _gate = networks.lead(gate, &[way(&anywhere), way(&dead)]);
    // The one has nobody to answer, of the other the gateway knows nothing.
    for service in [&dead, &lost] {
        for _ in 0..5 {
            assert_reset(client, (service.ip4(), PORT));
        }
        let call = || who(client.connect((anywhere.ip4(), PORT), SOON).unwrap()).0;
        let answers: BTreeSet<_> = (0..40).map(|_| call()).collect();
        assert_eq!(answers.len(), 2, "after {}: {answers:?}", service.name());
    }
}

/// An endpoint on the client's own network, the server on the other, and a service that prefers those near.
#[test]
fn endpoints_on_the_own_network_come_first_and_others_take_over_when_they_go() {
    let networks = Networks::start("gateway-failover").unwrap();
    let Networks { lab, client, neighbour, server, gate, .. } = &networks;
    let near = lab.serve(neighbour, 7040, Behaviour::WhoAmI).unwrap();
    lab.serve(server, 7040, Behaviour::WhoAmI).unwrap();
    let keys = format!(
        "{}\nloadBalancer: {{mode: Failover, routingPreferences: [Network]}}",
        vouching(&[&server.identity(), &neighbour.identity()])
    );
    let spec = ServiceSpec::new("anywhere").port(PORT, 7040).mesh_keys(&keys);
    let service = lab.service(spec, &[neighbour, server]).unwrap();
    let gate = networks.lead(gate, &[Way::bytes(authority(&service, PORT), (server.ip4(), 15008))]);
    let answers = || {
        let calls = (0..10).map(|_| who(client.connect((service.ip4(), PORT), SOON).unwrap()).0);
        calls.collect::<Vec<_>>()
    };
    assert_eq!(answers(), ["neighbour"; 10]);
    assert_eq!(gate.connects().len(), 0);
    // Its application goes: the next call finds out, and is served.
    near.stop();
    assert_eq!(answers(), ["server"; 10]);
    // The pod goes, as everybody is told.
    lab.delete(neighbour).unwrap();
    assert_eq!(answers(), ["server"; 10]);
    assert_eq!(gate.connects().len(), 20);
}
