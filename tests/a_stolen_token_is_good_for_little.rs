//! Whoever has the token of one of our accounts can do with it what the program does, where it does it, and nothing else; nobody else is
//! ever refused anything by what sees to that.
//!
//! The very expressions of the chart are evaluated, by the CEL evaluator of CEL's authors.

mod requests;

use serde_json::{Value, json};

use crate::harness::chart::{Cluster, Rendered, refusals, render, render_for, render_in};
use crate::harness::one_node::OneNode;
use requests::{AGENT, CONTROL, NODE, by, created, event, merged, pod, service, updated};

/// What is said to each request by the policies that are about accounts.
#[track_caller]
fn said_in(rendered: &Rendered, requests: &[Value]) -> Vec<Vec<String>> {
    let is_about_accounts = |it: &&Value| {
        it["spec"]["matchConditions"].to_string().contains("system:serviceaccount:")
            && it["kind"] == "ValidatingAdmissionPolicy"
    };
    let policies: Vec<_> = rendered.objects.iter().filter(is_about_accounts).collect();
    assert_eq!(policies.len(), 4);
    for policy in &policies {
        let name = policy["metadata"]["name"].as_str().unwrap();
        let binding = &rendered.named("ValidatingAdmissionPolicyBinding", name)["spec"];
        assert_eq!((&binding["policyName"], &binding["validationActions"]), (&json!(name), &json!(["Deny"])));
        assert_eq!(policy["spec"]["failurePolicy"], "Fail", "{name}");
    }
    refusals(&policies, requests)
}

#[track_caller]
fn said(requests: &[Value]) -> Vec<Vec<String>> {
    said_in(&render(&json!({})).unwrap(), requests)
}

/// Asserts that each request is refused, for one reason alone, which says this.
#[track_caller]
fn assert_refused(table: &[(&str, Value, &str)]) {
    let requests: Vec<_> = table.iter().map(|row| row.1.clone()).collect();
    for ((what, _, reason), messages) in table.iter().zip(said(&requests)) {
        let [message] = &*messages else { panic!("{what}: one thing is wrong, {messages:?}") };
        assert!(message.contains(reason), "{what}: {message}");
    }
}

#[track_caller]
fn assert_taken(table: &[(&str, Value)]) {
    let requests: Vec<_> = table.iter().map(|row| row.1.clone()).collect();
    for ((what, _), messages) in table.iter().zip(said(&requests)) {
        assert_eq!(messages, [""; 0], "{what}");
    }
}

fn claims(value: &Value) -> Value {
    json!({ "metadata": { "uid": "u", "annotations": { "ambient.istio.io/redirection": value } } })
}

fn of_agent(change: Value) -> Value {
    by(AGENT, Some(NODE), updated("pods/status", &pod(NODE), &change))
}

#[test]
fn an_agent_writes_its_annotation_on_pods_of_its_node() {
    let mut has_one = pod(NODE);
    has_one["metadata"]["annotations"] = json!({ "ambient.istio.io/redirection": "enabled" });
    let off = updated("pods/status", &has_one, &claims(&Value::Null));
    let mut bare = pod(NODE);
    bare["metadata"] = json!({ "name": "web", "namespace": "shop", "uid": "u" });
    assert_taken(&[
        ("in", of_agent(claims(&json!("enabled")))),
        ("not yet", of_agent(claims(&json!("pending")))),
        ("out", of_agent(claims(&Value::Null))),
        ("out, and no annotation is left", by(AGENT, Some(NODE), off)),
        (
            "the first annotation",
            by(AGENT, Some(NODE), updated("pods/status", &bare, &claims(&json!("enabled")))),
        ),
    ]);
}

