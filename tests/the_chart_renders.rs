//! The Helm chart makes objects that Kubernetes takes and our programs understand, gives nobody more rights than are needed, and what
//! is written down of it is what it makes.

mod issuers;
mod monitors;
mod resources;
mod rights;
mod settings;
mod upgrades;

use serde_json::{Value, json};

use crate::harness::chart::{at, complaints, lint, manifest, render};

/// The oldest version that takes all of it, and the newest there is a schema of.
const VERSIONS: [&str; 2] = ["1.30", "1.37"];

/// Values as people set them.
fn variants() -> Vec<Value> {
    let platforms = ["", "k3s", "k3d", "microk8s", "minikube", "openshift", "gke", "eks"];
    let mut variants: Vec<Value> = platforms.into_iter().map(|it| json!({ "platform": it })).collect();
    variants.extend([
        json!({ "clusterDomain": "corp.example", "trustDomain": "prod.example", "network": "east", "clusterId": "east-1" }),
        json!({ "control": { "replicas": 1, "moreNames": ["mesh.example"], "moreTrustedNodeAccounts": ["istio-system/ztunnel"],
            "waypointUnready": "bypass", "tokenAudiences": ["istio-ca", "culvert"], "affinity": { "nodeAffinity": {} } } }),
        json!({ "agent": { "probes": "snat", "moreCapabilities": ["CHOWN"], "takeBack": true,
            "enablementSelectors": [{ "podSelector": { "matchLabels": { "mesh": "in" } } }] } }),
        json!({ "cni": { "enabled": false }, "validation": { "enabled": false }, "networkPolicy": { "enabled": true } }),
        json!({ "networkPolicy": { "enabled": true, "metricsFrom": [{ "namespaceSelector": {} }] },
            "agent": { "maxUnavailable": "10%" }, "node": { "maxSurge": 5 } }),
        json!({ "cni": { "mode": "own", "confName": "10-calico.conflist", "binDir": "/opt/bin", "confDir": "/etc/net" } }),
        json!({ "node": { "env": { "XDS_ON_DEMAND": true, "HTTP2_FRAME_SIZE": 65536, "RUST_LOG": "debug" },
            "resources": { "limits": { "cpu": 2, "memory": "1Gi" } }, "podLabels": { "team": "net" } } }),
        json!({ "issuer": "spire-delegated", "node": { "onDemand": true, "livenessProbe": true } }),
        json!({ "issuer": "spire-workload", "node": { "env": { "PROXY_MODE": "dedicated" } } }),
        json!({ "ca": { "address": "csr.cert-manager.svc:443", "hostname": "csr.example", "rootConfigMap": "csr" } }),
        json!({ "image": { "hub": "registry.example/mesh", "tag": "1.2.3", "pullSecrets": ["registry"] }, "ipv6": false,
            "dnsCapture": false, "excludeNamespaces": [], "logging": { "format": "json", "level": "warn" } }),
    ]);
    variants
}

#[test]
fn kubernetes_takes_what_it_makes() {
    let mut objects = Vec::new();
    for values in variants() {
        assert_eq!(lint(&values), [""; 0], "Helm's linter, with {values}");
        let rendered = render(&values).unwrap_or_else(|error| panic!("{values}: {error}"));
        let new = rendered.objects.into_iter().filter(|it| !objects.contains(it)).collect::<Vec<_>>();
        objects.extend(new);
    }
    assert!(objects.len() > 40, "variants differ");
    let complaints = complaints(&VERSIONS, &objects);
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn values_it_does_not_know_are_refused() {
    let wrong = [
        (json!({ "agnet": {} }), "agnet"),
        (json!({ "agent": { "probe": "snat" } }), "probe"),
        (json!({ "agent": { "probes": "ebpf" } }), "/agent/probes"),
        (json!({ "agent": { "moreCapabilities": ["SYS_MODULE"] } }), "/agent/moreCapabilities"),
        (json!({ "node": { "env": { "XDS ADDRESS": "x" } } }), "XDS ADDRESS"),
        (json!({ "node": { "resources": { "limit": {} } } }), "limit"),
        (json!({ "control": { "replicas": 0 } }), "/control/replicas"),
        (json!({ "control": { "tokenAudiences": [] } }), "/control/tokenAudiences"),
        (
            json!({ "control": { "moreTrustedNodeAccounts": ["ztunnel"] } }),
            "/control/moreTrustedNodeAccounts",
        ),
        (json!({ "image": { "hub": "" } }), "/image/hub"),
        (json!({ "platform": "k4s" }), "/platform"),
        (json!({ "clusterDomain": "Corp Example" }), "/clusterDomain"),
        (json!({ "cni": { "binDir": "opt/cni/bin" } }), "/cni/binDir"),
        (json!({ "ipv6": "no" }), "/ipv6"),
        (json!({ "issuer": "vault" }), "/issuer"),
        (json!({ "monitoring": { "podMonitors": true } }), "/monitoring/podMonitors"),
        (json!({ "ca": { "address": "https://csr:443" } }), "/ca/address"),
        (json!({ "ca": { "address": "csr" } }), "/ca/address"),
        // The directory of a socket is mounted, and must not be the whole host.
        (json!({ "spire": { "adminSocket": "/admin.sock" } }), "/spire/adminSocket"),
        (json!({ "spire": { "adminSocket": "/run/../admin.sock" } }), "/spire/adminSocket"),
        (json!({ "spire": { "workloadSocket": "unix:///run/agent.sock" } }), "/spire/workloadSocket"),
    ];
    for (values, named) in wrong {
        let error = render(&values).expect_err(&values.to_string());
        assert!(error.contains(named), "{values}: {named} is named: {error}");
    }
}

#[test]
fn the_manifests_are_what_it_makes() {
    let committed = std::fs::read_to_string(at("deploy/manifests/culvert.yaml")).unwrap();
    assert!(
        committed == manifest(),
        "deploy/manifests/culvert.yaml is behind the chart: run `make manifests`"
    );
}

#[test]
fn whoever_installs_it_is_told_what_comes_next() {
    let notes = render(&json!({})).unwrap().notes;
    for command in [
        "rollout status daemonset/culvert-node",
        "kubectl label namespace default istio.io/dataplane-mode=ambient",
    ] {
        assert!(notes.contains(command), "{notes}");
    }
    let taken_back = render(&json!({ "agent": { "takeBack": true } })).unwrap().notes;
    assert!(taken_back.contains("rollout status daemonset/culvert-agent"), "{taken_back}");
}

/// What stands in `deploy/istio` must be a value of that chart's that replaces the image alone.
#[test]
fn the_image_for_istios_chart_is_that_of_the_node() {
    let text = std::fs::read_to_string(at("deploy/istio/ztunnel-values.yaml")).unwrap();
    let values: Value = serde_saphyr::from_str(&text).unwrap();
    let rendered = render(&json!({})).unwrap();
    assert_eq!(values, json!({ "image": rendered.container("culvert-node").it["image"] }));
}
