//! Mesh state: who gets it, in which form, and how edits of files reach it.

use std::fs;
use std::os::unix::fs::symlink;

use culvert_proto::xds::DeltaDiscoveryRequest;
use nix::sys::signal::Signal;
use tonic::Code;

use crate::client::{ADDRESSES, Client, Has, POLICIES};
use crate::harness::{Control, Dir, mesh};

const POLICY: &str = "policies:\n- {name: deny, namespace: ns, scope: Namespace, action: Deny, rules: []}\n";

/// A service of namespace `ns`, and workloads behind it.
fn service(name: &str, vip: &str) -> String {
    format!(
        "services:\n- {{name: {name}, namespace: ns, hostname: {name}, vips: [/{vip}], ports: {{80: 8080}}}}\n"
    )
}

/// A workload in a service.
fn member(uid: &str, node: &str, ip: &str, service: &str) -> String {
    format!(
        "- {{uid: {uid}, name: {uid}, namespace: ns, node: {node}, workloadIps: [{ip}], services: {{ns/{service}: {{}}}}}}\n"
    )
}

/// A mesh of a directory.
fn of_files(name: &str, files: &[(&str, &str)]) -> Dir {
    let dir = Dir::new(name);
    fs::create_dir(dir.path("mesh")).unwrap();
    for (name, text) in files {
        dir.write(&format!("mesh/{name}"), text);
    }
    dir
}

