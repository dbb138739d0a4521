//! Hosts that are looked up for connections.

use std::net::IpAddr;

use super::upstream::aaaa;
use super::*;
use crate::dns::hosts::{Error as Failed, Hosts};

const IN_TIME: Duration = Duration::from_secs(8);

/// A handler that asks `servers`, with a search list.
fn searching(lines: &str, servers: &[&Upstream]) -> Handler {
    let mut handler = Arc::into_inner(handler(MESH, servers)).unwrap();
    let Content { search, upstream } = Content::parse(lines, From::Here);
    let servers = servers.iter().map(|server| server.address).collect();
    let upstream = Servers { servers, ..upstream };
    handler.others = others(Content { upstream, search });
    handler
}

fn hosts(servers: &[&Upstream]) -> Hosts {
    Hosts::new(handler(MESH, servers))
}

/// One that gives each family of the names it knows an address.
async fn knows(names: &'static [&'static str]) -> Upstream {
    Upstream::start(move |query, _| {
        let question = &query.queries[0];
        let mut answer = reply(query, ResponseCode::NXDomain);
        if names.contains(&&*question.name.to_ascii()) {
            answer.metadata.response_code = ResponseCode::NoError;
            let is_v4 = question.query_type == RecordType::A;
            let data = if is_v4 { a([192, 0, 2, 1]) } else { aaaa("2001:db8::1") };
            answer.answers.push(Record::from_rdata(question.name.clone(), 60, data));
        }
        vec![answer.to_vec().unwrap()]
    })
    .await
}

async fn of_workload(hosts: &Hosts, name: &str) -> Result<Vec<String>, Failed> {
    let found = tokio::time::timeout(IN_TIME, hosts.of_workload(name)).await.expect("in time")?;
    Ok(found.iter().map(IpAddr::to_string).collect())
}

async fn as_the_pod(hosts: &Hosts, name: &str) -> Result<Vec<String>, Failed> {
    let found = tokio::time::timeout(IN_TIME, hosts.as_the_pod(name)).await.expect("in time")?;
    Ok(found.iter().map(IpAddr::to_string).collect())
}

const BOTH: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

#[tokio::test]
async fn both_families_are_asked_for_and_what_was_said_is_remembered() {
    let server = knows(&["db.example."]).await;
    let hosts = hosts(&[&server]);
    for name in ["db.example", "DB.example", "db.example", "db.example."] {
        assert_eq!(of_workload(&hosts, name).await.unwrap(), BOTH);
    }
    // A complete name is another one, but what servers said of it is the same.
    assert_eq!(server.asked(), 2);
    let error = of_workload(&hosts, "bd.example").await.unwrap_err();
    assert_eq!(error.reason(), "host_unknown", "{error}");
    of_workload(&hosts, "bd.example").await.unwrap_err();
    assert_eq!(server.asked(), 4);
}