#[test]
fn it_writes_nothing_else() {
    let change = |annotations: Value| of_agent(json!({ "metadata": { "annotations": annotations } }));
    let (one, rest) = ("Of all annotations", "Agents change one annotation");
    assert_refused(&[
        ("a port is excluded", change(json!({ "culvert.dev/exclude-inbound-ports": "80" })), one),
        ("an annotation of others", change(json!({ "team": "mine" })), one),
        ("one is taken off", change(json!({ "team": null })), one),
        ("all are", change(Value::Null), one),
        ("beside ours", change(json!({ "ambient.istio.io/redirection": "enabled", "a": "b" })), one),
        (
            "some other word",
            change(json!({ "ambient.istio.io/redirection": "ENABLED" })),
            "enabled or pending",
        ),
        (
            "out of the mesh",
            of_agent(json!({ "metadata": { "labels": { "istio.io/dataplane-mode": "none" } } })),
            rest,
        ),
        ("a label more", of_agent(json!({ "metadata": { "labels": { "app": "db" } } })), rest),
        ("no labels", of_agent(json!({ "metadata": { "labels": null } })), rest),
        ("a finalizer", of_agent(json!({ "metadata": { "finalizers": ["mine/stays"] } })), rest),
        ("an owner", of_agent(json!({ "metadata": { "ownerReferences": [{ "name": "x" }] } })), rest),
        ("a phase", of_agent(json!({ "status": { "phase": "Failed" } })), rest),
        ("an address", of_agent(json!({ "status": { "podIP": "10.6.6.6" } })), rest),
        (
            "a condition",
            of_agent(json!({ "status": { "conditions": [{ "type": "Ready", "status": "False" }] } })),
            rest,
        ),
        ("no status", of_agent(json!({ "status": null })), rest),
    ]);
}

#[test]
fn it_writes_on_no_other_node() {
    let change = claims(&json!("enabled"));
    let on = |node: Option<&str>, pod: &Value| by(AGENT, node, updated("pods/status", pod, &change));
    let mut nowhere = pod(NODE);
    nowhere["spec"] = json!({ "containers": [] });
    let mut moved = updated("pods/status", &pod("node-b"), &change);
    moved["object"]["spec"]["nodeName"] = json!(NODE);
    let mut two = on(Some(NODE), &pod("node-b"));
    two["userInfo"]["extra"] = json!({ "authentication.kubernetes.io/node-name": [NODE, "node-b"] });
    let mut other_key = on(None, &pod(NODE));
    other_key["userInfo"]["extra"] =
        json!({ "authentication.kubernetes.io/pod-name": ["a"], "node-name": [NODE] });
    let mut no_extra = on(None, &pod(NODE));
    no_extra["userInfo"].as_object_mut().unwrap().remove("extra");
    let elsewhere = "this pod is elsewhere";
    assert_refused(&[
        ("a pod of another node", on(Some(NODE), &pod("node-b")), elsewhere),
        ("one whose name begins alike", on(Some("node"), &pod(NODE)), elsewhere),
        ("a pod that is nowhere yet", on(Some(NODE), &nowhere), elsewhere),
        ("a token of two nodes", two, elsewhere),
        ("a token that names no node", other_key, elsewhere),
        ("somebody who says to be the agent", no_extra, elsewhere),
        ("a token of an empty name", on(Some(""), &nowhere), elsewhere),
    ]);
    // What the pod is said to be is not what it is.
    assert!(said(&[by(AGENT, Some(NODE), moved)])[0].iter().any(|it| it.contains(elsewhere)));
}

#[test]
fn its_events_are_its_own() {
    let change = |change: Value| by(AGENT, Some(NODE), created("events", merged(&event(NODE), &change)));
    let long = "n".repeat(200);
    let shortened = created("events", event(&long[..128]));
    assert_taken(&[
        ("as it says them", change(json!({}))),
        ("a node's name that is too long for one", by(AGENT, Some(&long), shortened.clone())),
    ]);
    assert_refused(&[
        ("kubelet's", change(json!({ "reportingController": "kubelet" })), "are of culvert.dev/agent"),
        ("nobody's", change(json!({ "reportingController": null })), "are of culvert.dev/agent"),
        ("another node's", change(json!({ "reportingInstance": "node-b" })), "from its own node"),
        ("a part of the name", change(json!({ "reportingInstance": "node" })), "from its own node"),
        ("no node's", change(json!({ "reportingInstance": null })), "from its own node"),
        ("another long node's", by(AGENT, Some(&format!("m{}", &long[1..])), shortened), "from its own node"),
        ("about a node", change(json!({ "regarding": { "kind": "Node" } })), "about pods"),
        ("about nothing", change(json!({ "regarding": null })), "about pods"),
        ("of elsewhere", change(json!({ "regarding": { "namespace": "bank" } })), "about pods"),
        ("about more", change(json!({ "related": { "kind": "Node", "name": "a" } })), "about pods"),
    ]);
}

