//! What the chart tells our programs: they know all of it, it fits together, and a change reaches them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::chart::{Container, at, render};
use crate::harness::cluster::programs;

/// What every program reads, and says nowhere in its help.
const OF_ALL: [&str; 3] = ["RUST_LOG", "LOG_FORMAT", "FORCE_IPTABLES_BINARY"];

#[test]
fn the_node_proxy_knows_what_it_is_told() {
    assert_known("culvert-node");
}

#[test]
fn the_agent_knows_what_it_is_told() {
    assert_known("culvert-agent");
}

#[test]
fn the_control_plane_knows_what_it_is_told() {
    assert_known("culvert-control");
}

/// Fails when a program is told anything, by any values, that is not in its own description.
#[track_caller]
fn assert_known(program: &str) {
    let variants = [
        json!({ "agent": { "takeBack": true, "probes": "snat", "enablementSelectors": [{ "podSelector": {} }] },
            "cni": { "confName": "10-cni.conflist" }, "control": { "moreNames": ["mesh.example"] },
            "node": { "resources": { "limits": { "cpu": "2" } } } }),
        json!({ "cni": { "enabled": false }, "platform": "openshift", "node": { "onDemand": true },
            "ca": { "address": "csr:443", "hostname": "csr", "rootConfigMap": "csr" } }),
        json!({ "issuer": "spire-delegated" }),
        json!({ "issuer": "spire-workload", "node": { "env": { "PROXY_MODE": "dedicated" } } }),
    ];
    let known = Known::of(program);
    for values in variants {
        let rendered = render(&values).unwrap();
        for container in rendered.containers().iter().filter(|it| it.program() == program) {
            for (name, _) in container.environment() {
                assert!(known.variables.contains(name), "{program} does not know {name}");
            }
            for argument in container.arguments() {
                let flag = argument.split('=').next().unwrap();
                assert!(known.words.contains(flag), "{program} does not know {argument}");
            }
        }
    }
}

#[test]
fn ends_of_a_line_agree() {
    let values = json!({ "clusterDomain": "corp.example", "clusterId": "east-1", "network": "east", "trustDomain": "prod.example" });
    let rendered = render(&values).unwrap();
    let (control, node) = (rendered.container("culvert-control"), rendered.container("culvert-node"));
    for (name, value) in [("CLUSTER_DOMAIN", "corp.example"), ("CLUSTER_ID", "east-1")] {
        assert_eq!((control.variable(name), node.variable(name)), (value, value), "{name}");
    }
    let service = rendered.named("Service", "culvert-control");
    let address = format!("{}.culvert-system.svc:15012", service["metadata"]["name"].as_str().unwrap());
    assert_eq!((node.variable("XDS_ADDRESS"), node.variable("CA_ADDRESS")), (&*address, &*address));
    assert!(service["spec"]["ports"].to_string().contains("15012"));
    assert_eq!(control.variable("LISTEN"), "0.0.0.0:15012");
    for container in [control, rendered.container("culvert-agent")] {
        let port =
            container.it["ports"].as_array().unwrap().iter().find(|it| it["name"] == "monitoring").unwrap();
        assert_eq!(container.variable("MONITORING_PORT"), port["containerPort"].to_string());
    }
}

/// A pod that one of them takes for enrolled and the other does not is captured without an identity, or has one without need.
#[test]
fn agents_and_control_plane_are_told_the_same_of_who_is_in_the_mesh() {
    let selectors = json!([{ "namespaceSelector": { "matchLabels": { "team": "payments" } } }]);
    let told = |values: &Value, variable: &str| {
        let rendered = render(values).unwrap();
        let of = |program| {
            let container = rendered.container(program);
            let found = container.environment().into_iter().find(|(name, _)| *name == variable);
            found.and_then(|(_, value)| value.map(str::to_owned))
        };
        assert_eq!(of("culvert-agent"), of("culvert-control"), "{variable} with {values}");
        of("culvert-agent")
    };
    for (values, excluded) in [
        (json!({}), "kube-system,culvert-system"),
        (json!({ "excludeNamespaces": ["infra"] }), "infra,culvert-system"),
    ] {
        assert_eq!(told(&values, "EXCLUDE_NAMESPACES").as_deref(), Some(excluded));
        assert_eq!(told(&values, "AMBIENT_ENABLEMENT_SELECTOR"), None);
    }
    let values = json!({ "agent": { "enablementSelectors": selectors } });
    let text = told(&values, "AMBIENT_ENABLEMENT_SELECTOR").unwrap();
    assert_eq!(serde_saphyr::from_str::<Value>(&text).unwrap(), selectors);
}