async fn synced(control: &Control) -> Client {
    Client::synced(control, &Has::new(), &Has::new()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_served_and_every_edit_arrives() {
    let dir = of_files("ads-everything", &[("one.yaml", &mesh(&[("web", "a")])), ("two.yml", POLICY)]);
    let control = dir.start();
    let mut client = synced(&control).await;
    assert_eq!(client.addresses.keys().collect::<Vec<_>>(), ["web"]);
    assert_eq!(client.policies.keys().collect::<Vec<_>>(), ["ns/deny"]);
    assert!(client.addresses["web"].len() == 16 && client.aliases.is_empty());
    let line = control.logged("discovery stream started");
    assert!(
        line.contains("client=\"ztunnel~10.0.0.9~node-a") && line.contains("caller=\"node/a\""),
        "{line}"
    );

    dir.write(
        "mesh/three.json",
        r#"{"workloads": [{"uid": "db", "namespace": "ns", "workloadIps": ["10.0.0.2"]}]}"#,
    );
    client.until(&["db", "web"]).await;
    dir.write("mesh/one.yaml", &mesh(&[("api", "a")]));
    client.until(&["api", "db"]).await;
    fs::remove_file(dir.path("mesh/three.json")).unwrap();
    client.until(&["api"]).await;

    for ignored in [".hidden.yaml", "notes.txt", "two.yaml.bak"] {
        dir.write(&format!("mesh/{ignored}"), "nonsense");
    }
    fs::create_dir(dir.path("mesh/sub.yaml")).unwrap();
    dir.write("mesh/one.yaml", "{}");
    client.until(&[]).await;
    assert_eq!(control.count("not valid"), 0);
    drop(client);
    let line = control.logged("discovery stream ended");
    assert!(
        line.contains("caller=\"node/a\"") && line.contains("reason=") && line.contains("refused=0"),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_directory_is_a_mesh_of_nothing() {
    let dir = of_files("ads-empty", &[]);
    let control = dir.start();
    let mut client = synced(&control).await;
    assert!(client.addresses.is_empty() && client.policies.is_empty());
    assert_eq!(client.sizes, [0, 0], "an empty answer to each request");
    dir.write("mesh/one.yaml", &mesh(&[("web", "a")]));
    client.until(&["web"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_is_sent_what_it_lacks() {
    let dir =
        of_files("ads-back", &[("one.yaml", &mesh(&[("web", "a"), ("db", "b")])), ("two.yaml", POLICY)]);
    let control = dir.start();
    let first = synced(&control).await;
    let (addresses, policies) = (first.addresses.clone(), first.policies.clone());
    drop(first);
    let same = Client::synced(&control, &addresses, &policies).await;
    assert_eq!(same.sizes, [0, 0]);

    // Also over a restart: versions are those of the bytes.
    control.stop(Signal::SIGTERM).await;
    dir.write("mesh/one.yaml", &mesh(&[("web", "a"), ("api", "b")]));
    dir.write("mesh/two.yaml", "{}");
    let control = dir.start();
    let changed = Client::synced(&control, &addresses, &policies).await;
    assert_eq!(changed.sizes.iter().sum::<usize>(), 3, "api came, db and the policy went");
    assert_eq!(changed.addresses.keys().collect::<Vec<_>>(), ["api", "web"]);
    assert!(changed.policies.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_demand_serves_what_is_named() {
    let workloads = [
        "workloads:\n",
        &member("own", "a", "10.0.0.1", "other"),
        &member("web-1", "b", "10.0.0.2", "web"),
        &member("web-2", "b", "10.0.0.3", "web"),
        &member("far", "b", "10.0.0.4", "other"),
    ];
    let web = service("web", "10.9.0.1");
    let dir = of_files("ads-demand", &[("services.yaml", &web), ("workloads.yaml", &workloads.concat())]);
    let control = dir.start();
    let mut client = Client::open(&control, "token-a").await.unwrap();
    client.begin("a", &Has::new(), &Has::new(), true).await;
    client.until(&["own"]).await;
    client.subscribe(&["/10.9.0.1"]).await;
    client.until(&["ns/web", "own", "web-1", "web-2"]).await;
    assert!(client.aliases.contains("/10.9.0.1") && client.aliases.contains("/10.0.0.2"));
    client.subscribe(&["/10.9.0.7"]).await;
    let unknown = loop {
        let response = client.receive().await.unwrap();
        if response.type_url == ADDRESSES {
            break response;
        }
    };
    assert_eq!(unknown.removed_resources, ["/10.9.0.7"]);

    let late = service("late", "10.9.0.7");
    dir.write("mesh/late.yaml", &format!("{late}workloads:\n{}", member("late-1", "b", "10.0.0.5", "late")));
    client.until(&["late-1", "ns/late", "ns/web", "own", "web-1", "web-2"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_get_nothing_and_a_node_is_not_another() {
    let dir = Dir::new("ads-callers");
    let control = dir.start();
    for token in ["", "unknown", "TOKEN-A"] {
        let status = Client::open(&control, token).await.err().unwrap();
        assert_eq!(
            (status.code(), status.message()),
            (Code::Unauthenticated, "a valid bearer token is needed")
        );
    }
    let mut wrong = Client::open(&control, "token-b").await.unwrap();
    wrong.begin("a", &Has::new(), &Has::new(), false).await;
    let status = wrong.end().await;
    assert_eq!(status.code(), Code::PermissionDenied);
    let reason = "this token is for node/b, and the client says that it is on node \"a\"";
    assert_eq!(status.message(), reason);
    // The proxy of one workload may be anywhere.
    let mut edge = Client::open(&control, "token-edge").await.unwrap();
    edge.begin("a", &Has::new(), &Has::new(), false).await;
    edge.until(&["db", "web"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_taken_back_ends_its_streams() {
    let dir = Dir::new("ads-token");
    let control = dir.start();
    let mut client = synced(&control).await;
    dir.write("tokens.yaml", "tokens:\n- {token: token-a, node: a}\n- {token: more, node: b}\n");
    control.logged("file taken");
    dir.write("mesh.yaml", &mesh(&[("api", "a")]));
    client.until(&["api"]).await;
    dir.write("tokens.yaml", "tokens:\n- {token: token-a, node: b}\n");
    assert_eq!(client.end().await.code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_asks_to_come_back() {
    let dir = Dir::new("ads-stop");
    let control = dir.start();
    let mut client = synced(&control).await;
    let (status, end) = tokio::join!(control.stop(Signal::SIGTERM), client.end());
    assert!(status.success());
    assert_eq!(end.code(), Code::Unavailable, "{end}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_logged_and_not_sent_again() {
    let dir = Dir::new("ads-refused");
    let control = dir.start();
    let mut client = Client::open(&control, "token-a").await.unwrap();
    client.begin("a", &Has::new(), &Has::new(), false).await;
    let first = loop {
        let response = client.next().await.unwrap();
        if response.type_url == ADDRESSES {
            break response;
        }
    };
    client.answer(&first, Some("web: no such thing")).await;
    client.answer(&first, Some("stale")).await;
    let line = control.logged("client refused a response");
    assert!(line.contains("reason=\"web: no such thing\"") && line.contains("client=\"ztunnel~"), "{line}");
    // The next thing that comes about addresses is the next change.
    dir.write("mesh.yaml", &mesh(&[("web", "a"), ("db", "b"), ("api", "a")]));
    let next = loop {
        let response = client.next().await.unwrap();
        if response.type_url == ADDRESSES {
            break response;
        }
    };
    let names: Vec<_> = next.resources.iter().map(|resource| resource.name.as_str()).collect();
    assert_eq!(names, ["api"]);
    assert_eq!(control.count("client refused a response"), 1, "a stale answer is no answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_mesh_comes_in_parts() {
    let names: Vec<String> = (0..9000).map(|n| format!("w{n:05}")).collect();
    let all: Vec<_> = names.iter().map(|name| (name.as_str(), "b")).collect();
    let dir = of_files("ads-large", &[("one.yaml", &mesh(&all))]);
    let control = dir.start();
    let mut client = Client::open(&control, "token-a").await.unwrap();
    client.begin("a", &Has::new(), &Has::new(), false).await;
    while client.addresses.len() < names.len() {
        client.receive().await.unwrap();
    }
    assert!(client.sizes.iter().all(|size| *size <= 500), "{:?}", client.sizes);

    // Claims in two requests: one answer, and nothing in it but what is gone.
    let mut claims: Has = client.addresses.clone();
    claims.insert("gone".to_owned(), "0123456789abcdef".to_owned());
    let rest = claims.split_off("w04500");
    drop(client);
    let mut client = Client::open(&control, "token-a").await.unwrap();
    for has in [claims, rest] {
        client
            .send(DeltaDiscoveryRequest {
                type_url: ADDRESSES.to_owned(),
                initial_resource_versions: has,
                ..DeltaDiscoveryRequest::default()
            })
            .await;
    }
    let response = client.receive().await.unwrap();
    assert_eq!((response.resources.len(), response.removed_resources), (0, vec!["gone".to_owned()]));
    client
        .send(DeltaDiscoveryRequest { type_url: POLICIES.to_owned(), ..DeltaDiscoveryRequest::default() })
        .await;
    assert_eq!(client.receive().await.unwrap().type_url, POLICIES, "nothing else about addresses");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_edit_changes_nothing_and_stops_nothing() {
    let dir =
        of_files("ads-bad", &[("one.yaml", &mesh(&[("web", "a")])), ("two.yaml", &mesh(&[("db", "b")]))]);
    let control = dir.start();
    let mut client = synced(&control).await;
    dir.write("mesh/one.yaml", "workloads:\n- {nonsense: 1}\n");
    dir.write("mesh/two.yaml", &mesh(&[("api", "b")]));
    client.until(&["api", "web"]).await;
    let line = control.logged("mesh file is not valid, keeping its last content");
    for part in ["mesh/one.yaml", "line=2", "column=", "nonsense"] {
        assert!(line.contains(part), "{line}");
    }
    dir.write("mesh/two.yaml", &mesh(&[("api", "b"), ("web", "b")]));
    let line = control.logged("is also defined in");
    for part in ["mesh/two.yaml", "mesh/one.yaml", "`web`"] {
        assert!(line.contains(part), "{line}");
    }
    fs::rename(dir.path("mesh"), dir.path("elsewhere")).unwrap();
    control.logged("mesh directory cannot be read, keeping its last content");
    let late = synced(&control).await;
    assert_eq!(late.addresses, client.addresses, "nothing is lost");
    fs::rename(dir.path("elsewhere"), dir.path("mesh")).unwrap();
    control.logged("mesh directory is back");
    dir.write("mesh/one.yaml", "{}");
    client.until(&["api", "web"]).await;
    assert_eq!(control.count("not valid"), 2, "each problem is told once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mounted_configmap_is_followed() {
    let dir = of_files("ads-configmap", &[]);
    let version = |name: &str, files: &[(&str, &str)]| {
        fs::create_dir(dir.path(&format!("mesh/..{name}"))).unwrap();
        for (file, text) in files {
            dir.write(&format!("mesh/..{name}/{file}"), text);
        }
        let (new, data) = (dir.path("mesh/..data_tmp"), dir.path("mesh/..data"));
        symlink(format!("..{name}"), &new).unwrap();
        fs::rename(new, data).unwrap();
    };
    version("1", &[("one.yaml", &mesh(&[("web", "a")])), ("two.yaml", &mesh(&[("db", "b")]))]);
    for file in ["one.yaml", "two.yaml"] {
        symlink(format!("..data/{file}"), dir.path(&format!("mesh/{file}"))).unwrap();
    }
    let control = dir.start();
    let mut client = synced(&control).await;
    client.until(&["db", "web"]).await;
    // Both names change places, and a third comes: one edit, and one file gives up what the other one takes.
    version("2", &[("one.yaml", &mesh(&[("db", "b"), ("api", "a")])), ("two.yaml", &mesh(&[("web", "a")]))]);
    client.until(&["api", "db", "web"]).await;
    version("3", &[("one.yaml", &mesh(&[("api", "a")]))]);
    fs::remove_file(dir.path("mesh/two.yaml")).unwrap();
    client.until(&["api"]).await;
    assert_eq!(control.count("not valid"), 0);
}

#[test]
fn a_mesh_is_checked_without_being_served() {
    let dir = of_files("check", &[("one.yaml", &mesh(&[("web", "a")])), ("two.yaml", POLICY)]);
    let check = |code: i32| {
        let output = dir.program(&["check", "--mesh", "mesh"]);
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{text}");
        text
    };
    assert_eq!(check(0), "mesh: fine; files: 2, workloads and services: 1, policies: 1\n");
    dir.write("mesh/three.yaml", &mesh(&[("web", "b")]));
    dir.write("mesh/four.yaml", "policies:\n- {name: deny}\n");
    dir.write("mesh/five.yaml", "");
    let text = check(1);
    for part in [
        "mesh/three.yaml: `web` is also defined in mesh/one.yaml",
        "mesh/four.yaml: line 2, column",
        "mesh/five.yaml: line 1, column 1: the file is empty",
        "culvert-control: error: problems in mesh: 3",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let output = dir.run(&[]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("mesh/five.yaml is not valid (and 2 others are not either): line 1"), "{text}");
    fs::remove_dir_all(dir.path("mesh")).unwrap();
    assert!(check(1).contains("the mesh mesh cannot be read: No such file"));
}
