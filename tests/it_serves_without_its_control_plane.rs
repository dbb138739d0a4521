//! Degraded operation: the control plane is not there yet, goes away, or keeps silent, and what works goes on working.

use std::time::Duration;

use culvert_lab::Program;
use tonic::Status;

use crate::harness::ads::Stream;
use crate::harness::calls::{assert_all_served, call_meanwhile};
use crate::harness::cluster::{ECHO, service_port};
use crate::harness::endpoint::Manner;
use crate::harness::scripted::Rig;
use crate::harness::talk::{SOON, assert_alive, assert_echo};

/// Half-open connections are noticed by pings: one every 30 s, and 10 s for the answer. And some time to come back.
const NOTICED: Duration = Duration::from_secs(30 + 10 + 8);

/// A node that finds its control plane in a bad state.
fn start(name: &str, spoil: impl FnOnce(&Rig)) -> (Rig, Program) {
    let rig = Rig::new(name);
    spoil(&rig);
    let program = rig.lab.start(rig.launch()).unwrap();
    (rig, program)
}

/// The control plane is well again, and so is the node.
#[track_caller]
fn recover(rig: &Rig, program: &Program) -> Stream {
    assert!(!rig.client.listens(15001).unwrap(), "nobody is served by guesses");
    let stream = rig.ads.sync(&rig.told());
    rig.wait_until_ready();
    rig.wait_until_served();
    rig.wait_until_it_sees("xds", "Up");
    assert!(program.is_running());
    stream
}

#[test]
fn a_node_without_a_control_plane_says_so_and_is_ready_when_it_comes() {
    let (rig, program) = start("down-first", |rig| rig.ads.endpoint.stop());
    let address = rig.ads.endpoint.address().to_string();
    rig.wait_until_it_says(&["state manager", "xds", &address, "refused"]);
    rig.wait_until_it_sees("xds", "Down");
    assert_eq!(rig.sees("ca")["state"], "Unused");
    rig.ads.endpoint.resume();
    recover(&rig, &program);
}

#[test]
fn a_control_plane_that_accepts_and_says_nothing_is_given_up_and_tried_again() {
    let (rig, program) = start("silent-first", |rig| rig.ads.endpoint.behave(Manner::SilentTcp));
    rig.wait_until_it_says(&["state manager", "xds", "TLS handshake timeout"]);
    rig.ads.endpoint.behave(Manner::Serve);
    recover(&rig, &program);
}

#[test]
fn a_control_plane_that_turns_the_node_away_is_quoted() {
    let refusal = Status::permission_denied("no pod of that name on that node");
    let (rig, program) = start("refused-first", |rig| rig.ads.refuse(Some(refusal)));
    rig.wait_until_it_says(&["PermissionDenied", "no pod of that name on that node"]);
    rig.ads.refuse(None);
    recover(&rig, &program);
}

/// What the dump says of a service that is down: since when, and why by the latest attempt.
#[track_caller]
fn assert_down(rig: &Rig, service: &str, why: &str) {
    rig.wait_until_it_sees(service, "Down");
    let since = rig.sees(service)["since"].clone();
    assert!(since.as_str().is_some_and(|since| since.ends_with('Z')), "{since}");
    let says = || rig.sees(service)["error"].as_str().is_some_and(|error| error.contains(why));
    rig.lab.wait_until(SOON, "the dump says why", says).unwrap();
    assert_eq!(rig.sees(service)["since"], since, "later attempts do not change when it began");
}

#[test]
fn connections_old_and_new_go_on_while_the_xds_server_is_away() {
    let (rig, stream, program) = Rig::start("down-xds");
    let mut open = rig.client.connect((rig.server.ip4(), ECHO), SOON).unwrap();
    let calls = call_meanwhile(&rig.client, &rig.server, || {
        rig.ads.endpoint.stop();
        drop(stream);
        assert_down(&rig, "xds", "refused");
        assert!(rig.is_ready(), "it still serves");
        assert_echo(&rig.client, (rig.web.ip4(), service_port(ECHO)), b"to a service");
        rig.ads.endpoint.resume();
        let mut stream = rig.ads.accept();
        let [addresses, _] = stream.opening();
        assert_eq!(addresses.initial_resource_versions.len(), rig.told().addresses.len());
        stream.tell(&addresses.type_url, Vec::new());
        rig.wait_until_it_sees("xds", "Up");
    });
    assert_all_served(&calls);
    assert_alive(&mut open, b"all the time");
    assert!(program.is_running());
}

#[test]
fn connections_old_and_new_go_on_while_the_authority_is_away() {
    let rig = Rig::new("down-ca");
    // Renewals begin soon, and certificates last longer than this.
    rig.ca.sign_for(Duration::from_secs(9));
    let (_stream, program) = rig.run(rig.launch());
    let mut open = rig.client.connect((rig.server.ip4(), ECHO), SOON).unwrap();
    let calls = call_meanwhile(&rig.client, &rig.server, || {
        rig.ca.endpoint.stop();
        assert_down(&rig, "ca", "refused");
        assert!(rig.is_ready(), "it still serves");
        let identity = rig.client.identity();
        assert_eq!(rig.certificate(&identity)["state"], "Available");
        let before = rig.ca.asked_for(&identity).len();
        rig.ca.endpoint.resume();
        rig.ca.wait_for(&identity, before + 1);
        rig.wait_until_it_sees("ca", "Up");
    });
    assert_all_served(&calls);
    assert_alive(&mut open, b"all the time");
    assert!(program.is_running());
}

/// Both peers fall silent without closing anything, as behind a firewall that forgets connections: packets to them and
/// from them disappear. Nothing tells the node but its own pings and deadlines.
#[test]
fn connections_that_are_half_open_are_noticed_and_made_anew() {
    let rig = Rig::new("half-open");
    // Half of the life is over, and a request has met its deadline, before the pings of the stream have met theirs.
    rig.ca.sign_for(Duration::from_secs(50));
    let (stream, program) = rig.run(rig.launch());
    let cut = [&rig.ads.endpoint, &rig.ca.endpoint].map(|endpoint| rig.cut_off(endpoint));
    for service in ["ca", "xds"] {
        let noticed = || rig.sees(service)["state"] == "Down";
        rig.lab.wait_until(NOTICED, "the silence is noticed", noticed).unwrap();
    }
    assert!(rig.works() && rig.is_ready());
    let visits = rig.ca.endpoint.visits().len();
    drop(cut);
    let mut again = rig.ads.accept();
    let [addresses, _] = again.opening();
    again.tell(&addresses.type_url, Vec::new());
    rig.wait_until_it_sees("xds", "Up");
    rig.wait_until_it_sees("ca", "Up");
    assert!(rig.ca.endpoint.visits().len() > visits, "on another connection");
    assert!(rig.works() && program.is_running());
    drop(stream);
}