#[test]
fn who_is_in_the_mesh_is_said_to_both_or_not_at_all() {
    for (name, instead) in [
        ("EXCLUDE_NAMESPACES", "excludeNamespaces"),
        ("AMBIENT_ENABLEMENT_SELECTOR", "agent.enablementSelectors"),
    ] {
        for program in ["agent", "control"] {
            let values = json!({ program: { "env": { name: "" } } });
            let error = render(&values).expect_err(&values.to_string());
            let named = format!("{program}.env.{name}: ");
            assert!(error.contains(&named) && error.contains(&format!("value {instead}")), "{error}");
        }
    }
}

/// `culvert --kube-node` and whoever scrapes go by these.
#[test]
fn pods_can_be_found() {
    let rendered = render(&json!({ "node": { "podLabels": { "app": "mine", "team": "net" } } })).unwrap();
    for (name, port) in [("culvert-node", "15020"), ("culvert-agent", "15014"), ("culvert-control", "15014")]
    {
        let metadata = &rendered.template(name)["metadata"];
        assert_eq!(metadata["labels"]["app"], name, "whatever else is wanted");
        assert_eq!(metadata["labels"]["istio.io/dataplane-mode"], "none");
        assert_eq!(metadata["annotations"]["prometheus.io/port"], port);
    }
    assert_eq!(rendered.template("culvert-node")["metadata"]["labels"]["team"], "net");
}

/// Both ends of each socket and file on the host are at one place, wherever the platform has it.
#[test]
fn agent_node_and_host_meet() {
    let rendered = render(&json!({ "platform": "k3s" })).unwrap();
    let (agent, node) = (rendered.container("culvert-agent"), rendered.container("culvert-node"));
    let (agents, nodes) = (mounts(&agent), mounts(&node));
    let socket = ("/var/run/ztunnel".to_owned(), "/var/run/ztunnel".to_owned());
    assert!(agents.contains(&socket) && nodes.contains(&socket), "{agents:?} {nodes:?}");
    // The host's plugin finds the socket, and the agent what it has written down, by the same paths as in the container.
    for same in ["/var/run/culvert", "/var/lib/culvert"] {
        assert!(agents.contains(&(same.to_owned(), same.to_owned())), "{agents:?}");
    }
    let (k3s, arguments) = ("/var/lib/rancher/k3s", agent.arguments());
    for (flag, host) in [
        ("--cni-bin-dir", format!("{k3s}/data/cni")),
        ("--cni-conf-dir", format!("{k3s}/agent/etc/cni/net.d")),
    ] {
        let inside = arguments.iter().find_map(|it| it.strip_prefix(&format!("{flag}="))).unwrap();
        assert!(agents.contains(&(host, inside.to_owned())), "{flag}: {agents:?}");
    }
    assert!(agents.contains(&("/var/run/netns".to_owned(), "/host/var/run/netns".to_owned())));
}

/// Or else a change waits for somebody to restart the pods.
#[test]
fn a_changed_setting_replaces_the_pods_it_is_for() {
    let all = ["culvert-control", "culvert-agent", "culvert-node"];
    let changes: [(Value, &[&str]); 13] = [
        (json!({ "clusterDomain": "corp.example" }), &["culvert-control", "culvert-node"]),
        (json!({ "dnsCapture": false }), &["culvert-agent", "culvert-node"]),
        (json!({ "ipv6": false }), &["culvert-agent", "culvert-node"]),
        (json!({ "logging": { "level": "debug" } }), &all),
        (json!({ "excludeNamespaces": ["legacy"] }), &["culvert-control", "culvert-agent"]),
        (
            json!({ "agent": { "enablementSelectors": [{ "podSelector": {} }] } }),
            &["culvert-control", "culvert-agent"],
        ),
        (json!({ "agent": { "takeBack": true } }), &["culvert-agent"]),
        (json!({ "control": { "waypointUnready": "bypass" } }), &["culvert-control"]),
        (json!({ "control": { "tokenAudiences": ["culvert"] } }), &["culvert-control", "culvert-node"]),
        (json!({ "validation": { "enabled": false } }), &[]),
        (json!({ "confinement": { "enabled": false } }), &[]),
        (json!({ "issuer": "spire-delegated" }), &["culvert-node"]),
        (json!({ "node": { "onDemand": true } }), &["culvert-node"]),
    ];
    let before = render(&json!({})).unwrap();
    for (values, expected) in changes {
        let after = render(&values).unwrap();
        let replaced: Vec<_> =
            all.into_iter().filter(|it| before.template(it) != after.template(it)).collect();
        assert_eq!(replaced, expected, "{values}");
    }
}

