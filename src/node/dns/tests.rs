//! The life of queries, with a nameserver that says what the test wants.

mod demand;
mod hosts;
mod serving;
pub(super) mod upstream;

use std::time::Duration;

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::handler::Step;
use super::message::Transport;
use super::*;
use crate::config::{Config as Settings, Environment};
use ask::Upstream as Servers;
use others::Wanted;
use resolv_conf::Content;
use upstream::{Upstream, a, address, reply};

/// A service with virtual addresses, and one host outside the cluster.
pub(super) const MESH: &str = "
workloads:
- {uid: client, name: client, namespace: ns1, serviceAccount: sa, workloadIps: [10.0.0.1], canonicalName: shop}
services:
- {name: web, namespace: ns1, hostname: web.ns1.svc.cluster.local, vips: ['/10.1.0.1'], ports: {80: 80}}
- {name: ext, namespace: ns1, hostname: ext.example.com, vips: ['/10.1.0.2'], ports: {80: 80}}
";

/// Where the pod is listened for.
const OWN: &str = "127.0.0.1:15053";

fn settings() -> Settings {
    let env = [("LOCAL_XDS", "{}"), ("CA_ADDRESS", "ca:1"), ("PACKET_MARK", "0")];
    Settings::read(&Environment::of(env.into_iter())).unwrap()
}

/// A handler without a namespace of its own; `servers` are asked when clients have not chosen.
pub(super) fn handler(mesh: &str, servers: &[&Upstream]) -> Arc<Handler> {
    let servers = servers.iter().map(|server| server.address).collect();
    handler_of(crate::mesh::tests::fixed(mesh).unwrap(), servers)
}

/// The same with a mesh that may change.
fn handler_of(mesh: Mesh, servers: Vec<SocketAddr>) -> Arc<Handler> {
    let upstream = Servers { servers: servers.into(), timeout: Duration::from_secs(1), attempts: 1 };
    let pod = PodInfo { name: "client".into(), namespace: "ns1".into(), service_account: "sa".into() };
    Arc::new(Handler {
        pod,
        demands: Demands::new(mesh.clone(), Patience::default()),
        mesh,
        settings: settings().dns.settings,
        others: others(Content { upstream, ..Content::parse("", From::Here) }),
    })
}

