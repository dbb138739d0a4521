//! What is shown of a connection.

use std::net::SocketAddr;

use culvert_api::{self as api, Attempt, Bytes, Connection, End, Outcome, PodRef, Tls};
use culvert_core::refusal::Flag;

use super::super::moment::{Now, milliseconds};
use super::super::sockets::shown;
use crate::ledger::sockets::Sockets;
use crate::ledger::{Book, Direction, Ended, Facts, Party, Record, Stage, Tried};
use crate::outcome::Failure;
use crate::proxy::PodInfo;
use crate::stream::Closer;
use crate::tunnel::Agreement;

/// All that is known of a connection.
pub(crate) fn connection(book: &Book, record: &Record, (now, sockets): (Now, &Sockets)) -> Connection {
    let facts = record.facts().clone();
    let (near, far) = sockets.of(record, &facts);
    let until = facts.ended.as_ref().map_or(now.instant, |ended| ended.at);
    Connection {
        id: record.id.to_string(),
        trace: Some(trace(&facts)),
        pod: pod(&book.pod),
        direction: direction(record.direction),
        stage: stage(facts.stage),
        stage_milliseconds: now.since(facts.since),
        source: source(record, &facts),
        destination: destination(record, &facts),
        original_destination: record.dialled.to_string(),
        next_hop: facts.delivered.unwrap_or(facts.destination).to_string(),
        authority: facts.authority.as_deref().map(str::to_owned),
        protocol: protocol(facts.is_tunnelled(), facts.nested),
        began: now.at(record.began),
        milliseconds: milliseconds(until.saturating_duration_since(record.began)),
        bytes: Bytes { to_server: facts.moved.forth.bytes(), to_client: facts.moved.back.bytes() },
        tunnel: facts.tunnel.map(|on| on.to_string()),
        tls: facts.tunnel.map(|on| tls(on.tls)),
        policy: facts.policy.as_deref().map(str::to_owned),
        socks: facts.asked.as_deref().map(str::to_owned),
        probe: facts.probe,
        attempts: facts.tried.iter().map(attempt).collect(),
        outcome: facts.ended.as_ref().map(|ended| outcome(ended, facts.ends().closed_by, now)),
        network: far.map(shown),
        application: near.map(shown),
    }
}

/// Who called.
pub(super) fn source(record: &Record, facts: &Facts) -> End {
    End { address: record.client.to_string(), ..end(&facts.from) }
}

/// Who was called.
pub(super) fn destination(record: &Record, facts: &Facts) -> End {
    let address = match (facts.delivered.or_else(|| asked_for(facts)), facts.is_tunnelled()) {
        (Some(address), _) => address,
        // What a waypoint or gateway makes of a name is known there.
        (None, true) => record.dialled,
        (None, false) => facts.destination,
    };
    let service = facts.service.as_ref().map(|service| service.hostname.to_string());
    End { address: address.to_string(), service, ..end(&facts.to) }
}

/// An end, but for its address.
fn end(party: &Party) -> End {
    let known = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let workload = party.workload.as_ref();
    End {
        address: String::new(),
        workload: workload.and_then(|it| known(it.name())),
        owner: workload.and_then(|it| known(&it.workload_name)),
        namespace: workload.and_then(|it| known(&it.namespace)),
        cluster: workload.and_then(|it| known(&it.cluster_id)),
        identity: party.identity.as_ref().map(ToString::to_string),
        service: None,
    }
}

/// The address a tunnel is asked for, if it is one.
fn asked_for(facts: &Facts) -> Option<SocketAddr> {
    facts.authority.as_ref()?.parse().ok()
}

pub(in crate::admin::v1) fn pod(pod: &PodInfo) -> PodRef {
    PodRef { namespace: pod.namespace.clone(), name: pod.name.clone() }
}

pub(in crate::admin::v1) fn direction(direction: Direction) -> api::Direction {
    match direction {
        Direction::Outbound => api::Direction::Outbound,
        Direction::Inbound => api::Direction::Inbound,
    }
}

pub(in crate::admin::v1) fn protocol(tunnelled: bool, nested: bool) -> api::Protocol {
    match (tunnelled, nested) {
        (_, true) => api::Protocol::DoubleHbone,
        (true, false) => api::Protocol::Hbone,
        (false, false) => api::Protocol::Tcp,
    }
}

/// What the ends of a tunnel have agreed on.
pub(in crate::admin::v1) fn tls(agreed: Agreement) -> Tls {
    Tls {
        version: agreed.version().to_owned(),
        cipher: agreed.cipher().to_owned(),
        group: agreed.group().map(str::to_owned),
    }
}