/// The whole mesh, and nobody who kills a node proxy, unless somebody wants that.
#[test]
fn a_node_is_told_what_it_is_to_know_and_may_be_watched() {
    let usual = render(&json!({})).unwrap();
    let usual = usual.container("culvert-node");
    assert!(usual.environment().iter().all(|it| it.0 != "XDS_ON_DEMAND"));
    assert_eq!(usual.it.get("livenessProbe"), None);
    let rendered = render(&json!({ "node": { "onDemand": true, "livenessProbe": true } })).unwrap();
    let node = rendered.container("culvert-node");
    assert_eq!(node.variable("XDS_ON_DEMAND"), "true");
    let probe = &node.it["livenessProbe"];
    assert_eq!(probe["httpGet"], json!({ "path": "/healthz/live", "port": "readiness" }));
    // Not at the first answer that comes late.
    let patience = probe["periodSeconds"].as_u64().unwrap() * probe["failureThreshold"].as_u64().unwrap();
    assert!(patience >= 60, "{probe}");
    // Whoever says it by hand is heard.
    let by_hand =
        render(&json!({ "node": { "onDemand": true, "env": { "XDS_ON_DEMAND": false } } })).unwrap();
    assert_eq!(by_hand.container("culvert-node").variable("XDS_ON_DEMAND"), "false");
}

/// Two agents on a node would undo each other; a node proxy that ends before the next one listens refuses connections.
#[test]
fn nodes_overlap_and_agents_do_not() {
    let rendered = render(&json!({})).unwrap();
    let update = |name| rendered.named("DaemonSet", name)["spec"]["updateStrategy"]["rollingUpdate"].clone();
    assert_eq!(update("culvert-node"), json!({ "maxSurge": 1, "maxUnavailable": 0 }));
    assert_eq!(update("culvert-agent"), json!({ "maxSurge": 0, "maxUnavailable": 1 }));
}

#[test]
fn taking_back_ends_before_a_node_is_ready() {
    let rendered = render(&json!({ "agent": { "takeBack": true } })).unwrap();
    let (first, then) = (rendered.container("take-back"), rendered.container("culvert-agent"));
    assert_eq!(first.workload["spec"]["template"]["spec"]["initContainers"][0], *first.it);
    let usual = render(&json!({})).unwrap();
    let usual = usual.container("culvert-agent");
    let mut arguments = usual.arguments();
    arguments.push("--cleanup".to_owned());
    assert_eq!(
        (first.arguments(), mounts(&first)),
        (arguments, mounts(&usual)),
        "it takes back what was put there"
    );
    assert!(
        then.arguments().contains(&"--pods=/etc/culvert/pods.yaml".to_owned()),
        "nobody is enrolled any more"
    );
    assert_eq!(rendered.named("ConfigMap", "culvert-agent-nothing")["data"]["pods.yaml"], "pods: []\n");
}

/// What a program says it knows.
struct Known {
    variables: BTreeSet<String>,
    words: BTreeSet<String>,
}

impl Known {
    fn of(program: &str) -> Self {
        let mut known = match program {
            "culvert-node" => Self { variables: of_the_table(), words: BTreeSet::new() },
            "culvert-control" => Self::helped(program, &["cluster", "--help"]),
            other => Self::helped(other, &["--help"]),
        };
        known.variables.extend(OF_ALL.map(str::to_owned));
        known.words.insert("cluster".to_owned());
        known
    }

    fn helped(program: &str, words: &[&str]) -> Self {
        let output = Command::new(binary(program)).args(words).output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        let named = |begin: &str, end: &[char]| -> BTreeSet<String> {
            help.split(begin).skip(1).map(|rest| rest.split(end).next().unwrap().to_owned()).collect()
        };
        let flags = named("--", &[' ', '\n', '=', ',', ')', '`', '.', ':']);
        Self {
            variables: named("[env: ", &['=', ']']),
            words: flags.into_iter().map(|it| format!("--{it}")).collect(),
        }
    }
}

/// The table of settings in the README, which a test of the node's compares with what it reads.
fn of_the_table() -> BTreeSet<String> {
    let readme = std::fs::read_to_string(at("README.md")).unwrap();
    let (_, settings) = readme.split_once("\n| variable | default | meaning |\n").unwrap();
    let rows = settings.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    rows.map(str::to_owned).collect()
}

fn binary(program: &str) -> PathBuf {
    programs().unwrap().agent.with_file_name(program)
}

/// Paths of the host, and where they are in the container.
fn mounts(container: &Container<'_>) -> BTreeSet<(String, String)> {
    let volumes = container.workload["spec"]["template"]["spec"]["volumes"].as_array().unwrap();
    let path = |name: &Value| {
        let volume =
            volumes.iter().find(|it| it["name"] == *name).unwrap_or_else(|| panic!("no volume {name}"));
        volume["hostPath"]["path"].as_str().map(str::to_owned)
    };
    let mounts = container.it["volumeMounts"].as_array().unwrap().iter();
    mounts.filter_map(|it| Some((path(&it["name"])?, it["mountPath"].as_str().unwrap().to_owned()))).collect()
}