/// Before Kubernetes 1.32 a cluster may be told not to name nodes in tokens; enrolment goes on there. Where it does name them, a token of
/// another node is refused as ever.
#[test]
fn where_tokens_may_name_no_node_enrolment_goes_on() {
    let change = claims(&json!("enabled"));
    let label = json!({ "metadata": { "labels": { "app": "db" } } });
    let requests = [
        by(AGENT, None, updated("pods/status", &pod(NODE), &change)),
        by(AGENT, None, created("events", event(NODE))),
        by(AGENT, Some(NODE), updated("pods/status", &pod(NODE), &change)),
        by(AGENT, Some("node-b"), updated("pods/status", &pod(NODE), &change)),
        by(AGENT, Some("node-b"), created("events", event(NODE))),
        by(AGENT, None, updated("pods/status", &pod(NODE), &label)),
    ];
    let refused = |version| {
        let cluster = Cluster { version: Some(version), apis: &[] };
        let rendered = render_for(cluster, &json!({})).unwrap();
        said_in(&rendered, &requests).iter().map(|it| !it.is_empty()).collect::<Vec<_>>()
    };
    for version in ["v1.30.0", "v1.31.9-gke.1"] {
        assert_eq!(refused(version), [false, false, false, true, true, true], "{version}");
    }
    for version in ["v1.32.0-eks-1", "v1.36.0"] {
        assert_eq!(refused(version), [true, true, false, true, true, true], "{version}");
    }
}

/// What a cluster cannot check it is not asked to check, and whoever installs is told.
#[test]
fn where_there_are_no_such_policies_it_is_said() {
    let old = Cluster { version: Some("v1.29.4"), apis: &[] };
    let rendered = render_for(old, &json!({})).unwrap();
    assert_eq!(rendered.of_kind("ValidatingAdmissionPolicy").count(), 0);
    assert!(rendered.notes.contains("anywhere (docs/security-model.md)"), "{}", rendered.notes);
    let rendered = render(&json!({ "confinement": { "enabled": false } })).unwrap();
    assert_eq!(rendered.of_kind("ValidatingAdmissionPolicy").count(), 2, "those about policies");
    // Who has switched it off knows.
    assert!(!rendered.notes.contains("anywhere"), "{}", rendered.notes);
    assert!(!render(&json!({})).unwrap().notes.contains("anywhere"));
}

#[test]
fn the_control_plane_writes_conditions_of_services_and_nothing_else() {
    let change = |change: Value| by(CONTROL, Some(NODE), updated("services/status", &service(), &change));
    let condition = json!({ "type": "istio.io/WaypointBound", "status": "True" });
    assert_taken(&[
        ("a condition", change(json!({ "status": { "conditions": [condition] } }))),
        ("none", change(json!({ "status": { "conditions": null } }))),
    ]);
    let rest = "conditions into the status of Services";
    let address = json!([{ "ip": "8.8.8.8" }]);
    assert_refused(&[
        ("traffic for others", change(json!({ "status": { "loadBalancer": { "ingress": address } } })), rest),
        ("traffic for nobody", change(json!({ "status": { "loadBalancer": null } })), rest),
        ("no status", change(json!({ "status": null })), rest),
        ("a waypoint", change(json!({ "metadata": { "labels": { "istio.io/use-waypoint": "x" } } })), rest),
        ("an annotation", change(json!({ "metadata": { "annotations": { "a": "b" } } })), rest),
        ("no finalizer", change(json!({ "metadata": { "finalizers": null } })), rest),
        ("an owner", change(json!({ "metadata": { "ownerReferences": [{ "name": "x" }] } })), rest),
        ("ports", change(json!({ "spec": { "ports": [] } })), rest),
    ]);
}

