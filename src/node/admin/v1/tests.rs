use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use culvert_core::identity::SpiffeId;
use culvert_core::service::Service;
use culvert_core::workload::{Name, Template, Workload};
use culvert_metrics::{Metrics, Settings};
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;
use crate::identity::revocation::Revocation;
use crate::identity::testing::TestAuthority;
use crate::identity::{Identities, Trust};
use crate::ledger::{Book, Direction, OfNode, OfPod, OnTunnel, Party, Record, Stage};
use crate::outcome::Failure;
use crate::proxy::PodInfo;
use crate::state::State;
use crate::tunnel::Agreement;

pub(super) fn address(port: u16) -> SocketAddr {
    ([10, 0, 0, 1], port).into()
}

/// A pod with a book.
pub(super) struct Pod {
    ledger: OfPod,
}

impl Pod {
    pub(super) fn new(namespace: &str, name: &str) -> Self {
        Self::of(&OfNode::default(), namespace, name)
    }

    fn of(node: &OfNode, namespace: &str, name: &str) -> Self {
        let [name, namespace, service_account] = [name, namespace, "default"].map(str::to_owned);
        Self { ledger: node.begin(PodInfo { name, namespace, service_account }, None) }
    }

    pub(super) fn book(&self) -> &Arc<Book> {
        self.ledger.book()
    }

    /// An open connection to a database, in a tunnel.
    pub(super) fn to_db(&self) -> Arc<Record> {
        let record = self.book().begin(Direction::Outbound, address(40_000), ([10, 0, 0, 9], 80).into());
        {
            let mut facts = record.facts();
            facts.destination = ([10, 0, 0, 2], 15008).into();
            facts.authority = Some("10.0.0.2:5432".into());
            facts.from = party("shop", "web-1", "web");
            facts.to = party("data", "db-0", "db");
            facts.service = Some(service("data", "db.data.svc.cluster.local"));
            facts.policy = Some("shop/allow-db".into());
            facts.tunnel = Some(OnTunnel { id: 42, tls: Agreement::POST_QUANTUM });
            facts.moved.forth.add(11);
            facts.moved.back.add(22);
            facts.enter(Stage::Open);
        }
        record
    }
}

fn party(namespace: &str, name: &str, owner: &str) -> Party {
    let uid = format!("c//Pod/{namespace}/{name}");
    let template = Template {
        namespace: namespace.into(),
        workload_name: owner.into(),
        cluster_id: "c".into(),
        ..Template::default()
    };
    let workload = Workload {
        named: Name::of(&uid, name),
        uid: uid.into(),
        template: template.into(),
        ..Workload::default()
    };
    Party { workload: Some(workload.into()), identity: SpiffeId::new("cluster.local", namespace, owner).ok() }
}

fn service(namespace: &str, hostname: &str) -> Arc<Service> {
    Arc::new(Service { namespace: namespace.into(), hostname: hostname.into(), ..Service::default() })
}

/// A mesh to page through.
const MESH: &str = "
workloads:
- {uid: c//Pod/shop/web-1, name: web-1, namespace: shop, serviceAccount: default, workloadIps: [10.0.0.1], services: {shop/web.shop.svc: {80: 8080}},
   waypoint: {destination: /10.0.0.9, hboneMtlsPort: 15008}, networkGateway: {destination: n/10.0.0.9, hboneMtlsPort: 15008},
   protocol: HBONE, trustDomain: cluster.local, workloadName: web, canonicalName: web, canonicalRevision: v1, node: here,
   nativeTunnel: true, applicationTunnel: {protocol: PROXY, port: 15088}, authorizationPolicies: [shop/closed],
   locality: {region: r, zone: z, subzone: s}}