pub(super) fn trace(facts: &Facts) -> String {
    format!("{:032x}", facts.trace.id)
}

fn stage(stage: Stage) -> api::Stage {
    match stage {
        Stage::Deciding => api::Stage::Deciding,
        Stage::Connecting => api::Stage::Connecting,
        Stage::Open => api::Stage::Open,
        Stage::Ended => api::Stage::Ended,
    }
}

fn attempt(tried: &Tried) -> Attempt {
    let Tried { address, reason, error, .. } = tried;
    Attempt { address: address.to_string(), reason: (*reason).to_owned(), error: error.to_string() }
}

fn outcome(ended: &Ended, closed_by: Option<Closer>, now: Now) -> Outcome {
    let failure = ended.result.as_ref().err();
    let flag = failure.map(Failure::flag).filter(|flag| *flag != Flag::None);
    Outcome {
        state: match (failure, ended.was_open) {
            (None, _) => api::State::Complete,
            (Some(_), true) => api::State::Broken,
            (Some(_), false) => api::State::Refused,
        },
        ended: now.at(ended.at),
        closed_by: closed_by.map(|closer| match closer {
            Closer::Client => api::Closer::Client,
            Closer::Server => api::Closer::Server,
            Closer::Proxy => api::Closer::Proxy,
        }),
        reason: failure.map(|failure| failure.reason().to_owned()),
        how: failure.and_then(Failure::how).map(str::to_owned),
        error: failure.map(Failure::in_words),
        flag: flag.map(|flag| flag.as_str().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{Pod, address};
    use super::*;

    fn show(pod: &Pod, record: &Record) -> Connection {
        connection(pod.book(), record, (Now::read(), &Sockets::default()))
    }

    #[test]
    fn a_connection_in_a_tunnel_shows_both_ends() {
        let pod = Pod::new("shop", "web-1");
        let connection = show(&pod, &pod.to_db());
        let end = |end: &End| serde_json::to_value(end).unwrap();
        assert_eq!(
            end(&connection.destination),
            serde_json::json!({
                "address": "10.0.0.2:5432", "workload": "db-0", "owner": "db", "namespace": "data", "cluster": "c",
                "identity": "spiffe://cluster.local/ns/data/sa/db", "service": "db.data.svc.cluster.local",
            })
        );
        assert_eq!(connection.source.workload.as_deref(), Some("web-1"));
        assert_eq!(connection.original_destination, "10.0.0.9:80");
        assert_eq!(connection.next_hop, "10.0.0.2:15008");
        assert_eq!(connection.protocol, api::Protocol::Hbone);
        assert_eq!((connection.bytes.to_server, connection.bytes.to_client), (11, 22));
        assert_eq!(
            (connection.tunnel.as_deref(), connection.policy.as_deref()),
            (Some("000000000000002a"), Some("shop/allow-db"))
        );
        let tls = connection.tls.unwrap();
        assert_eq!((tls.version.as_str(), tls.group.as_deref()), ("TLSv1_3", Some("X25519MLKEM768")));
        assert_eq!((connection.stage, connection.outcome), (api::Stage::Open, None));
    }

    #[test]
    fn who_is_behind_a_name_is_not_made_up() {
        let pod = Pod::new("shop", "web-1");
        let record = pod.to_db();
        record.facts().authority = Some("db.data.svc.cluster.local:5432".into());
        assert_eq!(show(&pod, &record).destination.address, "10.0.0.9:80", "what was dialled is known");
        record.facts().authority = None;
        let plain = show(&pod, &record);
        assert_eq!(
            (plain.destination.address.as_str(), plain.protocol),
            ("10.0.0.2:15008", api::Protocol::Tcp)
        );
    }

    #[test]
    fn an_end_says_whether_there_ever_was_a_connection() {
        let pod = Pod::new("shop", "web-1");
        let table = [
            (false, Err(Failure::Drained), api::State::Refused, Some("drained")),
            (true, Err(Failure::Drained), api::State::Broken, Some("drained")),
            (true, Ok(()), api::State::Complete, None),
        ];
        for (open, result, state, reason) in table {
            let record = pod.book().begin(Direction::Inbound, address(1), address(2));
            if open {
                record.facts().enter(Stage::Open);
            }
            pod.book().end(&record, result);
            let outcome = show(&pod, &record).outcome.unwrap();
            assert_eq!((outcome.state, outcome.reason.as_deref()), (state, reason));
            assert_eq!(outcome.error.is_some(), reason.is_some());
        }
    }
}
