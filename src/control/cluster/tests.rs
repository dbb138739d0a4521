//! A cluster's callers, over real gRPC, in front of the API server of the lab.
//!
//! The cluster: namespace `mesh` has the proxies of nodes `n1` and `n2`. Namespace `shop` is in the mesh, with `web` on `n1` and `db` on
//! `n2`; in `plain`, which is not, `api` is on `n1`.

mod certificates;
mod flood;
mod streams;
mod troubles;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use clap::Parser as _;
use culvert_core::workload::{Place, Template, Workload};
use culvert_discovery::catalog::{Catalog, Change, Entry};
use culvert_kubernetes::Delta;
use culvert_lab::api_server::{ApiServer, Object, Token, namespace, pod};
use culvert_membership::{self as membership, EXCLUDED};
use culvert_proto::ca::IstioCertificateRequest;
use culvert_proto::ca::istio_certificate_service_client::IstioCertificateServiceClient;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

use crate::authority::Authority;
use crate::discovery::Discovery;
use crate::lifetimes::{LifetimeArgs, Lifetimes};
use crate::published::Published;
use crate::server::{self, Farewell, Services, Stopping};
use crate::service::Service;
use crate::tls;

use super::pods::Index;
use super::residents::{Limits, OfCluster};
use super::reviews::{Reviews, Settings, Timing};

const DEADLINE: Duration = Duration::from_secs(10);
const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";
const DB: &str = "spiffe://cluster.local/ns/shop/sa/db";
const API: &str = "spiffe://cluster.local/ns/plain/sa/api";

/// A cluster, and the two services in front of it. Nothing is known of pods but what is looked up, unless a test says it.
struct Bench {
    cluster: ApiServer,
    published: Arc<Published>,
    index: Arc<Index>,
    channel: Channel,
    address: SocketAddr,
    csr: String,
    dir: PathBuf,
    _serving: JoinSet<()>,
}

/// How a bench is set up.
#[derive(Clone, Copy, Default)]
struct Setup {
    timing: Timing,
    limits: Limits,
    /// Which pods are in the mesh, if not by the usual label.
    selectors: &'static str,
}

impl Bench {
    async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    async fn with(setup: Setup) -> Self {
        let cluster = ApiServer::start().unwrap();
        populate(&cluster);
        let published = Arc::new(Published::new(Catalog::default()));
        let index = Arc::new(Index::new(membership::Settings::read(setup.selectors, EXCLUDED).unwrap()));
        let client = culvert_kubernetes::client::at(cluster.url().parse().unwrap()).unwrap();
        let settings = Settings {
            audiences: vec!["istio-ca".to_owned()],
            trusted: vec!["mesh/culvert-node".parse().unwrap()],
            trust_domain: "cluster.local".to_owned(),
            root_namespace: "mesh".to_owned(),
            timing: setup.timing,
        };
        let callers = Arc::new(Reviews::new(client.clone(), settings, index.clone()));
        let residents = Arc::new(OfCluster::new(client, "cluster.local", index.clone(), setup.limits));
        let dir = directory();
        let (root, _) = crate::root::follow(&dir, SystemTime::now()).unwrap();
        let authority = Arc::new(Authority::new(root));
        let tell = watch::Sender::new(false);
        let discovery = Discovery::new(callers.clone(), published.clone(), tell.subscribe());
        let (tls, _) = tls::keep(Arc::clone(&authority), Vec::new()).unwrap();
        let certificates = Service { authority, residents, lifetimes: lifetimes() };
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let services = Services { callers, certificates, discovery };
        let stopping = Stopping { asked: std::future::pending(), farewell: Farewell::none(), tell };
        let mut serving = JoinSet::new();
        serving.spawn(server::serve(listener, tls, services, stopping));
        let channel = connect(address.port(), &dir, [127, 0, 0, 1]).await;
        Self { cluster, published, index, channel, address, csr: csr(), dir, _serving: serving }
    }

    /// Another connection, from this address.
    async fn connect(&self, from: [u8; 4]) -> Channel {
        connect(self.address.port(), &self.dir, from).await
    }

    /// The token of a node's proxy, as kubelet puts it into its pod.
    fn node(&self, node: &str) -> String {
        self.issue(of_node(node))
    }

    fn issue(&self, token: Token) -> String {
        self.cluster.issue(token).unwrap()
    }

    async fn ask(&self, token: &str, identity: &str) -> Result<Vec<String>, Status> {
        self.ask_for(token, Some(identity), 0).await
    }

    /// Asks over another connection.
    async fn ask_over(&self, channel: &Channel, token: &str, identity: &str) -> Result<Vec<String>, Status> {
        send(channel, self.request(token, Some(identity), 0)).await
    }

    /// Asks for a certificate, as a proxy does. An empty token is none.
    async fn ask_for(&self, token: &str, identity: Option<&str>, ttl: i64) -> Result<Vec<String>, Status> {
        send(&self.channel, self.request(token, identity, ttl)).await
    }