- {uid: c//Pod/shop/db-0, name: db-0, namespace: shop, serviceAccount: db, workloadIps: [10.0.0.2]}
- {uid: c//Pod/data/db-0, name: db-0, namespace: data, serviceAccount: db, workloadIps: [10.0.0.3]}
services:
- {name: web, namespace: shop, hostname: web.shop.svc, vips: [/10.1.0.1], ports: {80: 8080}}
policies:
- {name: closed, namespace: shop, scope: Namespace, action: Deny, rules: [[]]}
";

/// A node with a pod, and its interface.
struct Bench {
    state: State,
    pod: Pod,
    router: Router,
}

/// What is answered.
struct Answer {
    status: StatusCode,
    kind: String,
    allow: String,
    body: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        let state = State::default();
        let pod = Pod::of(&state.ledger(), "shop", "web-1");
        let identities = Identities::new(TestAuthority::new("root"), Trust::default());
        let mesh = crate::mesh::tests::fixed(MESH).unwrap();
        let metrics = Metrics::new(Settings::default());
        let revocation = Revocation::off();
        let shown = super::super::Sources {
            state: state.clone(),
            identities,
            revocation,
            mesh,
            settings: Default::default(),
            static_config: None,
            mark: None,
            istio_version: "unknown".into(),
            metrics,
        };
        let router = router(Sources::new(&shown));
        Self { state, pod, router }
    }

    async fn ask(&self, method: Method, path: &str) -> Answer {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let header =
            |name| response.headers().get(&name).map_or("", |value| value.to_str().unwrap()).to_owned();
        let (status, kind, allow) = (response.status(), header(header::CONTENT_TYPE), header(header::ALLOW));
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec();
        Answer { status, kind, allow, body }
    }

    async fn read(&self, path: &str) -> Value {
        let answer = self.ask(Method::GET, path).await;
        let text = String::from_utf8(answer.body).unwrap();
        assert_eq!(
            (answer.status, answer.kind.as_str()),
            (StatusCode::OK, "application/json"),
            "{path}: {text}"
        );
        serde_json::from_str(&text).unwrap()
    }

    /// The ids of all pages, one after the other.
    async fn walk(&self, path: &str) -> Vec<String> {
        let (mut ids, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.read(&format!("{path}{after}")).await;
            ids.extend(
                page["items"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()),
            );
            let Some(next) = page["next"].as_str() else { return ids };
            after = format!("&after={next}");
        }
    }
}

const PATHS: [&str; 13] = [
    "/v1/openapi.json",
    "/v1/node",
    "/v1/pods",
    "/v1/identities",
    "/v1/connections",
    "/v1/refusals",
    "/v1/recent",
    "/v1/traffic",
    "/v1/tunnels",
    "/v1/ejected",
    "/v1/workloads",
    "/v1/services",
    "/v1/policies",
];

#[tokio::test]
async fn everything_can_be_read_by_get_and_head_and_nothing_else_is_done() {
    let bench = Bench::new();
    for path in PATHS {
        bench.read(path).await;
        let head = bench.ask(Method::HEAD, path).await;
        assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0), "{path}");
        for method in
            [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH, Method::TRACE]
        {
            let answer = bench.ask(method.clone(), path).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_eq!(answer.allow, "GET,HEAD", "{method} {path}");
            assert_problem(&answer, "GET and HEAD");
        }
    }
}

#[track_caller]
fn assert_problem(answer: &Answer, says: &str) {
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.kind, "application/problem+json", "{text}");
    let problem: culvert_api::Problem = serde_json::from_str(&text).unwrap();
    assert_eq!(problem.status, answer.status.as_u16());
    assert!(problem.detail.contains(says), "{text}");
}

