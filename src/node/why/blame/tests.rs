use std::sync::Arc;
use std::time::Duration;

use culvert_core::hbone::proxy_status::Said;
use culvert_core::policy::Denial;
use culvert_core::refusal::Refusal;

use super::*;
use crate::deliver::dial;
use crate::why::constructed::ends;

const HERE: Seen = Seen { direction: Direction::Outbound, through: false };
const THROUGH: Seen = Seen { direction: Direction::Outbound, through: true };
const THERE: Seen = Seen { direction: Direction::Inbound, through: false };

fn refused(kind: io::ErrorKind) -> dial::Error {
    dial::Error::Refused { to: ends()[1], source: Arc::new(kind.into()) }
}

fn check(failure: Failure, seen: Seen, expected: Culprit) {
    let Blame { culprit, remedy } = of(&failure, seen);
    assert_eq!(culprit, expected, "{failure:?} {seen:?}: {remedy}");
    assert!(!remedy.is_empty());
}

#[test]
fn what_a_dial_says_is_told_by_where_it_was_made() {
    use io::ErrorKind as Kind;
    let to = ends()[1];
    let tunnel = |error| Failure::Tunnel(tunnel::Error::Dial(error));
    for (error, plain, tunnelled, inbound) in [
        (refused(Kind::ConnectionRefused), Culprit::Server, Culprit::NodeMissing, Culprit::Server),
        (refused(Kind::ConnectionReset), Culprit::Server, Culprit::NodeMissing, Culprit::Server),
        (refused(Kind::HostUnreachable), Culprit::Network, Culprit::Network, Culprit::Network),
        (refused(Kind::NetworkUnreachable), Culprit::Network, Culprit::Network, Culprit::Network),
        (refused(Kind::AddrNotAvailable), Culprit::Capacity, Culprit::Capacity, Culprit::Capacity),
        (refused(Kind::PermissionDenied), Culprit::Firewall, Culprit::Firewall, Culprit::Firewall),
        (dial::Error::TimedOut { to }, Culprit::Network, Culprit::Firewall, Culprit::Server),
        (
            dial::Error::Socket { to, source: Arc::new(Kind::Other.into()) },
            Culprit::Capacity,
            Culprit::Capacity,
            Culprit::Capacity,
        ),
    ] {
        check(Failure::Dial(error.clone()), HERE, plain);
        check(Failure::Dial(error.clone()), THERE, inbound);
        check(tunnel(error), HERE, tunnelled);
    }
    check(tunnel(refused(Kind::ConnectionRefused)), THROUGH, Culprit::Waypoint);
}

#[test]
fn what_becomes_of_a_tunnel_is_told_by_who_is_at_its_end() {
    let peer = ends()[1];
    let reason = || "reason".to_owned();
    let patience = Duration::from_secs(5);
    for (error, direct, through) in [
        (tunnel::Error::EstablishTimedOut { peer }, Culprit::NodeMissing, Culprit::Waypoint),
        (tunnel::Error::AnswerTimedOut { peer }, Culprit::NodeMissing, Culprit::Waypoint),
        (tunnel::Error::Gone { peer }, Culprit::NodeMissing, Culprit::Waypoint),
        (tunnel::Error::Broken { peer, reason: reason() }, Culprit::NodeMissing, Culprit::Waypoint),
        (
            tunnel::Error::OutOfPatience { peer, patience, connected: true },
            Culprit::NodeMissing,
            Culprit::Waypoint,
        ),
        (
            tunnel::Error::OutOfPatience { peer, patience, connected: false },
            Culprit::Firewall,
            Culprit::Firewall,
        ),
        (tunnel::Error::Tls { peer, reason: reason() }, Culprit::Certificate, Culprit::Certificate),
        (tunnel::Error::HungUp { peer, reason: reason() }, Culprit::Unknown, Culprit::Unknown),
        (tunnel::Error::Revoked { peer }, Culprit::Certificate, Culprit::Certificate),
        (tunnel::Error::Pipe(reason()), Culprit::Capacity, Culprit::Capacity),
        (tunnel::Error::Http2 { peer, reason: reason() }, Culprit::Mesh, Culprit::Mesh),
    ] {
        let text = error.to_string();
        for (seen, expected) in [(HERE, direct), (THROUGH, through)] {
            assert_eq!(of_tunnel(&error, seen).culprit, expected, "{text} {seen:?}");
        }
    }
}

