//! Who may do what: in the cluster, on the node, and to whom an account leads.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::chart::{Cluster, Rendered, render, render_for, render_in};

/// All that `culvert-agent` may do: group, resource, name or nothing, verb.
const AGENT: &[&str] = &[
    " pods get",
    " pods list",
    " pods watch",
    " namespaces get",
    " namespaces list",
    " namespaces watch",
    " pods/status patch",
    "events.k8s.io events create",
];

#[test]
fn no_right_is_given_by_wildcard() {
    let rendered = everything();
    let rules: Vec<_> = rules(&rendered).collect();
    assert!(rules.len() > 10);
    for rule in rules {
        assert!(!rule.to_string().contains('*'), "{rule}");
    }
}

#[test]
fn the_node_proxy_may_do_nothing_in_the_cluster() {
    let rendered = render(&json!({})).unwrap();
    let pod = &rendered.template("culvert-node")["spec"];
    let account = pod["serviceAccountName"].as_str().unwrap();
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(rendered.named("ServiceAccount", account)["automountServiceAccountToken"], false);
    for kind in ["ClusterRoleBinding", "RoleBinding"] {
        for binding in rendered.of_kind(kind) {
            assert!(!binding["subjects"].to_string().contains(account), "{binding}");
        }
    }
}

#[test]
fn the_agent_may_do_what_it_says_and_nothing_else() {
    let rendered = render(&json!({})).unwrap();
    let expected: BTreeSet<_> = AGENT.iter().map(|it| (*it).to_owned()).collect();
    assert_eq!(granted(rendered.named("ClusterRole", "culvert-agent")), expected);
}

#[test]
fn the_control_plane_writes_what_is_its_own() {
    let rendered = render(&json!({})).unwrap();
    let everywhere = granted(rendered.named("ClusterRole", "culvert-control"));
    let reads = |right: &&String| [" get", " list", " watch"].iter().any(|verb| right.ends_with(verb));
    assert!(everywhere.iter().all(|it| !it.contains("secrets")), "{everywhere:#?}");
    for write in everywhere.iter().filter(|it| !reads(it)) {
        let is_its_own = write.ends_with("/status patch")
            || [
                " configmaps create",
                " configmaps istio-ca-root-cert",
                "authentication.k8s.io tokenreviews create",
            ]
            .iter()
            .any(|begin| write.starts_with(begin));
        assert!(is_its_own, "{write}");
    }
    for right in granted(rendered.named("Role", "culvert-control")) {
        let named = ["cacerts", "istio-ca-secret", "culvert-control"]
            .iter()
            .any(|it| right.contains(&format!(" {it} ")));
        assert!(named || right.ends_with(" create"), "{right}");
        assert!(!right.contains(" cacerts ") || reads(&&right), "whoever plugs it in writes it: {right}");
    }
}

#[test]
fn containers_have_the_capabilities_they_need_and_nothing_else() {
    let expected = [
        ("culvert-control", json!(null), false),
        ("culvert-agent", json!(["NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_PTRACE"]), true),
        ("take-back", json!(["NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_PTRACE"]), true),
        ("culvert-node", json!(["NET_ADMIN", "SYS_ADMIN"]), true),
    ];
    let rendered = render(&json!({ "agent": { "takeBack": true } })).unwrap();
    assert_eq!(rendered.containers().len(), expected.len());
    for (name, capabilities, escalation) in expected {
        let container = rendered.container(name);
        let context = &container.it["securityContext"];
        assert_eq!(context["privileged"], false, "{name}");
        assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
        assert_eq!(context["capabilities"]["drop"], json!(["ALL"]), "{name}");
        assert_eq!(context["capabilities"].get("add").unwrap_or(&Value::Null), &capabilities, "{name}");
        assert_eq!(context["allowPrivilegeEscalation"], escalation, "{name}");
        let pod = &container.workload["spec"]["template"]["spec"];
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        assert_eq!(pod.get("hostNetwork"), None, "{name}");
        let sees_the_host = name != "culvert-control" && name != "culvert-node";
        assert_eq!(pod.get("hostPID").is_some(), sees_the_host, "{name}");
    }
    assert_eq!(rendered.template("culvert-control")["spec"]["securityContext"]["runAsNonRoot"], true);
}

/// Before Kubernetes 1.30 it was said by an annotation for each container.
#[test]
fn agents_see_processes_where_apparmor_is_said_by_annotations() {
    for (version, by_annotation) in [("1.29.0", true), ("1.30.0", false)] {
        let cluster = Cluster { version: Some(version), apis: &[] };
        let rendered = render_for(cluster, &json!({ "agent": { "takeBack": true } })).unwrap();
        for name in ["take-back", "culvert-agent"] {
            let annotation = format!("container.apparmor.security.beta.kubernetes.io/{name}");
            let template = rendered.template("culvert-agent");
            assert_eq!(
                template["metadata"]["annotations"].get(&annotation),
                by_annotation.then_some(&json!("unconfined")),
                "{annotation} for {version}"
            );
            let profile = &rendered.container(name).it["securityContext"]["appArmorProfile"];
            assert_eq!(profile["type"] == "Unconfined", !by_annotation, "{name} for {version}");
        }
        let usual = render_for(cluster, &json!({})).unwrap();
        let text = usual.template("culvert-agent").to_string();
        assert!(!text.contains("take-back"), "there is no such container: {text}");
    }
}

