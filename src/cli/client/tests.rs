use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use culvert_process::exit::Chain;
use culvert_sys::netns::Netns;
use serde_json::json;

use super::*;
use crate::fake_node::{FakeNode, options, sayings, through_kubectl};

async fn names(client: &mut Client) -> Vec<String> {
    let pods = client.list(&Query::new("/v1/pods")).await.unwrap();
    pods.iter().map(|pod| pod["name"].as_str().unwrap().to_owned()).collect()
}

fn shown(error: &Error) -> String {
    Chain(error).to_string()
}

#[tokio::test]
async fn a_node_is_asked_over_tcp_and_over_a_unix_socket() {
    let node = FakeNode::start(sayings::shop).await;
    for address in [node.address.to_string(), format!("unix:{}", node.socket.display())] {
        let mut client = Client::open(&options(&address)).await.unwrap();
        assert_eq!(names(&mut client).await, ["web-1", "api-1", "web-9"], "{address}");
        assert_eq!(client.address(), address);
    }
}

#[tokio::test]
async fn a_node_in_another_network_namespace_is_asked_there() {
    let netns = Netns::create().unwrap();
    let mut up = std::process::Command::new("ip");
    up.args(["link", "set", "lo", "up"]);
    assert!(culvert_sys::child::start_in(&mut up, &netns).unwrap().status().unwrap().success());
    let listener = netns.run(|| std::net::TcpListener::bind("127.0.0.1:15000")).unwrap().unwrap();
    listener.set_nonblocking(true).unwrap();
    let app = axum::Router::new().fallback(|| async { sayings::shop("/v1/pods").1 });
    let server = tokio::spawn(async move {
        axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), app).await.unwrap();
    });
    let mut command = std::process::Command::new("sleep");
    let mut inside = culvert_sys::child::start_in(command.arg("60"), &netns).unwrap().spawn().unwrap();
    let mut client = Client::open(&options(&format!("pid:{}", inside.id()))).await.unwrap();
    assert_eq!(names(&mut client).await.len(), 3);
    inside.kill().unwrap();
    inside.wait().unwrap();
    server.abort();
}

#[tokio::test]
async fn all_pages_are_followed_to_the_end() {
    fn pages(target: &str) -> (u16, String) {
        let (item, next) = match target.split_once("after=").map(|(_, after)| after) {
            None => ("a", Some("a b")),
            Some("a%20b") => ("b", Some("c")),
            Some(_) => ("c", None),
        };
        (200, json!({"items": [{"name": item}], "next": next}).to_string())
    }
    let node = FakeNode::start(pages).await;
    let mut client = Client::open(&node.options()).await.unwrap();
    assert_eq!(names(&mut client).await, ["a", "b", "c"]);
    assert_eq!(node.asked()[0], "/v1/pods?limit=1000");
    assert_eq!(node.asked().len(), 3);
}

#[tokio::test]
async fn a_list_that_goes_in_circles_ends() {
    fn circle(_: &str) -> (u16, String) {
        (200, json!({"items": [1], "next": "again"}).to_string())
    }
    let node = FakeNode::start(circle).await;
    let error = Client::open(&node.options()).await.unwrap().list(&Query::new("/v1/pods")).await.unwrap_err();
    assert!(shown(&error).contains("does not end"), "{error}");
    assert_eq!(node.asked().len(), 2);
}

#[tokio::test]
async fn what_went_wrong_is_said_with_what_to_try() {
    async fn asked(answers: crate::fake_node::Answers) -> String {
        let node = FakeNode::start(answers).await;
        let mut client = Client::open(&node.options()).await.unwrap();
        shown(&client.one::<culvert_api::Node>(&Query::new("/v1/node")).await.unwrap_err())
    }
    let foreign = asked(|_| (404, "404 page not found".into())).await;
    assert!(foreign.contains("HTTP 404: is it the admin port of a culvert-node"), "{foreign}");
    let refused = asked(|_| {
        let detail = "no pod `x\u{1b}[2J`; /v1/pods has them";
        (400, json!({"status": 400, "title": "unknown pod", "detail": detail}).to_string())
    });
    let refused = refused.await;
    assert!(refused.ends_with("says: no pod `x\\u{1b}[2J`; /v1/pods has them"), "{refused}");
    let strange = asked(|_| (200, "[]".into())).await;
    assert!(strange.contains("not understood: is it a culvert-node of this version?"), "{strange}");
}

