//! Who scrapes by the chart's PodMonitors gets the jobs that alerts and dashboards go by.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Value, json};

use crate::harness::chart::{Cluster, Rendered, at, render, render_for};

/// The kind of the Prometheus operator's, as clusters name what they know.
const API: &str = "monitoring.coreos.com/v1/PodMonitor";

const PROGRAMS: [&str; 3] = ["culvert-agent", "culvert-control", "culvert-node"];

fn wanted(when: &str) -> Value {
    json!({ "monitoring": { "podMonitors": when } })
}

#[test]
fn monitors_are_made_where_they_are_wanted_and_known() {
    let (bare, with) = (
        Cluster { version: None, apis: &[] },
        Cluster { version: None, apis: &["monitoring.coreos.com/v1", API] },
    );
    for (values, cluster, expected) in [
        (json!({}), with, 0),
        (wanted("never"), with, 0),
        (wanted("whereKnown"), bare, 0),
        (wanted("whereKnown"), with, 3),
        (wanted("always"), bare, 3),
    ] {
        let rendered = render_for(cluster, &values).unwrap();
        assert_eq!(rendered.of_kind("PodMonitor").count(), expected, "{values} {cluster:?}");
    }
    let labelled = json!({ "monitoring": { "podMonitors": "always", "interval": "15s",
        "labels": { "release": "prometheus", "app.kubernetes.io/name": "mine" } } });
    let rendered = render(&labelled).unwrap();
    for monitor in rendered.of_kind("PodMonitor") {
        let name = &monitor["metadata"]["name"];
        let labels = &monitor["metadata"]["labels"];
        assert_eq!((&labels["release"], &labels["app.kubernetes.io/name"]), (&json!("prometheus"), name));
        assert_eq!(monitor["spec"]["podMetricsEndpoints"][0]["interval"], "15s");
    }
}

#[test]
fn jobs_are_those_alerts_and_dashboards_go_by() {
    let rendered = render(&wanted("always")).unwrap();
    let jobs = jobs(&rendered);
    let ports: Vec<_> = jobs.iter().map(|(job, port)| (&**job, *port)).collect();
    assert_eq!(ports, [("culvert-agent", 15014), ("culvert-control", 15014), ("culvert-node", 15020)]);
    let asked = asked();
    assert!(asked.contains("culvert-node") && asked.contains("culvert-agent"), "{asked:?}");
    for job in asked {
        let found = match job.strip_suffix(".*") {
            Some(beginning) => jobs.keys().filter(|it| it.starts_with(beginning)).count() == jobs.len(),
            None => jobs.contains_key(&job),
        };
        assert!(found, "{job} is asked for, and scraped are {jobs:?}");
    }
}

/// The operator puts labels of its own onto everything, some of which ours have, too: those of ours are the ones that are asked for.
#[test]
fn labels_of_ours_are_kept() {
    let rendered = render(&wanted("always")).unwrap();
    for monitor in rendered.of_kind("PodMonitor") {
        let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
        assert_eq!(endpoint["honorLabels"], true, "{monitor}");
        // What alerts call a node, and how dashboards choose one.
        let instance = endpoint["relabelings"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|it| it["targetLabel"] == "instance");
        let is_everywhere = monitor["metadata"]["name"] != "culvert-control";
        assert_eq!(instance.is_some(), is_everywhere, "{monitor}");
        assert!(instance.is_none_or(|it| it["sourceLabels"] == json!(["__meta_kubernetes_pod_node_name"])));
    }
}

/// The jobs the operator makes of the monitors, and the ports that are scraped.
#[track_caller]
fn jobs(rendered: &Rendered) -> BTreeMap<String, u64> {
    let mut jobs = BTreeMap::new();
    for monitor in rendered.of_kind("PodMonitor") {
        let spec = &monitor["spec"];
        let selected = spec["selector"]["matchLabels"].as_object().unwrap();
        let of = |program: &&str| {
            let labels = &rendered.template(program)["metadata"]["labels"];
            selected.iter().all(|(key, value)| labels[key] == *value)
        };
        let [program] = *PROGRAMS.into_iter().filter(of).collect::<Vec<_>>() else {
            panic!("not one program: {monitor}")
        };
        let labels = &rendered.template(program)["metadata"]["labels"];
        let job = labels[spec["jobLabel"].as_str().unwrap()].as_str().unwrap();
        let [endpoint] = &**spec["podMetricsEndpoints"].as_array().unwrap() else { panic!("{monitor}") };
        assert_eq!(endpoint["path"], "/metrics");
        let container = rendered.container(program);
        let port = container.it["ports"].as_array().unwrap().iter().find(|it| it["name"] == endpoint["port"]);
        jobs.insert(job.to_owned(), port.unwrap()["containerPort"].as_u64().unwrap());
    }
    jobs
}

/// The jobs that alerts and dashboards ask for, by name or by how their names begin.
fn asked() -> BTreeSet<String> {
    let dashboards = fs::read_dir(at("deploy/dashboards")).unwrap().map(|it| it.unwrap().path());
    let files = dashboards.chain([at("deploy/alerts/culvert.rules.yaml")]);
    let mut asked = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap().replace("\\\"", "\"");
        for matcher in text.split("job=").skip(1) {
            let value = matcher.trim_start_matches('~').strip_prefix('"').and_then(|it| it.split('"').next());
            asked.insert(value.unwrap_or_else(|| panic!("what is job={matcher:.40}?")).to_owned());
        }
    }
    asked
}
