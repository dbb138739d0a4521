//! The program in a cluster: what it serves is what the API server knows.

use std::io::{Read as _, Write as _};
use std::net::IpAddr;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use culvert_lab::api_server::{self, ApiServer, Token};
use nix::sys::signal::Signal;
use serde_json::json;
use tonic::Code;

use crate::client::{Client, Has};
use crate::harness::{Ask, Control, DEADLINE};

pub(crate) const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";
const DB: &str = "spiffe://cluster.local/ns/shop/sa/db";

/// A cluster with two nodes: `web` is on one, `db` on the other, each beside the proxy of its node.
pub(crate) struct Cluster {
    pub(crate) server: ApiServer,
    kubeconfig: PathBuf,
}

impl Cluster {
    pub(crate) fn new(name: &str) -> Self {
        let server = ApiServer::start().unwrap();
        server.create(api_server::namespace("mesh")).unwrap();
        server.create(api_server::namespace("shop").label("istio.io/dataplane-mode", "ambient")).unwrap();
        for (number, (account, node)) in [("web", "a"), ("db", "b")].into_iter().enumerate() {
            let number = u8::try_from(number).unwrap();
            let pod = api_server::pod("shop", account).service_account(account).node(node).phase("Running");
            server.create(pod.label("app", account).ip([10, 1, number, 1])).unwrap();
            let proxy = api_server::pod("mesh", &format!("node-{node}")).service_account("culvert-node");
            server.create(proxy.node(node).phase("Running").ip([10, 1, number, 2])).unwrap();
        }
        let service = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "web", "namespace": "shop" },
            "spec": { "clusterIP": "10.2.0.1", "selector": { "app": "web" }, "ports": [{ "port": 80 }] } });
        server.create(service).unwrap();
        let kubeconfig = std::env::temp_dir().join(format!("culvert-cluster-{name}-{}", std::process::id()));
        server.write_kubeconfig(&kubeconfig).unwrap();
        Self { server, kubeconfig }
    }

    /// Runs a replica.
    fn launch(&self, replica: &str) -> Control {
        self.launch_with(replica, 0)
    }

    fn launch_with(&self, replica: &str, monitoring: u16) -> Control {
        let mut command = Command::new("sh");
        // As some runtimes start it.
        command.args(["-c", "ulimit -Sn 256; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_culvert-control")]);
        command.args(["cluster", "--listen", "127.0.0.1:0", "--namespace", "mesh"]);
        command.arg("--monitoring-port").arg(monitoring.to_string());
        command.args(["--lame-duck", "1s", "--pod", replica, "--kubeconfig"]).arg(&self.kubeconfig);
        command.env_remove("RUST_LOG").env_remove("LOG_FORMAT");
        Control::start(&mut command)
    }

    /// Runs a replica, and waits until it serves.
    pub(crate) fn start(&self, replica: &str) -> Control {
        self.served(self.launch(replica))
    }

    fn served(&self, mut control: Control) -> Control {
        control.wait_until_ready();
        let secret = self.server.object("secrets", "mesh", "istio-ca-secret").unwrap();
        let root = STANDARD.decode(secret["data"]["root-cert.pem"].as_str().unwrap()).unwrap();
        control.trust(&String::from_utf8(root).unwrap());
        control
    }

    /// The token in a pod's volume.
    fn token(&self, namespace: &str, account: &str, pod: &str) -> String {
        self.server.issue(Token::of(namespace, account).pod(pod).audience("istio-ca")).unwrap()
    }

    pub(crate) fn node_token(&self, node: &str) -> String {
        self.token("mesh", "culvert-node", &format!("node-{node}"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.kubeconfig);
    }
}