/// Who gets into a container gets no more of what is around it than the program needs.
#[test]
fn containers_are_given_no_more_than_they_need() {
    let spire = json!({ "issuer": "spire-delegated", "agent": { "takeBack": true } });
    for values in [json!({}), spire] {
        let rendered = render(&values).unwrap();
        for container in rendered.containers() {
            let (name, pod) = (&container.it["name"], &container.workload["spec"]["template"]["spec"]);
            assert_eq!(pod["enableServiceLinks"], false, "{name}: settings are those of its pod alone");
            let account = rendered.named("ServiceAccount", pod["serviceAccountName"].as_str().unwrap());
            assert_eq!(account["automountServiceAccountToken"], false, "{name}");
            assert_eq!(pod["automountServiceAccountToken"], container.program() != "culvert-node", "{name}");
            assert!(container.it["resources"]["requests"]["memory"].is_string(), "{name}");
        }
        let writable = |name| {
            let container = rendered.container(name);
            let mounts = container.it["volumeMounts"].as_array().unwrap().iter();
            mounts.filter(|it| it["readOnly"] != true).map(|it| it["mountPath"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(writable("culvert-node"), [""; 0], "it is told what to do, and writes nothing");
        assert!(!writable("culvert-agent").contains(&json!("/host/var/run/netns")));
        assert_eq!(rendered.container("culvert-control").it.get("volumeMounts"), None);
    }
}

#[test]
fn the_network_lets_in_what_is_listened_for() {
    let scraper = json!([{ "namespaceSelector": { "matchLabels": { "name": "monitoring" } } }]);
    let values = json!({ "networkPolicy": { "enabled": true, "metricsFrom": scraper } });
    let rendered = render(&values).unwrap();
    assert_eq!(rendered.of_kind("NetworkPolicy").count(), 3);
    for policy in rendered.of_kind("NetworkPolicy") {
        let name = policy["metadata"]["name"].as_str().unwrap();
        assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress"]));
        let (mut open, mut to_all) = (BTreeSet::new(), BTreeSet::new());
        for rule in policy["spec"]["ingress"].as_array().unwrap() {
            let ports = rule["ports"].as_array().unwrap().iter().map(|it| it["port"].as_u64().unwrap());
            let from = rule.get("from");
            assert!(from.is_none_or(|it| *it == scraper), "{rule}");
            if from.is_none() { &mut to_all } else { &mut open }.extend(ports);
        }
        let container = rendered.container(name);
        let listened = container.it["ports"].as_array().unwrap().iter();
        let listened: BTreeSet<_> = listened.map(|it| it["containerPort"].as_u64().unwrap()).collect();
        assert_eq!(&open | &to_all, listened, "{name}");
        // What is not watched is served: the mesh, to nodes.
        let served = if name == "culvert-control" { BTreeSet::from([15012]) } else { BTreeSet::new() };
        assert_eq!(to_all, served, "{name}");
    }
}

/// OpenShift gives each namespace users of its own, and refuses a pod that wants another one and has no right to.
#[test]
fn openshift_chooses_the_user_of_the_control_plane() {
    let context = |platform: &str| {
        let rendered = render(&json!({ "platform": platform })).unwrap();
        rendered.template("culvert-control")["spec"]["securityContext"].clone()
    };
    assert_eq!(context("")["runAsUser"], 65532);
    assert_eq!(context("openshift").get("runAsUser"), None);
    assert_eq!(context("openshift")["runAsNonRoot"], true);
}

/// A mismatch is no certificate for anybody, for ever.
#[test]
fn the_account_that_is_trusted_is_the_nodes() {
    let values = json!({ "control": { "tokenAudiences": ["culvert", "istio-ca"], "moreTrustedNodeAccounts": ["istio-system/ztunnel"] } });
    for namespace in ["culvert-system", "kube-system"] {
        let rendered = render_in(namespace, &values).unwrap();
        let (control, node) = (rendered.container("culvert-control"), rendered.template("culvert-node"));
        let account = format!("{namespace}/{}", node["spec"]["serviceAccountName"].as_str().unwrap());
        assert_eq!(control.variable("CA_TRUSTED_NODE_ACCOUNTS"), format!("{account},istio-system/ztunnel"));
        let token =
            node["spec"]["volumes"].as_array().unwrap().iter().find(|it| it["name"] == "token").unwrap();
        assert_eq!(token["projected"]["sources"][0]["serviceAccountToken"]["audience"], "culvert");
        assert_eq!(control.variable("TOKEN_AUDIENCES"), "culvert,istio-ca");
    }
}

fn everything() -> Rendered {
    render(&json!({ "platform": "openshift", "networkPolicy": { "enabled": true } })).unwrap()
}

fn rules(rendered: &Rendered) -> impl Iterator<Item = &Value> {
    let roles = rendered.of_kind("ClusterRole").chain(rendered.of_kind("Role"));
    roles.flat_map(|role| role["rules"].as_array().unwrap())
}

/// What a role gives, one by one: group, resource, name if there is one, and verb.
fn granted(role: &Value) -> BTreeSet<String> {
    let list = |value: &Value| -> Vec<String> {
        value
            .as_array()
            .map(|it| it.iter().map(|it| it.as_str().unwrap().to_owned()).collect())
            .unwrap_or_default()
    };
    let mut granted = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        let names = match list(&rule["resourceNames"]) {
            names if names.is_empty() => vec![String::new()],
            names => names.into_iter().map(|name| format!(" {name}")).collect(),
        };
        for group in list(&rule["apiGroups"]) {
            for resource in list(&rule["resources"]) {
                for (name, verb) in
                    names.iter().flat_map(|name| list(&rule["verbs"]).into_iter().map(move |it| (name, it)))
                {
                    granted.insert(format!("{group} {resource}{name} {verb}"));
                }
            }
        }
    }
    granted
}
