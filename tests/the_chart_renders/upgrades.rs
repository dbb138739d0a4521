//! What an upgrade and a rollback do, as docs/upgrade.md says it.

use serde_json::{Value, json};

use crate::harness::chart::{Rendered, at, render};

#[test]
fn parts_are_replaced_as_the_page_says() {
    let rendered = render(&json!({})).unwrap();
    let page = std::fs::read_to_string(at("docs/upgrade.md")).unwrap();
    let rows: Vec<_> = page.lines().filter_map(row).collect();
    assert_eq!(rows.len(), 3, "{rows:?}");
    for (part, kind, said) in rows {
        let workload = rendered.named(kind, part);
        let pod = &workload["spec"]["template"]["spec"];
        let update = if kind == "DaemonSet" { "updateStrategy" } else { "strategy" };
        let update = &workload["spec"][update]["rollingUpdate"];
        for key in ["maxSurge", "maxUnavailable"] {
            assert!(said.contains(&format!("`{key}: {}`", update[key])), "{part}: {update}: {said}");
        }
        let priority = pod["priorityClassName"].as_str().unwrap();
        assert!(said.contains(&format!("priority `{priority}`")), "{part}: {priority}: {said}");
        if part == "culvert-node" {
            let grace = format!("ends within {} seconds", pod["terminationGracePeriodSeconds"]);
            assert!(said.contains(&grace), "{grace}: {said}");
        }
    }
}

/// One replica always answers, wherever others are drained, and they are not all on one node.
#[test]
fn one_control_plane_is_always_there() {
    let rendered = render(&json!({})).unwrap();
    let (budget, deployment) = (
        rendered.named("PodDisruptionBudget", "culvert-control"),
        rendered.named("Deployment", "culvert-control"),
    );
    assert_eq!(budget["spec"]["selector"], deployment["spec"]["selector"]);
    assert_eq!((&budget["spec"]["minAvailable"], &deployment["spec"]["replicas"]), (&json!(1), &json!(2)));
    // One that never gets ready must not keep its node from being drained for ever.
    assert_eq!(budget["spec"]["unhealthyPodEvictionPolicy"], "AlwaysAllow");
    let terms = &deployment["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"];
    let terms = terms["preferredDuringSchedulingIgnoredDuringExecution"].as_array().unwrap();
    let keys: Vec<_> = terms.iter().map(|it| &it["podAffinityTerm"]["topologyKey"]).collect();
    assert_eq!(keys, ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]);
    let alone = render(&json!({ "control": { "replicas": 1 } })).unwrap();
    assert_eq!(alone.of_kind("PodDisruptionBudget").count(), 0, "no node could be drained");
}

#[test]
fn how_many_at_a_time_can_be_said() {
    let values = json!({ "agent": { "maxUnavailable": "10%" }, "node": { "maxSurge": 3 } });
    let rendered = render(&values).unwrap();
    let update = |name| rendered.named("DaemonSet", name)["spec"]["updateStrategy"]["rollingUpdate"].clone();
    // However many: node programs overlap, and agents do not.
    assert_eq!(update("culvert-node"), json!({ "maxSurge": 3, "maxUnavailable": 0 }));
    assert_eq!(update("culvert-agent"), json!({ "maxSurge": 0, "maxUnavailable": "10%" }));
    for values in [json!({ "node": { "maxSurge": 0 } }), json!({ "agent": { "maxUnavailable": "0%" } })] {
        assert!(render(&values).is_err(), "{values} would never end");
    }
}

/// What a release has, a rollback or an uninstall takes back: the root and what it has signed, and policies with their kinds, may not be
/// among it.
#[test]
fn what_must_outlive_a_release_is_not_of_it() {
    for values in [json!({}), json!({ "agent": { "takeBack": true } })] {
        let rendered = render(&values).unwrap();
        for kind in ["Secret", "CustomResourceDefinition", "Namespace", "Lease"] {
            assert_eq!(rendered.of_kind(kind).count(), 0, "{kind}, {values}");
        }
        let maps: Vec<_> = names(&rendered, "ConfigMap");
        assert!(!maps.contains(&"istio-ca-root-cert"), "{maps:?}");
    }
}

fn names<'r>(rendered: &'r Rendered, kind: &str) -> Vec<&'r str> {
    rendered.of_kind(kind).map(|it: &Value| it["metadata"]["name"].as_str().unwrap()).collect()
}

/// A part, its kind, and what is said of it.
fn row(line: &str) -> Option<(&str, &str, &str)> {
    let (part, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
    let (kind, said) = rest.split_once(" | ")?;
    ["Deployment", "DaemonSet"].contains(&kind).then_some((part, kind, said))
}