#[tokio::test]
async fn where_nobody_listens_another_address_is_proposed() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for address in [format!("127.0.0.1:{port}"), "unix:/nowhere/admin.sock".to_owned()] {
        let mut client = Client::open(&options(&address)).await.unwrap();
        let error = shown(&client.one::<Value>(&Query::new("/v1/node")).await.unwrap_err());
        let expected = format!(
            "no node answers at {address}: is culvert-node running here? name another one with --node"
        );
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[tokio::test]
async fn a_connection_is_kept_and_replaced_when_it_was_closed() {
    let node = FakeNode::start(sayings::shop).await;
    let mut client = Client::open(&node.options()).await.unwrap();
    client.one::<Value>(&Query::new("/v1/node")).await.unwrap();
    let address = node.address;
    drop(node);
    // The old connection ends with its server; whoever listens there next is asked.
    let listener = loop {
        match tokio::net::TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let app = axum::Router::new().fallback(|| async { "\"another\"" });
    let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let said: String = client.one(&Query::new("/v1/node")).await.unwrap();
    assert_eq!(said, "another");
    server.abort();
}

/// A program that behaves like kubectl as far as it is asked to.
struct FakeKubectl {
    directory: PathBuf,
}

impl FakeKubectl {
    fn saying(name: &str, pods: &str, port_forward: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("culvert-kubectl-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let here = directory.display();
        let script = format!(
            "#!/bin/sh\necho \"$@\" >> {here}/asked\ncase \" $* \" in\n*' get pods '*) cat {here}/pods ;;\n\
             *) {port_forward} ;;\nesac\n"
        );
        std::fs::write(directory.join("pods"), pods).unwrap();
        let fake = Self { directory };
        std::fs::write(fake.path(), script).unwrap();
        std::fs::set_permissions(fake.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        fake
    }

    fn path(&self) -> PathBuf {
        self.directory.join("kubectl")
    }

    fn asked(&self) -> String {
        std::fs::read_to_string(self.directory.join("asked")).unwrap()
    }
}

impl Drop for FakeKubectl {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn cluster() -> String {
    let pod = |name: &str, phase: &str| json!({"metadata": {"name": name, "namespace": "istio-system"}, "status": {"phase": phase}});
    json!({"items": [pod("ztunnel-dead", "Failed"), pod("ztunnel-z", "Running"), pod("ztunnel-x7", "Running")]}).to_string()
}

#[tokio::test]
async fn a_node_of_a_cluster_is_asked_through_kubectl_which_ends_with_the_client() {
    let node = FakeNode::start(sayings::shop).await;
    let forward = format!(
        "echo 'Forwarding from 127.0.0.1:{} -> 15000'; echo $$ > \"$(dirname \"$0\")/running\"; exec sleep 600",
        node.address.port()
    );
    let kubectl = FakeKubectl::saying("forward", &cluster(), &forward);
    let mut options = through_kubectl(&kubectl.path(), "worker-1");
    options.cluster.context = Some("prod".into());
    let mut client = Client::open(&options).await.unwrap();
    assert_eq!(names(&mut client).await.len(), 3);
    assert_eq!(client.address(), "pod/ztunnel-x7.istio-system");
    let expected = "\
--context=prod get pods --all-namespaces --selector app in (culvert-node,ztunnel) --field-selector=spec.nodeName=worker-1 --output=json
--context=prod port-forward --address=127.0.0.1 --namespace=istio-system pod/ztunnel-x7 :15000
";
    assert_eq!(kubectl.asked(), expected);
    let running = ended_with(&kubectl, client).await;
    assert!(!running, "kubectl still runs");
}

/// Whether kubectl runs on after the client is gone, however long one waits.
async fn ended_with(kubectl: &FakeKubectl, client: Client) -> bool {
    let pid = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            match std::fs::read_to_string(kubectl.directory.join("running")) {
                Ok(pid) if pid.ends_with('\n') => return pid.trim().to_owned(),
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    });
    let process = PathBuf::from("/proc").join(pid.await.unwrap());
    assert!(process.exists());
    drop(client);
    let gone = async {
        while process.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.is_err()
}

#[tokio::test]
async fn a_pod_is_found_by_its_name_alone() {
    let kubectl = FakeKubectl::saying("named", &cluster(), "echo 'error: pod is gone' >&2; exit 1");
    let mut options = options("pod/ztunnel-z");
    options.cluster.kubectl = kubectl.path();
    let error = shown(&Client::open(&options).await.unwrap_err());
    assert_eq!(error, "`kubectl port-forward` failed: error: pod is gone");
    assert!(kubectl.asked().contains("--field-selector=metadata.name=ztunnel-z"), "{}", kubectl.asked());
    assert!(kubectl.asked().contains("--namespace=istio-system pod/ztunnel-z :15000"), "{}", kubectl.asked());
}

#[tokio::test]
async fn what_kubectl_cannot_do_is_said() {
    let nobody = FakeKubectl::saying("nobody", r#"{"items": []}"#, "true");
    let error = shown(&Client::open(&through_kubectl(&nobody.path(), "worker-9")).await.unwrap_err());
    assert!(error.starts_with("no running pod of culvert-node or ztunnel on node worker-9;"), "{error}");
    let silent = FakeKubectl::saying("silent", &cluster(), "exit 0");
    let error = shown(&Client::open(&through_kubectl(&silent.path(), "worker-1")).await.unwrap_err());
    assert_eq!(error, "`kubectl port-forward` failed: it said nothing");
    let missing = through_kubectl(std::path::Path::new("/nowhere/kubectl"), "worker-1");
    let error = shown(&Client::open(&missing).await.unwrap_err());
    assert!(error.starts_with("`/nowhere/kubectl` cannot be run; name it with --kubectl: "), "{error}");
}
