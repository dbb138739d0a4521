//! What is checked is found: each thing that must not happen is made to happen once, without a mesh.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use culvert_lab::{Lab, Node, Pod, PodSpec};
use culvert_sys::tcp;

use crate::harness::talk::SOON;
use crate::harness::traffic::callers::Callers;
use crate::harness::traffic::checks::{SETTLING, STARTING, is_as_before, recovers, settle, works};
use crate::harness::traffic::dialogue::{Manner, Outcome, Plan, speak};
use crate::harness::traffic::echo::{Echo, Flaw, PORT};
use crate::harness::traffic::journal::Journal;
use crate::harness::traffic::line::Line;
use crate::harness::traffic::pattern::Privacy;
use crate::harness::traffic::town::{Aim, Begun, Part, Town, Welcome};
use crate::harness::traffic::witness;
use crate::harness::traffic::words::{Header, LINE};

use super::chance::Fault;
use super::faults::{Broken, settings};
use super::run::{PACE, RECOVERY};

/// Two pods on two nodes, a server in the second.
struct Pair {
    _lab: Lab,
    nodes: [Node; 2],
    client: Pod,
    server: Pod,
    journal: Arc<Journal>,
}

impl Pair {
    fn new(flaw: Flaw) -> Self {
        let lab = Lab::new("mutants").unwrap();
        let nodes = [lab.node("one").unwrap(), lab.node("two").unwrap()];
        let client = lab.pod(&nodes[0], PodSpec::new("client")).unwrap();
        let server = lab.pod(&nodes[1], PodSpec::new("server")).unwrap();
        let journal = Arc::new(Journal::new());
        Echo::start(&server, &journal, Some(vec!["client"]), flaw);
        Self { _lab: lab, nodes, client, server, journal }
    }

    fn speak(&self, plan: &Plan) -> Outcome {
        let stream = self.client.connect((self.server.ip4(), PORT), SOON).unwrap();
        speak(&stream, plan, Instant::now() + Duration::from_secs(2))
    }

    /// Says something that is not in order, and waits until the server has said what it thinks of it.
    fn say(&self, bytes: &[u8], found: &str) {
        let mut stream = self.client.connect((self.server.ip4(), PORT), SOON).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
        let violations = self.journal.violations();
        assert!(violations.iter().any(|what| what.contains(found)), "{violations:?}");
    }
}

fn plan(client: &str) -> Plan {
    let (privacy, client) = (Privacy::Confidential, client.to_owned());
    let header = Header { privacy, nonce: 5, client, up: 70_000, down: 70_000, reset_after: None };
    Plan { header, manner: Manner::AtOnce }
}

#[test]
fn what_a_server_does_wrong_is_found() {
    let name = |name: &str| Outcome::AsPlanned(name.to_owned());
    assert_eq!(Pair::new(Flaw::None).speak(&plan("client")), name("server"));
    assert_eq!(Pair::new(Flaw::WrongName).speak(&plan("client")), name("impostor"));
    for (flaw, found) in [
        (Flaw::WrongByte, "is not the one that was sent"),
        (Flaw::EndsEarly, "it ended in order after"),
        (Flaw::Hangs, "it hung"),
    ] {
        let outcome = Pair::new(flaw).speak(&plan("client"));
        assert!(matches!(&outcome, Outcome::Wrong(_, what) if what.contains(found)), "{flaw:?}: {outcome:?}");
    }
}

#[test]
fn what_a_client_or_anybody_between_does_wrong_is_found() {
    let pair = Pair::new(Flaw::None);
    pair.say(b"half a hea", "its header ended in order");
    pair.say(&plan("client").header.line(), "it ended in order after 0 of 70000 bytes");
    let mut damaged = plan("client").header.line();
    damaged.extend(vec![0; 100]);
    pair.say(&damaged, "byte 0 is not the one");
    pair.speak(&plan("stranger"));
    pair.say(b"", "from stranger: it was let in");
}

#[test]
fn resets_are_no_orderly_ends() {
    let pair = Pair::new(Flaw::None);
    let leaves = Plan { manner: Manner::Leaves(10_000), ..plan("client") };
    assert!(matches!(pair.speak(&leaves), Outcome::AsPlanned(_)));
    let mut reset = plan("client");
    reset.header.reset_after = Some(10_000);
    let outcome = pair.speak(&reset);
    assert!(matches!(outcome, Outcome::AsPlanned(_) | Outcome::Unanswered(_)), "{outcome:?}");
    assert_eq!(pair.journal.violations(), Vec::<String>::new());
}

#[test]
fn what_is_readable_on_the_wire_is_found() {
    let pair = Pair::new(Flaw::None);
    let public =
        Plan { header: Header { privacy: Privacy::Public, ..plan("client").header }, ..plan("client") };
    let (seen, _) = witness::watch(&pair.nodes, &pair.journal, || pair.speak(&public));
    assert!(seen.readable.load(Ordering::Relaxed) > 0);
    assert_eq!(pair.journal.violations(), Vec::<String>::new());
    witness::watch(&pair.nodes, &pair.journal, || pair.speak(&plan("client")));
    let violations = pair.journal.violations();
    assert!(violations.iter().any(|what| what.contains("plaintext on the wire")), "{violations:?}");
}

