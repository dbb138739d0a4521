use std::time::Duration;

use culvert_core::policy::Denial;
use culvert_core::refusal::Refusal;

use super::*;
use crate::deliver::dial;
use crate::ledger::Direction;
use crate::stream::{Broken, Early, Loss, Reset};
use crate::why::constructed::{Fate, ends, evidence, socket, tunnelled};

fn failed(failure: Failure) -> Evidence {
    tunnelled(Direction::Outbound, Fate::Ends(Err(failure)))
}

fn silent() -> Failure {
    Failure::Tunnel(tunnel::Error::Dial(dial::Error::TimedOut { to: ends()[1] }))
}

fn knocked(tunnel: Answer, application: Answer) -> Option<Knocked> {
    Some(Knocked { host: ends()[1], tunnel, application, port: 80 })
}

fn stale() -> Option<Stale> {
    Some(Stale { before: Duration::from_secs(60), error: "refused".into() })
}

fn culprit(evidence: &Evidence) -> Culprit {
    of(evidence).culprit
}

#[test]
fn a_firewall_is_told_from_a_network_by_another_port() {
    for (tunnel, application, expected) in [
        (Answer::Silence, Answer::Open, Culprit::Firewall),
        (Answer::Silence, Answer::Closed, Culprit::Firewall),
        (Answer::Silence, Answer::Silence, Culprit::Network),
        (Answer::Silence, Answer::Unreachable, Culprit::Network),
        (Answer::Unreachable, Answer::Unreachable, Culprit::Network),
        (Answer::Open, Answer::Open, Culprit::Network),
    ] {
        let given = Evidence { knocked: knocked(tunnel, application), ..failed(silent()) };
        assert_eq!(culprit(&given), expected, "{tunnel:?} {application:?}");
    }
}

#[test]
fn what_the_control_plane_could_not_tell_is_weighed() {
    let peer = ends()[1];
    let refused = |kind: std::io::ErrorKind| {
        let source = std::sync::Arc::new(kind.into());
        Failure::Tunnel(tunnel::Error::Dial(dial::Error::Refused { to: peer, source }))
    };
    let status = || tunnel::Error::Status { peer, status: 503, hint: "", said: None };
    for (failure, fresh, old) in [
        (refused(std::io::ErrorKind::ConnectionRefused), Culprit::NodeMissing, Culprit::StaleConfig),
        (refused(std::io::ErrorKind::HostUnreachable), Culprit::Network, Culprit::StaleConfig),
        (
            Failure::Tunnel(tunnel::Error::HungUp { peer, reason: "reset".into() }),
            Culprit::Unknown,
            Culprit::StaleConfig,
        ),
        // Whoever is there has said so.
        (Failure::Tunnel(status()), Culprit::Server, Culprit::Server),
        // The connection was made, so that it was made to whoever was meant.
        (Failure::Broken(Early::Server(Broken::Reset(Reset::Application))), Culprit::Server, Culprit::Server),
        (Failure::Refused(Refusal::Denied(Denial::NoneAllowed)), Culprit::Policy, Culprit::Policy),
    ] {
        let mut given = failed(failure);
        let text = of(&given).evidence.join(" ");
        assert_eq!(culprit(&given), fresh, "{text}");
        given.stale = stale();
        assert_eq!(culprit(&given), old, "{text}");
        assert!(of(&given).evidence.join(" ").contains("had not answered for 60 s"));
    }
    let everything = knocked(Answer::Silence, Answer::Silence);
    let given = Evidence { knocked: everything, stale: stale(), ..failed(silent()) };
    assert_eq!(culprit(&given), Culprit::StaleConfig);
}

#[test]
fn a_cut_at_the_peer_is_a_policys_where_one_would_deny() {
    let cut = || failed(Failure::Broken(Early::Server(Broken::Reset(Reset::Cancelled))));
    assert_eq!(culprit(&cut()), Culprit::NodeMissing);
    let given = Evidence { denied_now: Some(Denial::NoneAllowed), ..cut() };
    assert_eq!(culprit(&given), Culprit::Policy);
}

#[test]
fn a_denial_the_peer_tells_of_is_the_one_known_here() {
    let denied = || {
        failed(Failure::Tunnel(tunnel::Error::Status { peer: ends()[1], status: 401, hint: "", said: None }))
    };
    assert_eq!(culprit(&denied()), Culprit::Policy);
    let unknown = Denial::UnknownPolicy { policy: "shop/lost".into() };
    let mut given = Evidence { denied_now: Some(unknown), ..denied() };
    assert_eq!(culprit(&given), Culprit::StaleConfig);
    // Behind a waypoint others decide.
    given.facts.waypoint = true;
    assert_eq!(culprit(&given), Culprit::Policy);
}

#[test]
fn silence_is_the_networks_unless_all_that_was_sent_has_arrived() {
    let mut given = failed(Failure::Broken(Early::Server(Broken::Tunnel(Loss::Silent("no PING".into())))));
    assert_eq!(culprit(&given), Culprit::Network);
    let mut far = socket(0, 60_000);
    far.info.bytes_unacknowledged = 17;
    given.far = Some(far);
    assert_eq!(culprit(&given), Culprit::Network);
    far.info.bytes_unacknowledged = 0;
    given.far = Some(far);
    assert_eq!(culprit(&given), Culprit::NodeMissing);
}

#[test]
fn nobody_is_blamed_for_what_goes_well_or_is_under_way() {
    for direction in [Direction::Outbound, Direction::Inbound] {
        for (fate, expected) in [
            (Fate::Ends(Ok(())), Culprit::Nobody),
            (Fate::Lives(Stage::Open), Culprit::Nobody),
            (Fate::Lives(Stage::Connecting), Culprit::Unknown),
            (Fate::Lives(Stage::Deciding), Culprit::Unknown),
        ] {
            let verdict = of(&evidence(direction, fate));
            assert_eq!((verdict.culprit, verdict.remedy), (expected, None), "{}", verdict.sentence);
        }
    }
}