#[tokio::test]
async fn without_ipv6_nobody_asks_for_it() {
    let server = knows(&["db.example."]).await;
    let mut handler = Arc::into_inner(handler(MESH, &[&server])).unwrap();
    handler.settings.ipv6 = false;
    let hosts = Hosts::new(Arc::new(handler));
    assert_eq!(of_workload(&hosts, "db.example").await.unwrap(), ["192.0.2.1"]);
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn all_who_ask_at_once_share_one_lookup() {
    let server = knows(&["db.example."]).await;
    let hosts = hosts(&[&server]);
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let hosts = hosts.clone();
        asking.spawn(async move { of_workload(&hosts, "db.example").await.unwrap() });
    }
    assert!(asking.join_all().await.iter().all(|found| found == &BOTH));
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn a_name_that_is_not_complete_is_searched_for() {
    let server = knows(&["db.ns.example."]).await;
    let handler = || Arc::new(searching("search other.example ns.example", &[&server]));
    let hosts = Hosts::new(handler());
    assert_eq!(of_workload(&hosts, "db").await.unwrap(), BOTH);
    assert_eq!(server.asked(), 4);
    for (name, more) in [("db.", 2), ("bd", 6)] {
        let before = server.asked();
        let error = of_workload(&hosts, name).await.unwrap_err();
        assert!(matches!(error, Failed::NoSuchHost { .. }), "{error}");
        assert_eq!(server.asked() - before, more, "{name}");
    }
    let error = as_the_pod(&Hosts::new(handler()), "db").await.unwrap_err();
    assert!(matches!(error, Failed::NoSuchHost { .. }), "a pod has searched already: {error}");
}

#[tokio::test]
async fn another_host_is_not_taken_for_one_nobody_can_tell_of() {
    let server = Upstream::start(|query, _| {
        let is_other = query.queries[0].name.to_ascii() == "db.b.example.";
        let answer =
            if is_other { address(query, [192, 0, 2, 1]) } else { reply(query, ResponseCode::ServFail) };
        vec![answer.to_vec().unwrap()]
    })
    .await;
    let hosts = Hosts::new(Arc::new(searching("search a.example b.example", &[&server])));
    let error = of_workload(&hosts, "db").await.unwrap_err();
    assert!(matches!(error, Failed::Complaint { code: ResponseCode::ServFail, .. }), "{error}");
    assert_eq!(error.reason(), "nameserver_failed");
    assert!(server.asked() <= 2);
}

#[tokio::test]
async fn a_family_nobody_tells_of_is_not_waited_for_when_there_is_the_other() {
    let server = Upstream::start(|query, _| {
        let is_v4 = query.queries[0].query_type == RecordType::A;
        if is_v4 { vec![address(query, [192, 0, 2, 1]).to_vec().unwrap()] } else { Vec::new() }
    })
    .await;
    // As the file says, it may take longer.
    let hosts = Hosts::new(Arc::new(searching("", &[&server])));
    let before = std::time::Instant::now();
    assert_eq!(of_workload(&hosts, "db.example").await.unwrap(), ["192.0.2.1"]);
    assert!(before.elapsed() < Duration::from_millis(1700), "{:?}", before.elapsed());
}

#[tokio::test]
async fn a_host_without_addresses_is_told_from_one_that_is_not_there() {
    let server = Upstream::start(|query, _| {
        let code = if query.queries[0].query_type == RecordType::A {
            ResponseCode::NoError
        } else {
            // Some servers say so of one family.
            ResponseCode::NXDomain
        };
        vec![reply(query, code).to_vec().unwrap()]
    })
    .await;
    let error = of_workload(&hosts(&[&server]), "db.example").await.unwrap_err();
    assert_eq!(error.reason(), "host_without_address", "{error}");
}

#[tokio::test]
async fn a_name_does_not_lead_to_the_proxy() {
    let server = Upstream::start(|query, _| vec![address(query, [127, 0, 0, 1]).to_vec().unwrap()]).await;
    let hosts = hosts(&[&server]);
    for error in [
        of_workload(&hosts, "db.example").await,
        as_the_pod(&hosts, "db.example").await,
        as_the_pod(&hosts, "127.0.0.1").await,
    ] {
        let error = error.unwrap_err();
        assert_eq!(error.reason(), "host_address_unusable", "{error}");
        assert!(error.to_string().contains("127.0.0.1"), "{error}");
    }
}

#[tokio::test]
async fn the_mesh_is_asked_first_for_a_pod_and_not_for_a_workload() {
    let server = knows(&["web.ns1.svc.cluster.local.", "db.example."]).await;
    let hosts = hosts(&[&server]);
    for name in ["web", "WEB.ns1.", "web.ns1.svc.cluster.local"] {
        assert_eq!(as_the_pod(&hosts, name).await.unwrap(), ["10.1.0.1"]);
    }
    assert_eq!(as_the_pod(&hosts, "192.0.2.7").await.unwrap(), ["192.0.2.7"]);
    assert_eq!(server.asked(), 0);
    assert_eq!(as_the_pod(&hosts, "db.example").await.unwrap(), BOTH);
    assert_eq!(of_workload(&hosts, "web.ns1.svc.cluster.local").await.unwrap(), BOTH);
}

#[tokio::test]
async fn names_nobody_can_have_are_not_asked_for() {
    let server = knows(&[]).await;
    let hosts = hosts(&[&server]);
    for name in ["", ".", "a..b", ".a", &"a".repeat(64), &"a.".repeat(200), "ä.example"] {
        for found in [of_workload(&hosts, name).await, as_the_pod(&hosts, name).await] {
            assert_eq!(found.unwrap_err().reason(), "host_name_invalid", "{name}");
        }
    }
    assert_eq!(server.asked(), 0);
}

#[tokio::test]
async fn the_server_the_pod_has_chosen_is_asked_if_it_was_of_help() {
    let (node, chosen, useless) = (knows(&[]).await, knows(&["db.example."]).await, {
        Upstream::start(|query, _| vec![reply(query, ResponseCode::Refused).to_vec().unwrap()]).await
    });
    let handler = handler(MESH, &[&node]);
    for server in [&chosen, &useless] {
        ask(&handler, &query("any.example.", RecordType::TXT), Some(server.address)).await;
    }
    let hosts = Hosts::new(handler);
    assert_eq!(of_workload(&hosts, "db.example").await.unwrap(), BOTH);
    assert_eq!(node.asked(), 0);
}

#[tokio::test]
async fn a_pod_that_asks_a_lot_by_itself_keeps_no_host_from_being_found() {
    let server = knows(&["db.example."]).await;
    let handler = handler(MESH, &[&server]);
    let _waiting = limits::tests::all(&handler.others.limits, limits::Limit::DnsQueries);
    let hosts = Hosts::new(Arc::clone(&handler));
    assert_eq!(of_workload(&hosts, "db.example").await.unwrap(), BOTH);
}

#[tokio::test]
async fn a_server_that_was_tried_once_is_not_asked_for_all_and_what_it_said_is_not_given() {
    let (chosen, tried) = (knows(&["db.example."]).await, knows(&[]).await);
    let handler = handler(MESH, &[]);
    let txt = |name| query(name, RecordType::TXT);
    ask(&handler, &txt("any.example."), Some(chosen.address)).await;
    let hosts = Hosts::new(Arc::clone(&handler));
    ask(&handler, &txt("any.example."), Some(tried.address)).await;
    assert_eq!(of_workload(&hosts, "db.example").await.unwrap(), BOTH);
    // When the first is not there any more, the other one takes its place, and what it says.
    let address = chosen.address;
    drop(chosen);
    let failed = ask(&handler, &txt("new.example."), Some(address)).await;
    assert_eq!(failed.metadata.response_code, ResponseCode::ServFail);
    ask(&handler, &txt("new.example."), Some(tried.address)).await;
    assert_eq!(of_workload(&hosts, "db.example").await.unwrap_err().reason(), "host_unknown");
}

#[tokio::test]
async fn when_nobody_answers_the_reason_is_told_and_soon_asked_again() {
    let silent = Upstream::start(|_, _| Vec::new()).await;
    let none = of_workload(&hosts(&[]), "db.example").await.unwrap_err();
    assert!(matches!(none, Failed::Unanswered { .. }), "{none}");
    let hosts = hosts(&[&silent]);
    let error = of_workload(&hosts, "db.example").await.unwrap_err();
    assert_eq!(error.reason(), "nameserver_failed", "{error}");
    let told = Chain(&error).to_string();
    assert!(told.contains("db.example") && told.contains(&silent.address.to_string()), "{told}");
    of_workload(&hosts, "db.example").await.unwrap_err();
    assert_eq!(silent.asked(), 2, "not by each who wants to know");
}

#[tokio::test]
async fn while_nobody_answers_a_host_is_where_it_was() {
    let silent = Upstream::start(|_, _| Vec::new()).await;
    // As the file says, asking takes as long as it may.
    let hosts_of_slow = Hosts::new(Arc::new(searching("options attempts:5", &[&silent])));
    hosts_of_slow.remember("db.example", "192.0.2.9".parse().unwrap(), Duration::ZERO).await;
    let before = std::time::Instant::now();
    assert_eq!(of_workload(&hosts_of_slow, "db.example").await.unwrap(), ["192.0.2.9"]);
    assert!(before.elapsed() < Duration::from_secs(3), "{:?}", before.elapsed());
    let hosts = hosts(&[&silent]);
    hosts.remember("db.example", "192.0.2.9".parse().unwrap(), Duration::ZERO).await;
    assert_eq!(of_workload(&hosts, "db.example").await.unwrap(), ["192.0.2.9"]);
    let asked = silent.asked();
    let before = std::time::Instant::now();
    assert_eq!(of_workload(&hosts, "db.example").await.unwrap(), ["192.0.2.9"]);
    assert!(before.elapsed() < Duration::from_secs(1) && silent.asked() == asked, "it is left alone");
}

#[tokio::test]
async fn a_host_that_has_moved_is_where_it_is_said_to_be() {
    let server = knows(&["db.example."]).await;
    let hosts = hosts(&[&server]);
    for name in ["db.example", "gone.example"] {
        hosts.remember(name, "192.0.2.9".parse().unwrap(), Duration::ZERO).await;
    }
    assert_eq!(of_workload(&hosts, "db.example").await.unwrap(), BOTH);
    assert_eq!(of_workload(&hosts, "gone.example").await.unwrap_err().reason(), "host_unknown");
}