#[test]
fn an_answer_of_somebody_else_is_found() {
    let town = Town::without_programs("judge", settings);
    town.change_tenant();
    let begun = town.begin();
    let judged = |client, aim, name| town.may_answer(client, aim, begun, name).is_ok();
    assert!(
        judged("alice", Aim::Resident("vault"), "vault") && !judged("bob", Aim::Resident("vault"), "vault")
    );
    assert!(judged("bob", Aim::Shop, "shop-1") && !judged("bob", Aim::Shop, "vault"));
    // The second tenant is at the address of the first, which was in the service and ended before the call began.
    assert!(judged("alice", Aim::Tenant, "tenant-1") && !judged("alice", Aim::Tenant, "tenant-0"));
    assert!(!judged("alice", Aim::Inn, "tenant-1") && !judged("alice", Aim::Inn, "tenant-0"));
    town.decide(Welcome::Denied);
    let later = || Begun { at: begun.at, ..town.begin() };
    assert!(town.may_answer("bob", Aim::Shop, later(), "shop-1").is_ok());
    town.in_force();
    assert!(town.may_answer("bob", Aim::Shop, later(), "shop-1").is_err());
    assert!(town.may_answer("bob", Aim::Shop, begun, "shop-1").is_ok());
}

#[test]
fn an_answer_from_behind_a_waypoint_that_is_gone_around_or_revoked_is_found() {
    let town = Town::without_programs("judge-mill", settings);
    town.run(Part::Control);
    let judged = |aim, begun| town.may_answer("alice", aim, begun, "mill").is_ok();
    let begun = town.begin();
    assert!(judged(Aim::Mill, begun) && !judged(Aim::Resident("mill"), begun));
    town.revoke(true);
    assert!(judged(Aim::Mill, town.begin()), "nobody goes by it yet");
    town.revocation_in_force();
    assert!(judged(Aim::Mill, begun), "it was not revoked when this began");
    assert!(!judged(Aim::Mill, town.begin()));
    let revoked = town.begin();
    town.revoke(false);
    assert!(judged(Aim::Mill, revoked) && judged(Aim::Mill, town.begin()), "it may be let in again");
}

/// What is broken here is not mended, and what is held is not let go of, for so long.
const SHORT: Duration = Duration::from_secs(4);

#[test]
fn what_does_not_recover_and_what_a_blackhole_leaves_behind_is_found() {
    let town = Town::start("mutants", settings);
    let callers = Callers::new(&town, PACE);
    works(&town, &callers, STARTING).unwrap();
    let before = settle(&town, None, SETTLING).unwrap();
    let found = |what: &str| {
        let violations = town.journal.violations();
        assert!(violations.last().is_some_and(|last| last.contains(what)), "{what}: {violations:?}");
    };

    let node = town.program(Part::Node(1));
    node.pause().unwrap();
    assert_eq!(recovers(&town, &callers, SHORT), SHORT);
    found("it does not work after 4s");
    found("it hung beyond its deadline");
    node.resume().unwrap();
    assert!(recovers(&town, &callers, RECOVERY) < RECOVERY, "{:?}", town.journal.violations());

    // Somebody is connected, and lets nothing go when the wire has been dead for a while.
    let vault = Aim::Resident("vault");
    let held = town.resident("alice").connect(town.addresses(vault)[0], SOON).unwrap();
    tcp::reset_on_close(&held).unwrap();
    (&held).write_all(&plan("alice").header.line()).unwrap();
    (&held).read_exact(&mut [0; LINE]).unwrap();
    let broken = Broken::new(&town, Fault::Lossy(0, 100));
    let outcome = callers.try_once("alice", vault, 0, Duration::from_secs(1));
    assert!(!matches!(outcome, Outcome::AsPlanned(_)), "{outcome:?}");
    broken.mend(&town);
    let known = town.journal.violations().len();
    is_as_before(&town, &before, SHORT);
    found("not as before after 4s");
    for part in ["Booked of one", "Sockets of alice", "Tunnels of one"] {
        found(part);
    }
    drop(held);
    is_as_before(&town, &before, SETTLING);
    assert_eq!(town.journal.violations().len(), known + 1, "{:?}", town.journal.violations());
}

/// A connection that nobody waits for any more ends.
#[test]
fn a_killed_server_resets_who_is_connected() {
    let pair = Pair::new(Flaw::None);
    let echo = Echo::start(&pair.client, &pair.journal, None, Flaw::Hangs);
    let stream = pair.server.connect((pair.client.ip4(), PORT), SOON).unwrap();
    Line::tick(&stream).unwrap();
    (&stream).write_all(&plan("server").header.line()).unwrap();
    echo.kill();
    let outcome = speak(&stream, &plan("server"), Instant::now() + Duration::from_secs(2));
    assert!(matches!(outcome, Outcome::Unanswered(_)), "{outcome:?}");
}