    fn request(&self, token: &str, identity: Option<&str>, ttl: i64) -> Request<IstioCertificateRequest> {
        let mut request = Request::new(IstioCertificateRequest {
            csr: self.csr.clone(),
            validity_duration: ttl,
            metadata: identity.map(|identity| Struct {
                fields: BTreeMap::from([("ImpersonatedIdentity".to_owned(), text(identity))]),
            }),
        });
        request.set_timeout(DEADLINE);
        if !token.is_empty() {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        request
    }

    /// Asks again and again until the answer has this reason; empty for a certificate.
    async fn ask_until(&self, token: &str, identity: &str, reason: &str) {
        let asking = async {
            while reason_of(&self.ask(token, identity).await) != reason {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(DEADLINE, asking).await.expect(reason);
    }

    /// Says what is known of objects of a kind without asking: all there is.
    fn know(&self, kind: culvert_derive::Kind, objects: impl IntoIterator<Item = Object>) {
        self.index.note(kind, &Delta::All(objects.into_iter().map(|it| read(kind, it)).collect()));
    }

    /// Says as much of one of them.
    fn hear_of(&self, kind: culvert_derive::Kind, object: Object) {
        self.index.note(kind, &Delta::One(read(kind, object)));
    }

    /// Requests the API server got about pods.
    fn lookups(&self) -> usize {
        self.cluster.requests_of("list", "pods").len()
    }
}

fn read(kind: culvert_derive::Kind, object: Object) -> super::pods::Read {
    Ok(culvert_derive::Object::read(kind, serde_json::Value::from(object)).unwrap())
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Connects from an address of this host.
async fn connect(port: u16, dir: &Path, from: [u8; 4]) -> Channel {
    let root = std::fs::read(dir.join("root-cert.pem")).unwrap();
    let tls = ClientTlsConfig::new().domain_name("localhost").ca_certificate(Certificate::from_pem(root));
    let endpoint = Endpoint::from_shared(format!("https://127.0.0.1:{port}")).unwrap();
    let endpoint = endpoint.local_address(Some(IpAddr::from(from))).tls_config(tls).unwrap();
    endpoint.connect().await.unwrap()
}

async fn send(channel: &Channel, request: Request<IstioCertificateRequest>) -> Result<Vec<String>, Status> {
    let mut client = IstioCertificateServiceClient::new(channel.clone());
    Ok(client.create_certificate(request).await?.into_inner().cert_chain)
}

fn populate(cluster: &ApiServer) {
    let objects = [
        namespace("mesh"),
        shop(),
        namespace("plain"),
        node_pod("n1"),
        node_pod("n2"),
        running("shop", "web", "n1"),
        running("shop", "db", "n2"),
        running("plain", "api", "n1"),
    ];
    for object in objects {
        cluster.create(object).unwrap();
    }
}

/// The namespace that is in the mesh.
fn shop() -> Object {
    namespace("shop").label("istio.io/dataplane-mode", "ambient")
}

/// The pod of a node's proxy.
fn node_pod(node: &str) -> Object {
    running("mesh", "culvert-node", node).merge(json!({"metadata": {"name": format!("culvert-node-{node}")}}))
}

/// A pod that is called as its account.
fn running(namespace: &str, account: &str, node: &str) -> Object {
    pod(namespace, account).service_account(account).node(node).ip([10, 0, 0, 1])
}

fn of_node(node: &str) -> Token {
    Token::of("mesh", "culvert-node").audience("istio-ca").pod(&format!("culvert-node-{node}"))
}

/// The token in the volume of a pod that is called as its account.
fn of_workload(namespace: &str, account: &str) -> Token {
    Token::of(namespace, account).audience("istio-ca").pod(account)
}

fn text(text: &str) -> Value {
    Value { kind: Some(Kind::StringValue(text.to_owned())) }
}

fn csr() -> String {
    let key = KeyPair::generate().unwrap();
    CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap()
}

fn lifetimes() -> Lifetimes {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        lifetimes: LifetimeArgs,
    }
    Line::parse_from(["control"]).lifetimes.try_into().unwrap()
}

fn directory() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("culvert-cluster-{}-{number}", std::process::id()))
}

/// The reason in an answer; empty for a certificate.
fn reason_of<T>(answer: &Result<T, Status>) -> String {
    let Err(status) = answer else { return String::new() };
    status.metadata().get("culvert-reason").map_or("none", |reason| reason.to_str().unwrap()).to_owned()
}

#[track_caller]
fn check_refused<T: std::fmt::Debug>(answer: &Result<T, Status>, code: Code, reason: &str) {
    let status = answer.as_ref().unwrap_err();
    assert_eq!((status.code(), reason_of(answer)), (code, reason.to_owned()), "{status}");
    let pushed_back = status.metadata().contains_key("grpc-retry-pushback-ms");
    let later = matches!(code, Code::Unavailable | Code::ResourceExhausted);
    assert_eq!(pushed_back, later, "{status}");
    if code == Code::Unauthenticated {
        assert_eq!(status.message(), "a valid bearer token is needed");
    }
}

/// Something the catalog knows, on a node.
fn workload(uid: &str, node: &str) -> Change {
    let template = Template { namespace: "shop".into(), service_account: uid.into(), ..Template::default() };
    let workload = Workload {
        uid: uid.into(),
        place: Arc::new(Place { node: node.into(), ..Place::default() }),
        template: template.into(),
        ..Workload::default()
    };
    Change::Put(Entry::workload(&workload).into())
}