#[tokio::test]
async fn what_there_is_not_is_a_problem() {
    let bench = Bench::new();
    for path in
        ["/v1", "/v1/", "/v1/nothing", "/v1/node/", "/v1/connections/0123456789abcdef/x", "/v1/%ff%fe"]
    {
        for method in [Method::GET, Method::POST] {
            let answer = bench.ask(method, path).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
            assert_problem(&answer, "/v1/openapi.json");
        }
    }
    let unknown = bench.ask(Method::GET, "/v1/connections/0123456789abcdef").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert_problem(&unknown, "no connection 0123456789abcdef");
    let nobodys = bench.ask(Method::GET, "/v1/connections/0000000000000000").await;
    assert_eq!(nobodys.status, StatusCode::NOT_FOUND, "it has the form of one");
    for id in ["1", "0123456789ABCDEG", "%ff", "a%2Fb"] {
        let answer = bench.ask(Method::GET, &format!("/v1/connections/{id}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{id}");
        assert_problem(&answer, "");
    }
}

#[tokio::test]
async fn parameters_that_are_not_understood_are_problems_on_every_path() {
    let bench = Bench::new();
    for path in PATHS {
        for query in ["colour=green", "limit=0", "limit=1&limit=1", "after=zz", "limit=%ff", "x"] {
            let answer = bench.ask(Method::GET, &format!("{path}?{query}")).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}?{query}");
            assert_problem(&answer, "");
        }
    }
    for query in ["stage=closed", "direction=up", "sort=name", "pod=web", "q=", "after=00"] {
        let answer = bench.ask(Method::GET, &format!("/v1/connections?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
    }
}

#[tokio::test]
async fn connections_are_read_page_by_page_in_the_order_that_is_asked_for() {
    let bench = Bench::new();
    let records: Vec<_> = (0..25).map(|_| bench.pod.to_db()).collect();
    records[7].facts().moved.forth.add(1000);
    let ids: Vec<String> = records.iter().map(|record| record.id.to_string()).collect();
    let newest: Vec<String> = ids.iter().rev().cloned().collect();
    assert_eq!(bench.walk("/v1/connections?limit=10").await, newest);
    assert_eq!(bench.walk("/v1/connections?limit=7&sort=age").await, ids);
    let by_bytes = bench.walk("/v1/connections?limit=24&sort=bytes").await;
    assert_eq!((&by_bytes[0], by_bytes.len()), (&ids[7], 25));
}

#[tokio::test]
async fn a_connection_moves_from_the_live_ones_to_those_that_are_over() {
    let bench = Bench::new();
    let [refused, complete] = [bench.pod.to_db(), bench.pod.to_db()];
    let id = refused.id.to_string();
    assert_eq!(bench.read(&format!("/v1/connections/{id}")).await["stage"], "open");
    bench.pod.book().end(&refused, Err(Failure::Drained));
    bench.pod.book().end(&complete, Ok(()));
    assert!(bench.walk("/v1/connections?limit=10").await.is_empty());
    assert_eq!(bench.walk("/v1/refusals?limit=10").await, std::slice::from_ref(&id));
    assert_eq!(bench.walk("/v1/recent?limit=1").await, [complete.id.to_string(), id.clone()]);
    assert_eq!(bench.walk("/v1/refusals?reason=drained").await.len(), 1);
    assert!(bench.walk("/v1/refusals?reason=denied").await.is_empty());
    let one = bench.read(&format!("/v1/connections/{id}")).await;
    assert_eq!(one["outcome"]["reason"], "drained", "{one}");
}

#[tokio::test]
async fn pairs_of_several_pods_are_added_up() {
    let bench = Bench::new();
    let other = Pod::of(&bench.state.ledger(), "shop", "web-2");
    bench.pod.to_db();
    let ended = other.to_db();
    other.book().end(&ended, Err(Failure::Drained));
    let traffic = bench.read("/v1/traffic").await;
    let [pair] = &traffic["items"].as_array().unwrap()[..] else { panic!("{traffic}") };
    let pair: culvert_api::Traffic = serde_json::from_value(pair.clone()).unwrap();
    assert_eq!((pair.connections, pair.open, pair.broken, pair.refused), (2, 1, 1, 0));
    assert_eq!((pair.bytes.to_server, pair.last_reason.as_deref()), (22, Some("drained")));
    assert_eq!((pair.source.owner.as_deref(), pair.source.workload), (Some("web"), None));
}

#[tokio::test]
async fn a_workload_that_belongs_to_nothing_is_its_own_owner() {
    let bench = Bench::new();
    for name in ["alone", "lonely"] {
        let record = bench.pod.to_db();
        record.facts().from = party("shop", name, "");
    }
    let traffic = bench.read("/v1/traffic").await;
    let pairs: culvert_api::Page<culvert_api::Traffic> = serde_json::from_value(traffic).unwrap();
    let mut owners: Vec<_> = pairs.items.into_iter().filter_map(|pair| pair.source.owner).collect();
    owners.sort();
    assert_eq!(owners, ["alone", "lonely"]);
}

#[tokio::test]
async fn a_pod_that_is_not_served_says_why_and_when_it_is_tried_again() {
    let bench = Bench::new();
    let trouble = crate::state::Trouble {
        error: "cannot serve pod shop/db".into(),
        next: SystemTime::UNIX_EPOCH + Duration::from_secs(60),
    };
    let known = |name: &str, state, trouble| crate::state::PodState {
        uid: format!("uid-{name}"),
        pod: PodInfo { name: name.into(), namespace: "shop".into(), service_account: "default".into() },
        state,
        since: SystemTime::UNIX_EPOCH,
        trouble,
    };
    bench.state.set_pods(vec![known("web-1", "Up", None), known("db", "Pending", Some(trouble))]);
    bench.pod.to_db();
    let pods = bench.read("/v1/pods").await;
    let pods: Vec<culvert_api::Pod> = serde_json::from_value(pods["items"].clone()).unwrap();
    let [db, web] = &pods[..] else { panic!("{pods:?}") };
    assert_eq!(
        (db.state, db.reason.as_deref()),
        (culvert_api::PodState::Pending, Some("cannot serve pod shop/db"))
    );
    assert_eq!(db.next_try.as_deref(), Some("1970-01-01T00:01:00Z"));
    assert_eq!((web.state, web.open, web.bytes.to_client), (culvert_api::PodState::Up, 1, 22));
    assert_eq!(web.identity.as_deref(), Some("spiffe://cluster.local/ns/shop/sa/default"));
    assert_eq!(web.reason, None);
}

#[tokio::test]
async fn a_pod_nobody_knows_says_so_although_it_is_served() {
    let bench = Bench::new();
    bench.state.serves_own(&PodInfo {
        name: "stranger".into(),
        namespace: "shop".into(),
        service_account: "default".into(),
    });
    let pods = bench.read("/v1/pods").await;
    let pod: culvert_api::Pod = serde_json::from_value(pods["items"][0].clone()).unwrap();
    assert_eq!(
        (pod.uid.as_str(), pod.state, pod.identity),
        ("shop/stranger", culvert_api::PodState::Up, None)
    );
    assert!(
        pod.reason.as_ref().is_some_and(|reason| reason.contains("not in the mesh state")),
        "{:?}",
        pod.reason
    );
}

#[tokio::test]
async fn the_mesh_is_shown_by_namespace_and_name_in_its_well_known_shape() {
    let bench = Bench::new();
    let names = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap().iter();
        items
            .map(|it| format!("{}/{}", it["namespace"].as_str().unwrap(), it["name"].as_str().unwrap()))
            .collect()
    };
    let table = [
        ("workloads", "", &["data/db-0", "shop/db-0", "shop/web-1"][..]),
        ("workloads", "q=db", &["data/db-0", "shop/db-0"]),
        ("workloads", "q=b", &[]),
        ("workloads", "namespace=shop", &["shop/db-0", "shop/web-1"]),
        ("workloads", "namespace=sho", &[]),
        ("workloads", "namespace=shop&q=web-1", &["shop/web-1"]),
        ("services", "q=web", &["shop/web"]),
        ("policies", "namespace=shop", &["shop/closed"]),
        ("policies", "namespace=data", &[]),
    ];
    for (list, query, expected) in table {
        assert_eq!(names(&bench.read(&format!("/v1/{list}?{query}")).await), expected, "{list}?{query}");
    }
    let first = bench.read("/v1/workloads?limit=2").await;
    let rest = bench.read(&format!("/v1/workloads?limit=2&after={}", first["next"].as_str().unwrap())).await;
    assert_eq!((names(&rest), &rest["next"]), (vec!["shop/web-1".to_owned()], &Value::Null));
    let services = bench.read("/v1/services").await;
    assert_eq!(services["items"][0]["endpoints"]["c//Pod/shop/web-1"]["status"], "Healthy", "{services}");
}

/// The shapes of the mesh are made elsewhere, and described in the same place as all others.
#[tokio::test]
async fn the_mesh_is_what_the_description_says() {
    let bench = Bench::new();
    let description: Value = serde_json::from_str(culvert_api::OPENAPI).unwrap();
    for (list, name) in [("workloads", "Workload"), ("services", "Service"), ("policies", "Policy")] {
        let schema = &description["components"]["schemas"][name];
        let page = bench.read(&format!("/v1/{list}")).await;
        for item in page["items"].as_array().unwrap() {
            let item = item.as_object().unwrap();
            let required = schema["required"].as_array().unwrap().iter().map(|key| key.as_str().unwrap());
            let missing: Vec<&str> = required.filter(|key| !item.contains_key(*key)).collect();
            let unknown: Vec<&String> =
                item.keys().filter(|key| schema["properties"].get(*key).is_none()).collect();
            assert!(missing.is_empty() && unknown.is_empty(), "{name}: {missing:?} {unknown:?}");
        }
    }
}