fn others(resolv_conf: Content) -> Others {
    let socket = settings().socket;
    let messenger = Messenger { netns: None, mark: None, dialer: Dialer::new(None, socket) };
    let own = vec![OWN.parse().unwrap()];
    Others::new(messenger, Arc::new(ResolvConf::fixed(resolv_conf)), own, limits::tests::alone())
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

fn wanted(server: Option<SocketAddr>) -> Wanted {
    server.map_or(Wanted::Anybody, Wanted::Server)
}

async fn ask(handler: &Handler, query: &Message, chosen: Option<SocketAddr>) -> Message {
    let bytes = query.to_vec().unwrap();
    let answer = match handler.begin(bytes, Transport::Udp) {
        Step::Done(answer) => answer,
        Step::Forward(pending) => handler.finish(pending, wanted(chosen)).await,
    };
    let answer = Message::from_vec(&answer.unwrap()).unwrap();
    assert_eq!((answer.metadata.id, &answer.queries), (query.metadata.id, &query.queries));
    answer
}

/// One that knows `known.example.` and nothing else.
async fn world() -> Upstream {
    Upstream::start(|query, _| {
        let is_known = query.queries[0].name.to_ascii().eq_ignore_ascii_case("known.example.");
        let answer =
            if is_known { address(query, [192, 0, 2, 1]) } else { reply(query, ResponseCode::NXDomain) };
        vec![answer.to_vec().unwrap()]
    })
    .await
}

#[tokio::test]
async fn names_of_the_mesh_are_answered_with_authority_and_nobody_is_asked() {
    let (handler, world) = (handler(MESH, &[]), world().await);
    let answer =
        ask(&handler, &query("WEB.ns1.svc.cluster.local.", RecordType::A), Some(world.address)).await;
    assert!(answer.metadata.authoritative && answer.metadata.recursion_available);
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    assert_eq!(answer.answers[0].name.to_ascii(), "WEB.ns1.svc.cluster.local.", "as it was asked for");
    assert_eq!((answer.answers[0].ttl, &answer.answers[0].data), (30, &a([10, 1, 0, 1])));
    let stripped = ask(&handler, &query("ext.example.com.ns1.svc.cluster.local.", RecordType::A), None).await;
    assert_eq!(stripped.answers[0].record_type(), RecordType::CNAME);
    assert_eq!(stripped.answers[1].name.to_ascii(), "ext.example.com.");
    assert_eq!(world.asked(), 0);
}

#[tokio::test]
async fn the_pods_of_a_headless_service_are_found_with_their_ports() {
    let mesh = "
workloads:
- {uid: client, name: client, namespace: ns1, serviceAccount: sa, workloadIps: [10.0.0.1]}
- uid: db-0
  name: db-0
  namespace: ns1
  workloadIps: [10.0.0.2]
  services: {ns1/db.ns1.svc.cluster.local: {5432: 5433}}
services:
- {name: db, namespace: ns1, hostname: db.ns1.svc.cluster.local, vips: [], ports: {5432: 5433}}
";
    let handler = handler(mesh, &[]);
    let answer = ask(&handler, &query("db.ns1.svc.cluster.local.", RecordType::SRV), None).await;
    let [record] = &answer.answers[..] else { panic!("{answer}") };
    let RData::SRV(place) = &record.data else { panic!("{record}") };
    assert_eq!((place.port, &*place.target.to_ascii()), (5433, "db-0.db.ns1.svc.cluster.local."));
    let address = ask(&handler, &query("db-0.db.ns1.svc.cluster.local.", RecordType::A), None).await;
    assert_eq!(address.answers[0].data, a([10, 0, 0, 2]));
}

#[tokio::test]
async fn a_name_of_the_mesh_without_such_a_record_says_for_how_long() {
    let handler = handler(MESH, &[]);
    for (name, zone) in
        [("web.ns1.svc.cluster.local.", "cluster.local."), ("ext.example.com.", "ext.example.com.")]
    {
        let answer = ask(&handler, &query(name, RecordType::AAAA), None).await;
        assert!(answer.metadata.authoritative && answer.answers.is_empty());
        assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
        let [record] = &answer.authorities[..] else { panic!("{answer}") };
        let RData::SOA(soa) = &record.data else { panic!("{record}") };
        assert_eq!((&*record.name.to_ascii(), record.ttl, soa.minimum), (zone, 30, 30));
    }
}

#[tokio::test]
async fn everything_else_is_asked_of_whom_the_client_has_chosen() {
    let (other, world) = (world().await, world().await);
    let handler = handler(MESH, &[&other]);
    let answer = ask(&handler, &query("known.example.", RecordType::A), Some(world.address)).await;
    assert_eq!(answer.answers[0].data, a([192, 0, 2, 1]));
    let unknown = ask(&handler, &query("unknown.example.", RecordType::A), Some(world.address)).await;
    assert_eq!(unknown.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!((world.asked(), other.asked()), (2, 0));
    ask(&handler, &query("known.example.", RecordType::A), None).await;
    assert_eq!((world.asked(), other.asked()), (2, 1), "when that is known");
}

#[tokio::test]
async fn a_name_the_mesh_has_exists_whatever_others_say() {
    let (handler, world) = (handler(MESH, &[]), world().await);
    let empty = |answer: Message| {
        assert_eq!((answer.metadata.response_code, answer.answers.len()), (ResponseCode::NoError, 0));
        assert_eq!(answer.authorities.len(), 1);
    };
    empty(ask(&handler, &query("ext.example.com.", RecordType::TXT), Some(world.address)).await);
    assert_eq!(world.asked(), 1, "others may well know such records");
    for kind in [RecordType::HTTPS, RecordType::SVCB] {
        empty(ask(&handler, &query("ext.example.com.", kind), Some(world.address)).await);
    }
    assert_eq!(world.asked(), 1, "others know other ways, around the mesh");
}

#[tokio::test]
async fn a_query_is_not_given_to_others_when_it_is_not_known_whom_it_was_for() {
    let node = world().await;
    let handler = handler(MESH, &[&node]);
    for kind in [hickory_proto::op::OpCode::Query, hickory_proto::op::OpCode::Notify] {
        let mut asked = query("known.example.", RecordType::A);
        asked.metadata.op_code = kind;
        let Step::Forward(pending) = handler.begin(asked.to_vec().unwrap(), Transport::Udp) else { panic!() };
        let answer = handler.finish(pending, Wanted::NotKnown).await.unwrap();
        let answer = Message::from_vec(&answer).unwrap();
        assert_ne!(answer.metadata.response_code, ResponseCode::NoError);
    }
    assert_eq!(node.asked(), 0);
}

#[tokio::test]
async fn the_same_query_is_asked_once_by_all_who_wait() {
    let server = world().await;
    let handler = handler(MESH, &[]);
    let mut asking = tokio::task::JoinSet::new();
    for name in ["known.example.", "KNOWN.example."].repeat(50) {
        let (handler, address) = (Arc::clone(&handler), server.address);
        asking.spawn(async move { ask(&handler, &query(name, RecordType::A), Some(address)).await });
    }
    let answers = asking.join_all().await;
    assert!(answers.iter().all(|answer| answer.answers.len() == 1));
    assert_eq!(server.asked(), 2, "letters are sent as they were written");
}

#[tokio::test]
async fn a_pod_the_mesh_does_not_know_waits_for_nothing() {
    let (handler, world) = (handler("workloads: []", &[]), world().await);
    let asked = query("known.example.", RecordType::A);
    let before = std::time::Instant::now();
    assert_eq!(ask(&handler, &asked, Some(world.address)).await.answers.len(), 1);
    // Connections would wait longer for the workload.
    assert!(before.elapsed() < crate::mesh::LOCAL_WORKLOAD_DEADLINE);
    let ours = ask(&handler, &query("web.ns1.svc.cluster.local.", RecordType::A), Some(world.address)).await;
    assert_eq!(ours.metadata.response_code, ResponseCode::NXDomain, "as without a mesh");
}

#[tokio::test]
async fn what_others_said_is_remembered_for_the_next_whatever_its_letters() {
    let (handler, world) = (handler(MESH, &[]), world().await);
    for name in ["known.example.", "KNOWN.example.", "kNOWN.eXAMPLE."] {
        let answer = ask(&handler, &query(name, RecordType::A), Some(world.address)).await;
        assert_eq!(answer.answers.len(), 1);
        assert_eq!(answer.queries[0].name.to_ascii(), name);
    }
    assert_eq!(world.asked(), 1);
    // Another server may know another world.
    let other = self::world().await;
    ask(&handler, &query("known.example.", RecordType::A), Some(other.address)).await;
    assert_eq!(other.asked(), 1);
}

/// Clients remember for as long, and some take an empty answer without it for one of a server that knows nothing.
#[tokio::test]
async fn a_denial_of_others_keeps_what_says_how_long_it_holds() {
    for (name, code) in [("no.example.", ResponseCode::NXDomain), ("empty.example.", ResponseCode::NoError)] {
        let server = Upstream::start(move |query, _| {
            let mut denial = reply(query, code);
            denial.metadata.recursion_desired = query.metadata.recursion_desired;
            let zone = Name::from_ascii("example.").unwrap();
            let soa = SOA::new(zone.clone(), zone.clone(), 1, 1, 1, 1, 60);
            denial.authorities.push(Record::from_rdata(zone, 60, RData::SOA(soa)));
            vec![denial.to_vec().unwrap()]
        })
        .await;
        let (handler, mut asked) = (handler(MESH, &[]), query(name, RecordType::AAAA));
        asked.set_edns(Edns::new());
        for _ in 0..2 {
            let answer = ask(&handler, &asked, Some(server.address)).await;
            assert_eq!((answer.metadata.response_code, answer.authorities.len()), (code, 1));
            let flags = answer.metadata;
            assert!(flags.recursion_available && flags.recursion_desired && !flags.authoritative);
            assert!(!flags.truncation && answer.edns.is_some());
        }
        assert_eq!(server.asked(), 1, "the second is a memory");
    }
}

#[tokio::test]
async fn a_large_service_is_cut_over_udp_and_whole_over_tcp() {
    let vips = (0..256).map(|last| format!("'/10.1.0.{last}'")).collect::<Vec<_>>().join(", ");
    let large = format!(
        "- {{name: large, namespace: ns1, hostname: large.example.com, vips: [{vips}], ports: {{80: 80}}}}"
    );
    let handler = handler(&format!("{MESH}{large}\n"), &[]);
    let mut asked = query("large.example.com.", RecordType::A);
    for (edns, transport, most, least) in [
        (None, Transport::Udp, 512, 25),
        (Some(1232), Transport::Udp, 1232, 70),
        (Some(1232), Transport::Tcp, 65_535, 256),
    ] {
        asked.edns = edns.map(|payload| {
            let mut edns = Edns::new();
            edns.set_max_payload(payload);
            edns
        });
        let Step::Done(Some(answer)) = handler.begin(asked.to_vec().unwrap(), transport) else { panic!() };
        let message = Message::from_vec(&answer).unwrap();
        assert_eq!(message.metadata.truncation, transport == Transport::Udp);
        assert!(answer.len() <= most && message.answers.len() >= least, "{}", message.answers.len());
    }
}

#[tokio::test]
async fn nobody_to_ask_is_a_failure_that_is_told_properly() {
    let handler = handler(MESH, &[]);
    let mut asked = query("known.example.", RecordType::A);
    asked.set_edns(Edns::new());
    let answer = ask(&handler, &asked, None).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    assert!(answer.metadata.recursion_available && answer.edns.is_some());
    // Asking ourselves would never end.
    let own = ask(&handler, &asked, Some(OWN.parse().unwrap())).await;
    assert_eq!(own.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn too_many_who_wait_are_told_so_and_names_of_the_mesh_are_still_answered() {
    let handler = handler(MESH, &[]);
    let silent = Upstream::start(|_, _| Vec::new()).await;
    let asked = query("known.example.", RecordType::A);
    let all = limits::tests::all(&handler.others.limits, limits::Limit::DnsQueries);
    let answer = ask(&handler, &asked, Some(silent.address)).await;
    assert_eq!((answer.metadata.response_code, silent.asked()), (ResponseCode::ServFail, 0));
    let ours = ask(&handler, &query("web.", RecordType::A), Some(silent.address)).await;
    assert_eq!(ours.answers.len(), 1);
    drop(all);
}

#[tokio::test]
async fn an_update_is_sent_once() {
    let silent = Upstream::start(|_, _| Vec::new()).await;
    let mut update = query("example.", RecordType::SOA);
    update.metadata.op_code = hickory_proto::op::OpCode::Update;
    let handler = handler(MESH, &[]);
    let Step::Forward(pending) = handler.begin(update.to_vec().unwrap(), Transport::Udp) else { panic!() };
    let failed = handler.finish(pending, Wanted::Server(silent.address)).await;
    let failed = Message::from_vec(&failed.unwrap()).unwrap();
    assert_eq!((failed.metadata.response_code, silent.asked()), (ResponseCode::ServFail, 1));
}

#[tokio::test]
async fn transfers_are_not_begun() {
    let (handler, world) = (handler(MESH, &[]), world().await);
    for kind in [RecordType::AXFR, RecordType::IXFR] {
        let answer = ask(&handler, &query("example.", kind), Some(world.address)).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::NotImp);
    }
    assert_eq!(world.asked(), 0);
}

#[tokio::test]
async fn an_update_goes_to_whom_it_was_for_or_to_nobody() {
    let other = world().await;
    let handler = handler(MESH, &[&other]);
    let primary = Upstream::start(|query, _| {
        let mut done = reply(query, ResponseCode::NoError);
        done.metadata.op_code = query.metadata.op_code;
        vec![done.to_vec().unwrap()]
    })
    .await;
    let mut update = query("example.", RecordType::SOA);
    update.metadata.op_code = hickory_proto::op::OpCode::Update;
    let done = ask(&handler, &update, Some(primary.address)).await;
    assert_eq!((done.metadata.response_code, primary.asked()), (ResponseCode::NoError, 1));
    let bytes = update.to_vec().unwrap();
    let Step::Forward(pending) = handler.begin(bytes, Transport::Udp) else { panic!() };
    let refused = Message::from_vec(&handler.finish(pending, Wanted::Anybody).await.unwrap()).unwrap();
    assert_eq!((refused.metadata.response_code, other.asked()), (ResponseCode::NotImp, 0));
}