pub(crate) fn ask<'a>(token: &'a str, identity: &'a str) -> Ask<'a> {
    Ask { token: Some(token), identity: Some(identity), ..Ask::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_gets_the_mesh_and_the_identities_of_its_pods() {
    let cluster = Cluster::new("node");
    let control = cluster.start("one");
    let token = cluster.node_token("a");
    assert_eq!(control.ask(ask(&token, WEB)).await.unwrap().len(), 2, "a leaf and the root");
    let refused = control.ask(ask(&token, DB)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    let mut client = Client::open(&control, &token).await.unwrap();
    client.begin("a", &Has::new(), &Has::new(), false).await;
    while client.addresses.len() < 5 {
        client.receive().await.unwrap();
    }
    let names: Vec<_> = client.addresses.keys().map(String::as_str).collect();
    let expected = [
        "Kubernetes//Pod/mesh/node-a",
        "Kubernetes//Pod/mesh/node-b",
        "Kubernetes//Pod/shop/db",
        "Kubernetes//Pod/shop/web",
        "shop/web.shop.svc.cluster.local",
    ];
    assert_eq!(names, expected);
    cluster.server.remove("pods", "shop", "db").unwrap();
    while client.addresses.contains_key("Kubernetes//Pod/shop/db") {
        client.receive().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_anything_by_a_token_that_is_for_somebody_else() {
    let cluster = Cluster::new("tokens");
    let control = cluster.start("one");
    let elsewhere = Token::of("mesh", "culvert-node").pod("node-a").audience("vault");
    let elsewhere = cluster.server.issue(elsewhere).unwrap();
    let own = cluster.token("shop", "web", "web");
    assert_eq!(control.ask(ask(&elsewhere, WEB)).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(control.ask(ask("forged", WEB)).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(control.ask(ask(&own, DB)).await.unwrap_err().code(), Code::PermissionDenied);
    control.ask(ask(&own, WEB)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_sign_under_one_root_and_one_of_them_writes() {
    let cluster = Cluster::new("replicas");
    let (one, two) = (cluster.start("one"), cluster.start("two"));
    assert_eq!(one.root(), two.root());
    let leader = if one.count("holds=true") > 0 { &one } else { &two };
    leader.logged("holds=true");
    let token = cluster.node_token("a");
    for control in [&one, &two] {
        control.ask(ask(&token, WEB)).await.unwrap();
    }
    let is_published = || {
        let map = cluster.server.object("configmaps", "shop", "istio-ca-root-cert");
        map.is_some_and(|map| map["data"]["root-cert.pem"] == one.root())
    };
    culvert_lab::wait_until(DEADLINE, "the root is published", is_published).unwrap();
    assert!(one.stop(Signal::SIGTERM).await.success());
    two.ask(ask(&token, WEB)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_served_before_the_cluster_is_known_and_it_stops_all_the_same() {
    let cluster = Cluster::new("unknown");
    cluster.server.deny("list", "services");
    let control = cluster.launch("one");
    control.logged("services");
    assert_eq!(control.count("\tready\t"), 0);
    assert!(control.stop(Signal::SIGTERM).await.success());
}

/// A name outside the cluster, without an address.
fn entry(name: &str) -> serde_json::Value {
    json!({ "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
        "metadata": { "name": name, "namespace": "shop" },
        "spec": { "hosts": [format!("{name}.example")], "resolution": "DNS", "ports": [{ "number": 443, "name": "tls" }] } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_outside_gets_addresses_which_nodes_hear_of_and_which_stay() {
    let cluster = Cluster::new("addresses");
    let definition = api_server::definition("networking.istio.io/v1", "serviceentries", "ServiceEntry");
    cluster.server.create(definition).unwrap();
    cluster.server.create(entry("api")).unwrap();
    let given = |name: &str| {
        let object = cluster.server.object("serviceentries", "shop", name).unwrap();
        let all = object["status"]["addresses"].as_array().cloned().unwrap_or_default();
        all.iter().map(|it| it["value"].as_str().unwrap().parse().unwrap()).collect::<Vec<IpAddr>>()
    };
    let has_some = |name: &'static str| {
        // The next one may write when the lease of the one before has run out.
        culvert_lab::wait_until(DEADLINE * 4, name, || given(name).len() == 2).unwrap();
    };
    let control = cluster.start("one");
    has_some("api");
    let first = given("api");
    let mut client = Client::open(&control, &cluster.node_token("a")).await.unwrap();
    client.begin("a", &Has::new(), &Has::new(), true).await;
    client.subscribe(&["shop/api.example"]).await;
    while !first.iter().all(|ip| client.aliases.contains(&format!("/{ip}"))) {
        client.receive().await.unwrap();
    }
    assert!(control.stop(Signal::SIGTERM).await.success());
    cluster.server.create(entry("other")).unwrap();
    let control = cluster.start("two");
    has_some("other");
    assert_eq!(given("api"), first, "what was given stays, whoever leads");
    assert!(given("other").iter().all(|ip| !first.contains(ip)));
    drop(control);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_else_writes_the_roots_is_named() {
    let cluster = Cluster::new("contested");
    let control = cluster.start("one");
    control.logged("holds=true");
    let begun = Instant::now();
    while control.count("contested") == 0 {
        assert!(begun.elapsed() < DEADLINE, "it is not said");
        let map = cluster.server.object("configmaps", "shop", "istio-ca-root-cert");
        if let Some(mut map) = map.filter(|map| map["data"]["root-cert.pem"] != "another") {
            map["data"]["root-cert.pem"] = "another".into();
            map["metadata"]["managedFields"] = json!([{ "manager": "pilot-discovery", "operation": "Update",
                "fieldsType": "FieldsV1", "fieldsV1": { "f:data": { "f:root-cert.pem": {} } } }]);
            cluster.server.apply(map).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let said = control.logged("contested");
    assert!(said.contains("pilot-discovery") && said.contains("shop"), "{said}");
}

/// A port nobody listens on at the moment.
fn free_port() -> u16 {
    TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port()
}

/// The answer to a probe; nothing once nobody listens.
fn ready(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_stops_says_so_serves_on_and_hands_over() {
    let cluster = Cluster::new("hand-over");
    let port = free_port();
    let one = cluster.served(cluster.launch_with("one", port));
    one.logged("holds=true");
    let [soft, hard] = one.open_files();
    assert_eq!(soft, hard, "as many connections as the system lets it have");
    assert!(ready(port).unwrap().starts_with("HTTP/1.1 200"));
    let two = cluster.start("two");
    let token = cluster.node_token("a");
    one.signal(Signal::SIGTERM);
    let leaves = || {
        ready(port)
            .is_some_and(|answer| answer.starts_with("HTTP/1.1 503") && answer.contains("asked to stop"))
    };
    culvert_lab::wait_until(DEADLINE, "the replica is not ready", leaves).unwrap();
    one.ask(ask(&token, WEB)).await.unwrap();
    assert!(one.ended().await.success());
    let gone = Instant::now();
    two.logged("holds=true");
    assert!(gone.elapsed() < Duration::from_secs(2), "{:?}", gone.elapsed());
    let lease = cluster.server.object("leases", "mesh", "culvert-control").unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "two");
}