#[test]
fn the_control_plane_makes_what_it_publishes_and_nothing_else() {
    let object = |kind: &str, name: &str, of_type: Value| {
        let metadata = json!({ "name": name, "namespace": "kube-system" });
        let object = json!({ "apiVersion": "v1", "kind": kind, "metadata": metadata, "type": of_type });
        let resource = if kind == "Secret" { "secrets" } else { "configmaps" };
        by(CONTROL, Some(NODE), created(resource, merged(&object, &json!({}))))
    };
    assert_taken(&[
        ("roots", object("ConfigMap", "istio-ca-root-cert", Value::Null)),
        ("its root", object("Secret", "istio-ca-secret", json!("istio.io/ca-root"))),
    ]);
    let mut unnamed = object("ConfigMap", "x", Value::Null);
    unnamed["object"]["metadata"] = json!({ "generateName": "istio-ca-root-cert", "namespace": "shop" });
    let makes = "The control plane makes";
    assert_refused(&[
        ("settings of others", object("ConfigMap", "coredns-custom", Value::Null), makes),
        ("without a name", unnamed, makes),
        (
            "somebody's token",
            object("Secret", "istio-ca-secret", json!("kubernetes.io/service-account-token")),
            makes,
        ),
        ("of no type", object("Secret", "istio-ca-secret", Value::Null), makes),
        ("another name", object("Secret", "cacerts", json!("istio.io/ca-root")), makes),
    ]);
}

/// Kubelets, people and other controllers do all of it.
#[test]
fn nobody_else_is_held_to_it() {
    let bad = |resource: &str, object: &Value| {
        updated(resource, object, &json!({ "metadata": { "labels": null }, "status": null }))
    };
    let requests = |who: &Value| {
        let mut requests = [
            bad("pods/status", &pod("node-b")),
            bad("services/status", &service()),
            created("events", merged(&event("x"), &json!({ "regarding": null }))),
            created(
                "configmaps",
                json!({ "apiVersion": "v1", "metadata": { "name": "x", "namespace": "y" } }),
            ),
            created("secrets", json!({ "apiVersion": "v1", "metadata": { "name": "x", "namespace": "y" } })),
        ];
        requests.iter_mut().for_each(|it| it["userInfo"] = who.clone());
        requests
    };
    let elsewhere = "system:serviceaccount:other:culvert-agent";
    for who in [
        json!({ "username": "system:node:node-b", "groups": ["system:nodes"] }),
        json!({ "username": "jane", "extra": { "authentication.kubernetes.io/node-name": ["a"] } }),
        json!({ "username": elsewhere }),
        json!({ "username": "system:serviceaccount:culvert-system:culvert-agent-2" }),
        json!({ "groups": ["system:unauthenticated"] }),
    ] {
        for (request, messages) in requests(&who).iter().zip(said(&requests(&who))) {
            assert_eq!(messages, [""; 0], "{who}: {request}");
        }
    }
    // The account is that of the release, wherever that is.
    let there = render_in("other", &json!({})).unwrap();
    let refused: Vec<_> = said_in(&there, &requests(&json!({ "username": elsewhere })))
        .iter()
        .map(|it| !it.is_empty())
        .collect();
    assert_eq!(refused, [true, false, true, false, false]);
}

/// What an agent really sends, while a pod gets into the mesh and out again.
#[test]
fn the_agent_itself_is_refused_nothing() {
    let node = OneNode::start("confined", &["shop"]);
    node.kubernetes.label_namespace("shop", Some("ambient"));
    let container = node.run("shop", "web");
    let web = container.pod();
    node.wait_until_in(&[web]);
    node.wait_for_event(web, "CulvertEnrolled");
    node.kubernetes.label_namespace("shop", None);
    node.wait_until_out(&[web]);
    node.wait_for_event(web, "CulvertLeft");

    let (api, name) = (&node.kubernetes.api, node.node.name());
    let mut object = api.object("pods", "shop", "web").unwrap();
    assert_eq!(object["spec"]["nodeName"], name);
    object["apiVersion"] = json!("v1");
    let mut sent = Vec::new();
    for request in api.lab().requests_of("patch", "pods/status") {
        sent.push(by(AGENT, Some(name), updated("pods/status", &object, &request.body)));
    }
    assert!(sent.len() >= 2, "in and out: {sent:?}");
    let events = api.lab().requests_of("create", "events");
    assert!(events.len() >= 2, "in and out: {events:?}");
    sent.extend(events.into_iter().map(|it| by(AGENT, Some(name), created("events", it.body))));
    for (request, messages) in sent.iter().zip(said(&sent)) {
        assert_eq!(messages, [""; 0], "{request}");
    }
}
