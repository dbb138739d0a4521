use std::os::unix::fs::PermissionsExt as _;

use culvert_lab::api_server::{ApiServer, Object, namespace, pod};
use serde_json::Value;

use super::*;
use crate::harness::api::Api;
use crate::harness::cluster::lab;

/// A program out of a few words of shell.
#[track_caller]
fn program(lab: &Lab, name: &str, script: &str) -> PathBuf {
    let path = lab.directory().join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Why there is no API server, with these programs.
#[track_caller]
fn refusal(name: &str, etcd: &str, api_server: &str) -> String {
    let lab = lab(name).unwrap();
    let programs = Programs {
        etcd: program(&lab, "an-etcd", etcd),
        api_server: program(&lab, "a-server", api_server),
        patience: Duration::from_secs(2),
    };
    KubeApiServer::start(&lab, &programs).err().expect("nobody serves")
}

const STAYS: &str = "exec sleep 1000";

#[test]
fn a_program_that_is_no_api_server_is_told_of_with_its_last_words() {
    let said = refusal("no-server", STAYS, "echo \"what is $1?\"; exit 3");
    for part in ["KUBE_APISERVER", "kube-apiserver ended: exit status: 3", "what is --etcd-servers="] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn an_etcd_that_ends_is_told_of_with_its_last_words() {
    let said = refusal("no-etcd", "echo no disk >&2; exit 4", STAYS);
    assert!(said.contains("etcd ended: exit status: 4") && said.contains("no disk"), "{said}");
}

#[test]
fn a_server_that_never_gets_ready_is_told_of() {
    let said = refusal("never-ready", STAYS, "echo thinking; exec sleep 1000");
    assert!(said.contains("not ready after 2s") && said.contains("thinking"), "{said}");
}

#[test]
fn the_programs_are_told_where_their_files_are_and_whom_to_serve() {
    let files = Files::below(Path::new("/lab"));
    let etcd = options::etcd(&files);
    assert_eq!(
        etcd[..3],
        ["--name=lab", "--data-dir=/lab/etcd", "--listen-client-urls=http://127.0.0.1:2379"]
    );
    let server = options::api_server(&files, "172.31.255.1:6443".parse().unwrap());
    for option in [
        "--etcd-servers=http://127.0.0.1:2379",
        "--bind-address=172.31.255.1",
        "--secure-port=6443",
        "--tls-cert-file=/lab/server.pem",
        "--tls-private-key-file=/lab/server-key.pem",
        "--token-auth-file=/lab/tokens.csv",
        "--authorization-mode=Node,RBAC",
        "--service-account-key-file=/lab/accounts.pem",
        "--service-account-signing-key-file=/lab/accounts-key.pem",
        "--disable-admission-plugins=ServiceAccount",
    ] {
        assert!(server.iter().any(|given| given == option), "{option}: {server:#?}");
    }
}

#[test]
fn objects_and_resources_have_the_paths_of_the_api() {
    for (resource, namespace, path) in [
        ("pods", "shop", "/api/v1/namespaces/shop/pods"),
        ("namespaces", "", "/api/v1/namespaces"),
        ("leases", "mesh", "/apis/coordination.k8s.io/v1/namespaces/mesh/leases"),
        ("events.events.k8s.io", "", "/apis/events.k8s.io/v1/events"),
        ("authorizationpolicies", "shop", "/apis/security.istio.io/v1/namespaces/shop/authorizationpolicies"),
    ] {
        assert_eq!(client::collection(resource, namespace), path);
    }
    let paths: Vec<_> = install::objects().unwrap().iter().map(client::path_of).collect();
    for path in [
        "/api/v1/namespaces/culvert-system",
        "/api/v1/namespaces/culvert-system/serviceaccounts/culvert-node",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/serviceentries.networking.istio.io",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/culvert-control",
        "/apis/rbac.authorization.k8s.io/v1/namespaces/culvert-system/rolebindings/culvert-control",
    ] {
        assert!(paths.iter().any(|there| there == path), "{path}: {paths:#?}");
    }
}

/// Both ways to the lab's own API server: by its own calls, and over HTTP as to a real one, which is the last of these.
#[track_caller]
fn both(lab: &Lab) -> ([Api; 2], ApiServer) {
    let start =
        |port: u16| ApiServer::start_in(lab.control_netns(), (lab.control_address().ip(), port)).unwrap();
    let (own, other) = (start(6443), start(6444));
    let client = Client::new(lab.control_netns(), &other.url(), Path::new("/nowhere"), "anything");
    ([Api::Lab(own), Api::Real(KubeApiServer { client })], other)
}

/// What is left of an object when everything is gone that no two servers have in common.
fn plain(mut object: Value) -> Value {
    let metadata = object["metadata"].as_object_mut().unwrap();
    for own in ["uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "managedFields"] {
        metadata.remove(own);
    }
    object
}

fn web() -> Object {
    pod("shop", "web").service_account("web").node("one").ip([10, 64, 0, 2])
}

#[test]
fn what_a_test_does_in_a_cluster_comes_to_the_same_over_http() {
    let lab = lab("api-both").unwrap();
    // The control plane's host has its address as soon as there is a node.
    lab.node("one").unwrap();
    let (apis, _serving) = both(&lab);
    let [own, http] = apis.map(|api| {
        let mut seen = vec![api.create(namespace("shop")).unwrap(), api.create(web()).unwrap()];
        assert!(api.create(web()).is_err(), "it is there already");
        let labelled =
            json!({ "metadata": { "labels": { "app": "web" } }, "status": { "podIP": "10.64.0.3" } });
        seen.push(api.patch("pods", "shop", "web", labelled).unwrap());
        seen.push(api.apply(web().label("app", "other")).unwrap());
        let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": { "namespace": "shop", "name": "web" } });
        api.create(account).unwrap();
        assert_eq!(api.token(("shop", "web"), "web", "istio-ca").split('.').count(), 3);
        seen.push(api.terminate("pods", "shop", "web").unwrap());
        let leaving = api.object("pods", "shop", "web").unwrap();
        assert!(leaving["metadata"]["deletionTimestamp"].is_string(), "{leaving}");
        assert_eq!(api.objects("pods").len(), 1);
        api.remove("pods", "shop", "web").unwrap();
        assert_eq!((api.object("pods", "shop", "web"), api.objects("pods").len()), (None, 0));
        assert!(api.remove("pods", "shop", "web").is_err(), "it is gone");
        seen.into_iter().map(plain).collect::<Vec<_>>()
    });
    assert_eq!(own, http);
}
