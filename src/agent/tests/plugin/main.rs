//! The CNI plugin as runtimes meet it: the real executable, variables and stdin in, stdout and exit code out.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use serde_json::{Value, json};

mod agent;
mod runtime;

use agent::{Agent, Manners};
use runtime::{Call, Node};

const PREVIOUS: &str = r#"{ "cniVersion": "1.0.0", "ips": [{"address": "10.0.0.7/24"}, {"address": "fd00::7/64"}],  "dns": {}, "unknown": 1.50 }"#;

const ENROLLED: &str = r#"{"enrolled":true}"#;
const REFUSED: &str = r#"{"reason":"no node proxy has taken it","ready":true}"#;
const NOT_READY: &str = r#"{"reason":"the pods have not been listed","ready":false}"#;

/// Which namespaces are enrolled; `shop/web-0` is the pod.
const SHOP: &str = r#"{"version":1,"enrolled":["shop"],"partlyEnrolled":["tools"]}"#;
const TOOLS: &str = r#"{"version":1,"enrolled":["tools"],"partlyEnrolled":["shop"]}"#;
const NOBODY: &str = r#"{"version":1,"enrolled":["bank"],"partlyEnrolled":[]}"#;

#[test]
fn versions_are_told_without_anything_else() {
    for stdin in ["", "{", r#"{"cniVersion":"1.1.0"}"#] {
        let output = Node::new()
            .run(&Call::new("VERSION").without(&["CNI_CONTAINERID", "CNI_NETNS", "CNI_ARGS"]).stdin(stdin));
        let versions = output.json();
        assert_eq!(versions["supportedVersions"], json!(["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]));
        assert_eq!(output.code, 0);
    }
}

#[test]
fn a_pod_in_the_mesh_starts_with_the_result_that_came_in() {
    let node = Node::new();
    let agent = Agent::at(&node.socket(), Manners::Answers(200, ENROLLED));
    for version in ["0.3.0", "0.3.1", "0.4.0", "1.0.0"] {
        let previous = PREVIOUS.replace("1.0.0", version);
        let output = node.run(&Call::new("ADD").version(version).previous(&previous));
        assert_eq!((output.stdout.as_str(), output.code), (previous.as_str(), 0), "{output:?}");
    }
    let (path, request) = agent.requests().remove(0);
    assert_eq!(path, "/v1/cni/add");
    let wanted = json!({
        "containerId": "c1", "netns": "/run/netns/cni-1", "ifname": "eth0", "podNamespace": "shop",
        "podName": "web-0", "podUid": "uid-1", "addresses": ["10.0.0.7", "fd00::7"],
    });
    assert_eq!(request, wanted);
}

#[test]
fn the_command_does_what_the_name_does() {
    let node = Node::new();
    let _agent = Agent::at(&node.socket(), Manners::Answers(200, ENROLLED));
    let call = Call::new("ADD").previous(PREVIOUS);
    assert_eq!(node.run_as_command(&call).stdout, node.run(&call).stdout);
}

#[test]
fn a_pod_that_may_not_start_is_to_be_tried_again_and_people_hear_why() {
    let node = Node::new();
    // An agent that is there decides, whatever has been written down.
    node.remember(NOBODY);
    let _agent = Agent::at(&node.socket(), Manners::Answers(503, REFUSED));
    let output = node.run(&Call::new("ADD").previous(PREVIOUS));
    let error = output.error(11);
    assert!(error.contains("no node proxy has taken it") && error.contains("shop/web-0"), "{error}");
    assert!(output.stderr.contains("no node proxy"), "{output:?}");
}

/// An agent that cannot say whether a pod is in the mesh.
fn absences() -> Vec<(&'static str, Option<Manners>)> {
    vec![
        ("no socket", None),
        ("nobody behind it", Some(Manners::Gone)),
        ("not ready", Some(Manners::Answers(503, NOT_READY))),
        ("silent", Some(Manners::Silent)),
        ("closes at once", Some(Manners::Closes)),
        ("somebody else", Some(Manners::Elsewhere)),
    ]
}

#[test]
fn without_the_agent_only_pods_outside_the_mesh_start() {
    const OTHER_VERSION: &str = r#"{"version":2,"enrolled":[],"partlyEnrolled":[]}"#;
    let unknown = [None, Some("{"), Some(""), Some(OTHER_VERSION)].map(|remembered| (remembered, false));
    let known = [(Some(NOBODY), true), (Some(SHOP), false), (Some(TOOLS), false)];
    for (what, manners) in absences() {
        // Each question to the silent one takes its time.
        let most = if what == "silent" { 2 } else { usize::MAX };
        for (remembered, starts) in known.into_iter().chain(unknown).take(most) {
            let node = Node::new();
            let _agent = manners.map(|manners| Agent::at(&node.socket(), manners));
            if let Some(text) = remembered {
                node.remember(text);
            }
            let output = node.run(&Call::new("ADD").previous(PREVIOUS));
            if starts {
                assert_eq!(
                    (output.stdout.as_str(), output.code),
                    (PREVIOUS, 0),
                    "{what}, {remembered:?}: {output:?}"
                );
            } else {
                let error = output.error(11);
                assert!(error.contains("agent"), "{what}, {remembered:?}: {error}");
            }
            // An agent that says nothing costs the others a few seconds, not minutes.
            assert!(output.took < Duration::from_secs(10), "{what}: {:?}", output.took);
        }
    }
}

#[test]
fn an_agent_that_dies_while_it_decides_has_not_decided() {
    let node = Node::new();
    node.remember(NOBODY);
    for manners in [
        Manners::DiesAsked,
        Manners::Answers(200, "{"),
        Manners::Answers(404, "not found"),
        Manners::Answers(500, "{}"),
    ] {
        let _agent = Agent::at(&node.socket(), manners);
        node.run(&Call::new("ADD").previous(PREVIOUS)).error(11);
    }
}

#[test]
fn the_agents_own_pods_and_excluded_namespaces_are_asked_of_nobody() {
    let node = Node::new();
    let agent = Agent::at(&node.socket(), Manners::Answers(503, REFUSED));
    for (namespace, name, exempt) in [
        ("mesh", "culvert-agent-x2b7k", true),
        ("kube-system", "anything", true),
        ("mesh", "culvert-agent-x2b7k-evil", false),
        ("mesh", "web-0", false),
        ("shop", "culvert-agent-x2b7k", false),
    ] {
        for command in ["ADD", "CHECK"] {
            let output = node.run(&Call::new(command).pod(namespace, name).previous(PREVIOUS));
            assert_eq!(output.code == 0, exempt, "{command} {namespace}/{name}: {output:?}");
        }
        node.run(&Call::new("DEL").pod(namespace, name));
        assert_eq!(agent.take_requests().is_empty(), exempt, "{namespace}/{name}");
    }
}

#[test]
fn a_container_that_is_no_pod_is_not_the_agents_business() {
    let node = Node::new();
    for arguments in ["", "IgnoreUnknown=1", "K8S_POD_NAME="] {
        let output = node.run(&Call::new("ADD").arguments(arguments).previous(PREVIOUS));
        assert_eq!((output.stdout.as_str(), output.code), (PREVIOUS, 0), "{arguments}: {output:?}");
    }
}

#[test]
fn what_makes_no_sense_is_explained_with_the_right_code() {
    let node = Node::new();
    let add = || Call::new("ADD").previous(PREVIOUS);
    let huge = format!("{}{}", node.stdin(&add()), " ".repeat(2 << 20));
    let cases: Vec<(Call, u64, &str)> = vec![
        (add().without(&["CNI_COMMAND"]), 4, "CNI_COMMAND"),
        (Call::new("FROB").previous(PREVIOUS), 4, "FROB"),
        (add().without(&["CNI_CONTAINERID"]), 4, "CNI_CONTAINERID"),
        (add().without(&["CNI_NETNS"]), 4, "CNI_NETNS"),
        (add().without(&["CNI_IFNAME"]), 4, "CNI_IFNAME"),
        (add().stdin(""), 6, "JSON"),
        (add().stdin("{"), 6, "JSON"),
        (add().stdin("{\"cniVersion\":\"1.0.0\"}"), 7, "type"),
        (add().stdin("[1]"), 7, "makes no sense"),
        (add().stdin(&huge), 6, "longer"),
        (add().version("0.2.0"), 1, "0.2.0"),
        (add().version("2.0.0"), 1, "2.0.0"),
        (Call::new("ADD"), 7, "prevResult"),
        (Call::new("CHECK"), 7, "prevResult"),
        (
            add().arguments(&format!("K8S_POD_NAMESPACE=shop;K8S_POD_NAME={}", "x".repeat(60_000))),
            4,
            "K8S_POD_NAME",
        ),
        (add().arguments("K8S_POD_NAMESPACE=sh/op;K8S_POD_NAME=x"), 4, "K8S_POD_NAMESPACE"),
        (add().arguments("K8S_POD_NAME=x"), 4, "K8S_POD_NAMESPACE"),
        (add().arguments("K8S_POD_NAMESPACE=shop"), 4, "K8S_POD_NAME"),
        (add().arguments("K8S_POD_NAMESPACE=shop;K8S_POD_NAME=x;K8S_POD_UID=a\u{1b}[2J"), 4, "K8S_POD_UID"),
    ];
    for (call, code, hint) in cases {
        let output = node.run(&call);
        let error = output.error(code);
        assert!(error.contains(hint), "{hint}: {error}");
        let printed = output.stdout.len() + output.stderr.len();
        assert!(printed < 10_000 && !error.contains('\u{1b}'), "{hint}: {printed}: {error}");
    }
}

#[test]
fn a_reason_of_any_length_is_cut_and_what_to_do_is_said_all_the_same() {
    let node = Node::new();
    let refusal = json!({ "reason": "ä".repeat(20_000), "ready": true }).to_string();
    let _agent = Agent::at(&node.socket(), Manners::Answers(503, refusal.leak()));
    let output = node.run(&Call::new("ADD").previous(PREVIOUS));
    let error = output.error(11);
    assert!(error.contains("ää") && error.contains("tried again by the kubelet"), "{error}");
    assert!(output.stdout.len() < 5000 && output.stderr.len() < 5000, "{}", output.stderr.len());
}

#[test]
fn a_result_is_passed_on_unchanged_whether_the_plugin_understands_it_or_not() {
    let node = Node::new();
    node.remember(NOBODY);
    let results = [
        r#"{"cniVersion":"1.0.0","ips":null}"#,
        r#"{"cniVersion":"1.0.0","ips":7}"#,
        r#"{"cniVersion":7,"ips":[{"address":null},{}]}"#,
        "[null]",
        "7",
    ];
    for previous in results {
        // Without the agent, for a namespace outside the mesh; for a container that is no pod; and for one that is asked about.
        for call in [Call::new("ADD"), Call::new("ADD").arguments("")] {
            let output = node.run(&call.previous(previous));
            assert_eq!((output.stdout.as_str(), output.code), (previous, 0), "{output:?}");
        }
        let agent = Agent::at(&node.socket(), Manners::Answers(200, ENROLLED));
        let output = node.run(&Call::new("ADD").previous(previous));
        assert_eq!((output.stdout.as_str(), output.code), (previous, 0), "{output:?}");
        assert_eq!(agent.requests()[0].1["addresses"], json!([]), "{previous}");
    }
}

#[test]
fn a_request_the_agent_cannot_use_is_the_runtimes_fault() {
    let node = Node::new();
    let _agent =
        Agent::at(&node.socket(), Manners::Answers(400, r#"{"reason":"that is the host's","ready":true}"#));
    let error = node.run(&Call::new("ADD").previous(PREVIOUS)).error(4);
    assert!(error.contains("that is the host's"), "{error}");
}

#[test]
fn taking_a_pod_down_never_fails_and_the_agent_hears_of_it() {
    let node = Node::new();
    let silent =
        |output: runtime::Output| assert_eq!((output.stdout.as_str(), output.code), ("", 0), "{output:?}");
    silent(node.run(&Call::new("DEL")));
    silent(node.run(&Call::new("DEL").stdin("")));
    silent(node.run(&Call::new("DEL").version("9.9.9")));
    silent(node.run(&Call::new("DEL").without(&["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS"])));
    {
        let _mute = Agent::at(&node.socket(), Manners::Silent);
        let output = node.run(&Call::new("DEL"));
        assert!(output.took < Duration::from_secs(5), "{output:?}");
        silent(output);
    }
    let agent = Agent::at(&node.socket(), Manners::Answers(503, REFUSED));
    silent(node.run(&Call::new("DEL").without(&["CNI_NETNS"])));
    let (path, request) = agent.requests().remove(0);
    assert_eq!(
        (path.as_str(), &request["podUid"], &request["netns"]),
        ("/v1/cni/del", &json!("uid-1"), &Value::Null)
    );
}

#[test]
fn a_check_is_the_agents_to_answer() {
    let node = Node::new();
    let check = Call::new("CHECK").previous(PREVIOUS);
    {
        let agent = Agent::at(&node.socket(), Manners::Answers(200, ENROLLED));
        let output = node.run(&check);
        assert_eq!((output.stdout.as_str(), output.code), ("", 0), "{output:?}");
        assert_eq!(agent.requests()[0].0, "/v1/cni/check");
    }
    let _agent = Agent::at(&node.socket(), Manners::Answers(503, REFUSED));
    node.run(&check).error(11);
}

#[test]
fn what_other_runtimes_ask_too_is_no_error() {
    for command in ["STATUS", "GC"] {
        let output = Node::new().run(&Call::new(command).version("1.1.0"));
        assert_eq!((output.stdout.as_str(), output.code), ("", 0), "{output:?}");
    }
}