#[test]
fn what_the_other_end_says_is_believed() {
    let said = |error: &str, details: Option<&str>| {
        let said = Said { proxy: "culvert".into(), error: error.into(), details: details.map(Into::into) };
        tunnel::Error::Status { peer: ends()[1], status: 503, hint: "", said: Some(Box::new(said)) }
    };
    for (error, details, expected) in [
        ("http_request_denied", None, Culprit::Policy),
        ("connection_refused", None, Culprit::Server),
        ("connection_timeout", None, Culprit::Server),
        ("connection_limit_reached", None, Culprit::Capacity),
        ("destination_not_found", None, Culprit::StaleConfig),
        ("dns_error", None, Culprit::Dns),
        ("proxy_loop_detected", None, Culprit::Client),
        ("proxy_configuration_error", None, Culprit::Config),
        ("proxy_internal_error", Some("workload_refused"), Culprit::Capacity),
        ("proxy_internal_error", Some("workload_unknown"), Culprit::StaleConfig),
        ("proxy_internal_error", Some("no_certificate"), Culprit::Certificate),
    ] {
        check(Failure::Tunnel(said(error, details)), HERE, expected);
    }
    for (status, direct, through) in [
        (401, Culprit::Policy, Culprit::Policy),
        (403, Culprit::Policy, Culprit::Policy),
        (400, Culprit::StaleConfig, Culprit::StaleConfig),
        (503, Culprit::Server, Culprit::Waypoint),
    ] {
        let error = || tunnel::Error::Status { peer: ends()[1], status, hint: "", said: None };
        check(Failure::Tunnel(error()), HERE, direct);
        check(Failure::Tunnel(error()), THROUGH, through);
    }
}

#[test]
fn a_break_is_told_by_who_has_broken_it() {
    let tunnel = |loss| Broken::Tunnel(loss);
    for (broken, client, server) in [
        (Broken::Reset(Reset::Socket), Culprit::Client, Culprit::Server),
        (Broken::Reset(Reset::Application), Culprit::Client, Culprit::Server),
        (Broken::Reset(Reset::Cancelled), Culprit::Client, Culprit::NodeMissing),
        (Broken::Revoked, Culprit::Certificate, Culprit::Certificate),
        (tunnel(Loss::Silent(String::new())), Culprit::Network, Culprit::Network),
        (tunnel(Loss::Closed), Culprit::NodeMissing, Culprit::NodeMissing),
        (tunnel(Loss::Vanished), Culprit::NodeMissing, Culprit::NodeMissing),
        (tunnel(Loss::Cut), Culprit::NodeMissing, Culprit::NodeMissing),
        (tunnel(Loss::Fault(String::new())), Culprit::Mesh, Culprit::Mesh),
        (Broken::Lost("timed out".into()), Culprit::Network, Culprit::Network),
    ] {
        check(Failure::Broken(Early::Client(broken.clone())), HERE, client);
        check(Failure::Broken(Early::Server(broken)), HERE, server);
    }
}

#[test]
fn a_decision_is_told_by_who_has_made_it() {
    let [_, destination] = ends();
    let service: Arc<str> = "shop/web".into();
    let policy: Arc<str> = "shop/closed".into();
    let reason: Arc<str> = "why".into();
    for (refusal, expected) in [
        (Refusal::Loop { destination }, Culprit::Client),
        (Refusal::UnknownServicePort { service: service.clone(), destination }, Culprit::Config),
        (Refusal::NoEndpoint { service: service.clone(), destination, known: 0 }, Culprit::Server),
        (Refusal::NoEndpoint { service, destination, known: 2 }, Culprit::Server),
        (Refusal::Denied(Denial::NoneAllowed), Culprit::Policy),
        (Refusal::Denied(Denial::Explicit { policy: policy.clone() }), Culprit::Policy),
        (Refusal::Denied(Denial::UnusablePolicy { policy: policy.clone(), reason }), Culprit::Policy),
        (Refusal::Denied(Denial::UnknownPolicy { policy }), Culprit::StaleConfig),
    ] {
        check(Failure::Refused(refusal), HERE, expected);
    }
    check(Failure::PolicyChanged(Denial::NoneAllowed), THERE, Culprit::Policy);
    check(Failure::PeerGone, THERE, Culprit::Client);
    check(Failure::Drained, HERE, Culprit::NodeMissing);
    for (ended, expected) in [
        (Ended::Neither, Culprit::Config),
        (Ended::Only(Side::Client), Culprit::Server),
        (Ended::Only(Side::Server), Culprit::Client),
        (Ended::Both, Culprit::Client),
    ] {
        check(Failure::Quiet(Quiet { ended, time: Duration::from_secs(3600) }), HERE, expected);
    }
    check(Failure::NotOurAddress(destination), THERE, Culprit::Client);
    check(Failure::NoCertificate(identity::Error::TimedOut), HERE, Culprit::Certificate);
    check(Failure::NoCertificate(identity::Error::Forgotten), HERE, Culprit::NodeMissing);
    check(Failure::Socks(socks::Error::TimedOut), HERE, Culprit::Client);
    check(Failure::Socks(socks::Error::Descriptor(io::ErrorKind::Other.into())), HERE, Culprit::Capacity);
}
