//! `XDS_ON_DEMAND=true`: the node asks by name for what a connection needs, and the connection waits for the answer.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

use culvert_lab::Program;
use tonic::Status;

use crate::harness::ads::resources::of_yaml;
use crate::harness::ads::{ADDRESS, AUTHORIZATION, Stream};
use crate::harness::cluster::{ECHO, service_port};
use crate::harness::scripted::Rig;
use crate::harness::talk::{Ending, SOON, assert_echo, assert_reset, exchange};

/// The address of a pod, as it is asked for.
fn key(ip: impl Display) -> String {
    format!("/{ip}")
}

fn uid(name: &str) -> String {
    format!("Kubernetes//Pod/default/{name}")
}

/// A node that knows what it is told unasked: the client, its own pod.
fn start(name: &str) -> (Rig, Stream, Program) {
    let rig = Rig::new(name);
    let program = rig.lab.start(rig.launch().env("XDS_ON_DEMAND", "true")).unwrap();
    let mut stream = rig.ads.accept();
    let [addresses, policies] = stream.opening();
    assert_eq!(addresses.resource_names_subscribe, ["*"]);
    assert_eq!(addresses.resource_names_unsubscribe, ["*"]);
    assert!(policies.resource_names_subscribe.is_empty() && policies.resource_names_unsubscribe.is_empty());
    stream.tell(AUTHORIZATION, Vec::new());
    rig.wait_until_ready();
    stream.tell(ADDRESS, vec![rig.told().address(&uid("client"))]);
    rig.wait_until_captured(&[&rig.client]);
    (rig, stream, program)
}

#[test]
fn a_connection_waits_for_what_its_destination_is_and_nothing_passes_meanwhile() {
    let (rig, mut stream, _program) = start("ads-demand");
    let server = (rig.server.ip4(), ECHO);
    let wire = rig.lab.wire_of_pod(&rig.client).unwrap();
    thread::scope(|scope| {
        let call = || exchange(&rig.client, server, b"who are you?");
        let calls: Vec<_> = (0..5).map(|_| scope.spawn(call)).collect();
        assert_eq!(stream.request().resource_names_subscribe, [key(server.0)]);
        stream.assert_quiet();
        assert_eq!(wire.tcp_ports(), [0_u16; 0], "nothing passes before the answer");
        // The answer comes under its own name, with what was asked for as another one.
        let mut answer = rig.told().address(&uid("server"));
        answer.aliases = vec![key(server.0)];
        stream.tell(ADDRESS, vec![answer]);
        for call in calls {
            assert_eq!(call.join().unwrap(), Ending::Complete(b"who are you?".to_vec()));
        }
    });
    assert_eq!(wire.stop().unwrap().tcp_ports(), [15008]);
    // It is known from then on.
    assert_echo(&rig.client, server, b"again");
    stream.assert_quiet();
}

#[test]
fn a_service_is_asked_for_by_its_address_and_reached_when_its_pods_are_there() {
    let (rig, mut stream, _program) = start("ads-demand-service");
    let web = (rig.web.ip4(), service_port(ECHO));
    let told = rig.told();
    thread::scope(|scope| {
        let call = scope.spawn(|| exchange(&rig.client, web, b"to a service"));
        assert_eq!(stream.request().resource_names_subscribe, [key(web.0)]);
        let mut service = told.address(&format!("default/{}", rig.web.hostname()));
        service.aliases = vec![key(web.0), key(rig.web.ip6())];
        stream.tell(ADDRESS, vec![told.address(&uid("server")), service]);
        assert_eq!(call.join().unwrap(), Ending::Complete(b"to a service".to_vec()));
    });
    // Its other address is another name of what is known.
    assert_echo(&rig.client, (rig.web.ip6(), web.1), b"once more");
    stream.assert_quiet();
}

#[test]
fn what_does_not_exist_is_not_in_the_mesh_and_not_asked_for_at_every_connection() {
    let (rig, mut stream, _program) = start("ads-unknown");
    let outsider = (rig.outsider.ip4(), ECHO);
    thread::scope(|scope| {
        let call = scope.spawn(|| exchange(&rig.client, outsider, b"stranger"));
        assert_eq!(stream.request().resource_names_subscribe, [key(outsider.0)]);
        stream.remove(ADDRESS, &[&key(outsider.0)]);
        assert_eq!(call.join().unwrap(), Ending::Complete(b"stranger".to_vec()));
    });
    assert_eq!(stream.request().resource_names_unsubscribe, [key(outsider.0)]);
    assert_echo(&rig.client, outsider, b"again");
    stream.assert_quiet();
}

#[test]
fn an_answer_that_does_not_come_ends_the_connection_and_is_explained() {
    let (rig, mut stream, program) = start("ads-unanswered");
    let server = (rig.server.ip4(), ECHO);
    let begun = Instant::now();
    assert_reset(&rig.client, server);
    assert!((4..9).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    let line = program.wait_for_log("demand_unanswered", SOON).unwrap();
    assert!(line.contains(&key(server.0)), "{line}");
    assert_eq!(stream.request().resource_names_subscribe, [key(server.0)]);
    assert_eq!(stream.request().resource_names_unsubscribe, [key(server.0)]);
}

#[test]
fn a_question_survives_the_end_of_its_stream() {
    let (rig, mut stream, _program) = start("ads-demand-again");
    let server = (rig.server.ip4(), ECHO);
    thread::scope(|scope| {
        let call = scope.spawn(|| exchange(&rig.client, server, b"patience"));
        assert_eq!(stream.request().resource_names_subscribe, [key(server.0)]);
        stream.fail(Status::unavailable("as the test wants"));
        let mut stream = rig.ads.accept();
        let [addresses, _] = stream.opening();
        assert_eq!(addresses.resource_names_subscribe, ["*"]);
        let client = rig.told().address(&uid("client"));
        let claimed = [(key(server.0), String::new()), (client.name, client.version)];
        assert_eq!(addresses.initial_resource_versions, claimed.into());
        let mut answer = rig.told().address(&uid("server"));
        answer.aliases = vec![key(server.0)];
        stream.tell(ADDRESS, vec![answer]);
        assert_eq!(call.join().unwrap(), Ending::Complete(b"patience".to_vec()));
    });
}

#[test]
fn one_answer_among_ten_thousand_is_there_when_the_connection_goes_on() {
    let (rig, mut stream, _program) = start("ads-demand-many");
    let server = (rig.server.ip4(), ECHO);
    let entry = |n: u32| {
        let [_, _, high, low] = n.to_be_bytes();
        format!(
            "- {{uid: k//Pod/many/p{n}, name: p{n}, namespace: many, workloadIps: [10.200.{high}.{low}]}}\n"
        )
    };
    let many = of_yaml(&format!("workloads:\n{}", (0..10_000).map(entry).collect::<String>()));
    thread::scope(|scope| {
        let call = scope.spawn(|| exchange(&rig.client, server, b"in the crowd"));
        assert_eq!(stream.request().resource_names_subscribe, [key(server.0)]);
        let mut resources = many.addresses;
        resources.insert(5000, rig.told().address(&uid("server")));
        resources[5000].aliases = vec![key(server.0)];
        stream.tell(ADDRESS, resources);
        let begun = Instant::now();
        assert_eq!(call.join().unwrap(), Ending::Complete(b"in the crowd".to_vec()));
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    });
}
