//! One row for each thing there is to find: the manifests, with a mark at the line that is to be named, and the finding.

use super::*;

/// What follows this in a text is on the line that is to be named.
const MARK: &str = "#<";

/// Beside an application that is as it should be, this is found in `text`, and nothing else.
#[track_caller]
fn found(name: &str, state: State, path: &str, text: &str) -> Finding {
    let mut all = found_all(text);
    assert_eq!(all.len(), 1, "{all:#?}");
    let finding = all.remove(0);
    let place = finding.place.clone().unwrap();
    let marked = text.lines().position(|line| line.contains(MARK)).unwrap() as u64 + 1;
    let is = (finding.name, finding.state, place.file.as_str(), place.line, place.path.as_deref());
    assert_eq!(
        is,
        (name, state, "row.yaml", marked, Some(path).filter(|path| !path.is_empty())),
        "{finding:#?}"
    );
    finding
}

fn found_all(text: &str) -> Vec<Finding> {
    troubles(&[("good.yaml", GOOD), ("row.yaml", text)])
}

/// A policy for the namespace of the application.
fn policy(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n{spec}"
    )
}

fn namespace(labels: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: other\n  labels:\n{labels}\n")
}

/// A Deployment whose pods have these labels and annotations, and what else is in their specification.
fn deployment(namespace: &str, labels: &str, annotations: &str, spec: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: api\n  namespace: {namespace}\nspec:\n  template:\n    metadata:\n      labels:\n        app: api\n{labels}      annotations:\n        a: b\n{annotations}    spec:\n{spec}      containers: [{{name: a, ports: [{{name: http, containerPort: 80}}]}}]\n"
    )
}

#[test]
fn a_policy_with_a_part_for_http_is_refused_as_a_whole() {
    let spec = "  selector: {matchLabels: {app: web}}\n  rules:\n  - to:\n    - operation:\n        ports: ['80']\n        methods: [GET] #<\n";
    let path = "spec.rules[0].to[0].operation.methods";
    let finding = found("policy-understood", State::Problem, path, &policy("AuthorizationPolicy", "a", spec));
    assert_eq!(finding.place.unwrap().object.as_deref(), Some("AuthorizationPolicy shop/a"));
    assert_eq!(
        finding.why,
        "it is refused as a whole: nobody gets in where it governs (Deployment shop/web)"
    );
    assert!(finding.found.starts_with("only an HTTP proxy can judge by this"), "{}", finding.found);
    let remedy = finding.remedy.unwrap();
    assert!(remedy.starts_with("attach the policy to a waypoint with targetRefs"), "{remedy}");
}

#[test]
fn what_makes_no_sense_in_a_peer_authentication_refuses_plaintext() {
    let spec = "  mtls:\n    mode: STRIKT #<\n  selector: {matchLabels: {app: web}}\n";
    let text = policy("PeerAuthentication", "a", spec);
    let finding = found("policy-understood", State::Problem, "spec.mtls.mode", &text);
    let why = "it is refused as a whole: plaintext is refused where it governs (Deployment shop/web)";
    assert_eq!(finding.why, why);
    assert_eq!(finding.remedy.as_deref(), Some("write UNSET, DISABLE, PERMISSIVE or STRICT"));
}

#[test]
fn a_mistyped_key_is_no_key() {
    let spec = "  rules:\n  - form: #<\n    - source: {namespaces: [shop]}\n";
    let text = policy("AuthorizationPolicy", "a", spec);
    found("policy-understood", State::Problem, "spec.rules[0].form", &text);
}

#[test]
fn an_action_that_does_nothing_is_said() {
    let text = policy("AuthorizationPolicy", "a", "  action: AUDIT #<\n  rules: [{}]\n");
    found("policy-understood", State::Warning, "spec.action", &text);
}

#[test]
fn a_rule_that_only_excludes_lets_plaintext_in() {
    let spec = "  rules: #<\n  - from:\n    - source: {notNamespaces: [test]}\n";
    let text = policy("AuthorizationPolicy", "a", spec);
    found("policy-plaintext", State::Warning, "spec.rules", &text);
}

#[test]
fn a_policy_that_selects_no_template_is_said() {
    for kind in ["AuthorizationPolicy", "PeerAuthentication"] {
        let spec = "  selector: #<\n    matchLabels: {app: wbe}\n";
        found("policy-selects", State::Warning, "spec.selector", &policy(kind, "a", spec));
    }
    for app in ["web", "report"] {
        let spec = format!("  selector:\n    matchLabels: {{app: {app}}}\n");
        assert_eq!(found_all(&policy("AuthorizationPolicy", "a", &spec)), [], "{app}");
    }
}

#[test]
fn what_makes_pods_counts_whatever_it_is() {
    let template = "template: {metadata: {labels: {app: api}}, spec: {containers: []}}";
    for (version, kind, spec) in [
        ("apps/v1", "StatefulSet", template.to_owned()),
        ("apps/v1", "DaemonSet", template.to_owned()),
        ("apps/v1", "ReplicaSet", template.to_owned()),
        ("batch/v1", "Job", template.to_owned()),
        ("v1", "ReplicationController", template.to_owned()),
        ("batch/v1", "CronJob", format!("jobTemplate: {{spec: {{{template}}}}}")),
    ] {
        let selecting = policy("AuthorizationPolicy", "a", "  selector: {matchLabels: {app: api}}\n");
        let text = format!(
            "{selecting}---\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: api, namespace: shop}}\nspec: {{{spec}}}\n"
        );
        assert_eq!(found_all(&text), [], "{kind}");
    }
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: api, namespace: shop, labels: {app: api}}\nspec: {containers: []}\n";
    let text = format!(
        "{pod}---\n{}",
        policy("AuthorizationPolicy", "a", "  selector: {matchLabels: {app: api}}\n")
    );
    assert_eq!(found_all(&text), []);
}

#[test]
fn a_policy_in_a_namespace_that_is_not_enrolled_is_enforced_by_nobody() {
    let namespace = namespace("    team: a");
    let policy = "apiVersion: security.istio.io/v1 #<\nkind: AuthorizationPolicy\nmetadata: {name: a, namespace: other}\nspec: {}\n";
    let pods = deployment("other", "", "", "");
    for text in [format!("{namespace}---\n{policy}"), format!("{namespace}---\n{pods}---\n{policy}")] {
        let finding = found("policy-enforced", State::Problem, "", &text);
        assert_eq!(finding.why, "nobody enforces it");
        assert_eq!(finding.remedy.as_deref(), Some("label namespace other istio.io/dataplane-mode=ambient"));
    }
    // A pod may have the label itself.
    let pods = deployment("other", "        istio.io/dataplane-mode: ambient\n", "", "");
    assert_eq!(found_all(&format!("{namespace}---\n{pods}---\n{policy}")), []);
}

#[test]
fn a_policy_for_pods_of_which_some_are_outside_is_enforced_in_part() {
    let outside = deployment("shop", "        istio.io/dataplane-mode: none\n", "", "");
    let outside = outside.replace("app: api", "app: web");
    let spec = "  selector: {matchLabels: {app: web}} #<\n";
    let text = format!("{outside}---\n{}", policy("PeerAuthentication", "web", spec));
    let found = troubles(&[
        ("good.yaml", &GOOD.replace("name: web, namespace", "name: x, namespace")),
        ("row.yaml", &text),
    ]);
    let about: Vec<_> = found.iter().filter(|it| it.place.as_ref().unwrap().file == "row.yaml").collect();
    assert_eq!(about.len(), 1, "{found:#?}");
    assert_eq!((about[0].name, about[0].state), ("policy-enforced", State::Warning));
    assert_eq!(about[0].place.as_ref().unwrap().line, text.lines().count() as u64);
    assert!(about[0].found.contains("Deployment shop/api has said"), "{}", about[0].found);
}

#[test]
fn of_two_for_the_same_workloads_one_has_no_effect() {
    let text = policy("PeerAuthentication", "other", "  mtls: {mode: PERMISSIVE}\n");
    let text = text.replacen('\n', " #<\n", 1);
    let finding = found("policy-overruled", State::Warning, "", &text);
    assert_eq!(finding.found, "PeerAuthentication shop/default says something about the same workloads");
}

#[test]
fn identities_of_another_trust_domain_are_named_one_by_one() {
    let rule = |source: &str| {
        policy("AuthorizationPolicy", "a", &format!("  rules:\n  - from:\n    - source:\n{source}"))
    };
    let text = rule("        principals:\n        - example.com/ns/a/sa/b #<\n");
    let path = "spec.rules[0].from[0].source.principals[0]";
    let finding = found("policy-trust-domain", State::Problem, path, &text);
    assert_eq!(finding.why, "nobody is meant by this list, and the rule matches nobody");
    let text = rule("        principals:\n        - cluster.local/ns/a/sa/b\n        - example.com/* #<\n");
    found("policy-trust-domain", State::Warning, "spec.rules[0].from[0].source.principals[1]", &text);
    let text = rule("        namespaces: [a]\n        notPrincipals: [example.com/ns/a/sa/b] #<\n");
    let path = "spec.rules[0].from[0].source.notPrincipals[0]";
    assert_eq!(
        found("policy-trust-domain", State::Problem, path, &text).why,
        "nobody is excluded by this list"
    );
    let spec = "  rules:\n  - when:\n    - key: source.principal\n      values: [example.com/ns/a/sa/b] #<\n";
    let text = policy("AuthorizationPolicy", "a", spec);
    found("policy-trust-domain", State::Problem, "spec.rules[0].when[0].values[0]", &text);
    assert_eq!(found_all(&rule("        principals: ['*', '*/sa/b', 'cluster.local/*', 'exam*']\n")), []);
}

#[test]
fn a_waypoint_that_is_not_here_may_be_in_the_cluster() {
    let service = "apiVersion: v1\nkind: Service\nmetadata:\n  name: api\n  namespace: shop\n  labels:\n    istio.io/use-waypoint: gat #<\nspec: {}\n";
    let path = "metadata.labels[istio.io/use-waypoint]";
    let finding = found("waypoint", State::Warning, path, service);
    assert_eq!(finding.found, "waypoint shop/gat does not exist in these manifests");
    assert_eq!(finding.why, "unless it is in the cluster, its traffic is refused: Service shop/api");
    let remedy = finding.remedy.unwrap();
    assert!(remedy.starts_with("Create the Gateway shop/gat"), "{remedy}");
}

#[test]
fn what_many_have_from_their_namespace_is_said_once() {
    let mut text = namespace("    istio.io/use-waypoint: absent #<");
    for name in ["a", "b", "c", "d", "e"] {
        text += &format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: other}}\nspec: {{}}\n"
        );
    }
    let finding = found("waypoint", State::Warning, "metadata.labels[istio.io/use-waypoint]", &text);
    assert!(
        finding.why.ends_with("Service other/a, Service other/b, Service other/c and 2 more"),
        "{}",
        finding.why
    );
}

#[test]
fn a_waypoint_that_may_not_be_used_is_a_problem() {
    let text = namespace("    istio.io/dataplane-mode: none")
        + "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: api\n  namespace: other\n  labels:\n    istio.io/use-waypoint: gate #<\n    istio.io/use-waypoint-namespace: shop\nspec: {}\n";
    let path = "metadata.labels[istio.io/use-waypoint]";
    assert!(
        found("waypoint", State::Problem, path, &text).found.contains("may not be used from namespace other")
    );
    let pod = deployment("shop", "        istio.io/use-waypoint: gate #<\n", "", "");
    let path = "spec.template.metadata.labels[istio.io/use-waypoint]";
    assert!(
        found("waypoint", State::Problem, path, &pod)
            .found
            .contains("is not for traffic addressed to workloads")
    );
}

#[test]
fn a_canary_without_a_share_is_said() {
    let text = "apiVersion: v1\nkind: Service\nmetadata:\n  name: api\n  namespace: shop\n  labels:\n    istio.io/use-waypoint: gate #<\n    istio.io/use-waypoint-canary: next\nspec: {}\n";
    let path = "metadata.labels[istio.io/use-waypoint]";
    assert!(found("waypoint", State::Warning, path, text).found.contains("its canary has no share"));
}

#[test]
fn what_makes_no_sense_in_an_entry_is_left_out() {
    let text = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a, namespace: shop}\nspec:\n  hosts: [a.example]\n  resolution: DNS\n  ports:\n  - name: https\n    number: 70000 #<\n";
    found("entry-understood", State::Problem, "spec.ports[0].number", text);
    let text = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata:\n  name: b\n  namespace: shop\n  labels:\n    istio.io/waypoint-for: services #<\nspec: {gatewayClassName: istio-waypoint}\n";
    found("entry-understood", State::Problem, "metadata.labels[istio.io/waypoint-for]", text);
}

#[test]
fn a_named_port_that_no_pod_has_is_a_problem_and_one_that_some_have_a_warning() {
    let service = |app: &str, name: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: api, namespace: shop}}\nspec:\n  selector: {{{app}}}\n  ports:\n  - {{port: 1, targetPort: 1}}\n  - port: 80\n    targetPort: {name} #<\n"
        )
    };
    let path = "spec.ports[1].targetPort";
    let finding = found("named-port", State::Problem, path, &service("app: web", "htpp"));
    assert_eq!(finding.found, "no pod has a TCP port called htpp: Deployment shop/web");
    assert_eq!(finding.why, "connections to port 80 are refused");
    let labels = "        version: '1'\n";
    let text = format!("{}---\n{}", service("version: '1'", "metrics"), deployment("shop", labels, "", ""));
    let finding = found("named-port", State::Warning, path, &text);
    assert_eq!(finding.found, "not all pods have a TCP port called metrics: Deployment shop/api");
    assert_eq!(found_all(&service("app: web", "metrics")), []);
    assert_eq!(found_all(&service("app: none", "metrics")), []);
}

#[test]
fn pods_that_ask_for_the_mesh_and_cannot_be_in_it_are_named() {
    let labels = "        istio.io/dataplane-mode: ambient #<\n";
    let path = "spec.template.metadata.labels[istio.io/dataplane-mode]";
    found(
        "never-in-mesh",
        State::Problem,
        path,
        &deployment("shop", labels, "", "      hostNetwork: true\n"),
    );
    found("never-in-mesh", State::Problem, path, &deployment("kube-system", labels, "", ""));
    let own = "        sidecar.istio.io/status: '{}'\n";
    found("never-in-mesh", State::Problem, path, &deployment("shop", labels, own, ""));
    let text = namespace(&format!("    {}", labels.trim())).replace("name: other", "name: kube-system");
    found("never-in-mesh", State::Warning, "metadata.labels[istio.io/dataplane-mode]", &text);
}

#[test]
fn words_that_mean_nothing_are_named() {
    let mode = "metadata.labels[istio.io/dataplane-mode]";
    for word in ["ambiant", "Ambient", "enabled", "''"] {
        let text = namespace(&format!("    istio.io/dataplane-mode: {word} #<"));
        found("label-value", State::Problem, mode, &text);
    }
    let in_template = |path: &str| format!("spec.template.{path}");
    let text = deployment("shop", "        istio.io/dataplane-mode: nope #<\n", "", "");
    found("label-value", State::Problem, &in_template(mode), &text);
    for key in ["dns-capture", "bypass-inbound-capture"] {
        let text = deployment("shop", "", &format!("        ambient.istio.io/{key}: 'no' #<\n"), "");
        let path = in_template(&format!("metadata.annotations[ambient.istio.io/{key}]"));
        found("label-value", State::Warning, &path, &text);
    }
    let text = namespace("    istio.io/ingress-use-waypoint: 'yes' #<");
    found("label-value", State::Warning, "metadata.labels[istio.io/ingress-use-waypoint]", &text);
    let text = namespace("    a: b\n  annotations:\n    networking.istio.io/traffic-distribution: Close #<");
    let path = "metadata.annotations[networking.istio.io/traffic-distribution]";
    found("label-value", State::Warning, path, &text);
    let text = namespace("    istio.io/use-waypoint-namespace: shop #<");
    found("label-value", State::Warning, "metadata.labels[istio.io/use-waypoint-namespace]", &text);
}

#[test]
fn labels_where_nobody_looks_are_named() {
    let text = namespace("    a: b\n  annotations:\n    istio.io/dataplane-mode: ambient #<");
    found("label-place", State::Problem, "metadata.annotations[istio.io/dataplane-mode]", &text);
    let outside = deployment("shop", "", "", "");
    let text = outside.replacen(
        "  name: api\n",
        "  name: api\n  labels:\n    istio.io/dataplane-mode: none #<\n",
        1,
    );
    found("label-place", State::Warning, "metadata.labels[istio.io/dataplane-mode]", &text);
    let both =
        text.replace("        app: api\n", "        app: api\n        istio.io/dataplane-mode: none\n");
    assert_eq!(found_all(&both), []);
}

#[test]
fn annotations_for_sidecars_are_named_with_what_to_write() {
    let annotation = "        traffic.sidecar.istio.io/excludeOutboundPorts: '5432' #<\n";
    let path = "spec.template.metadata.annotations[traffic.sidecar.istio.io/excludeOutboundPorts]";
    let finding = found("sidecar-annotations", State::Warning, path, &deployment("shop", "", annotation, ""));
    assert_eq!(finding.remedy.as_deref(), Some("write culvert.dev/exclude-outbound-ports"));
    let outside = deployment("shop", "        istio.io/dataplane-mode: none\n", annotation, "");
    assert_eq!(found_all(&outside), []);
}

#[test]
fn what_the_agent_writes_is_not_to_be_written_by_hand() {
    let annotation = "        ambient.istio.io/redirection: enabled #<\n";
    let path = "spec.template.metadata.annotations[ambient.istio.io/redirection]";
    found("redirection-by-hand", State::Warning, path, &deployment("shop", "", annotation, ""));
    let pod = |uid: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: api\n  namespace: shop\n{uid}  annotations:\n    ambient.istio.io/redirection: enabled #<\nspec: {{}}\n"
        )
    };
    found(
        "redirection-by-hand",
        State::Warning,
        "metadata.annotations[ambient.istio.io/redirection]",
        &pod(""),
    );
    assert_eq!(found_all(&pod("  uid: written-down-from-a-cluster\n")), []);
}

/// A network policy for the pods of a Deployment `api`.
fn network(namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: net, namespace: {namespace}}}\nspec:\n  podSelector: {{matchLabels: {{app: api}}}}\n{spec}"
    )
}

#[test]
fn a_network_policy_that_forgets_tunnels_names_the_pods() {
    let ingress = "  ingress:\n  - from: []\n    ports: #<\n    - {port: 80}\n";
    let text = format!("{}---\n{}", network("shop", ingress), deployment("shop", "", "", ""));
    let finding = found("network-policy-tunnels", State::Problem, "spec.ingress[0].ports", &text);
    assert_eq!(finding.found, "it admits ingress ports of Deployment shop/api, and 15008 is not among them");
    // Another one for the same pods admits them.
    let other = "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: o, namespace: shop}\nspec: {podSelector: {}, ingress: [{ports: [{port: 15000, endPort: 15010}]}]}\n";
    assert_eq!(found_all(&format!("{text}{other}")), []);
    assert_eq!(found_all(&text.replace("port: 80}", "port: 15008}")), []);
    assert_eq!(
        found_all(&text.replace("name: api", "name: api #").replace("app: api", "app: api ")).len(),
        1
    );
    assert_eq!(found_all(&text.replace("  ingress:", "  policyTypes: [Egress]\n  ingress:")), []);
    // Pods that are not in the mesh are called at their own ports.
    let outside = deployment("shop", "        istio.io/dataplane-mode: none\n", "", "");
    assert_eq!(found_all(&format!("{}---\n{outside}", network("shop", ingress))), []);
}

#[test]
fn a_network_policy_that_keeps_tunnels_in_is_a_warning() {
    let egress =
        "  egress:\n  - ports: [{port: 53}]\n  - to: [{podSelector: {}}]\n    ports: #<\n    - {port: 80}\n";
    let text = format!("{}---\n{}", network("shop", egress), deployment("shop", "", "", ""));
    found("network-policy-tunnels", State::Warning, "spec.egress[1].ports", &text);
    assert_eq!(found_all(&text.replace("{podSelector: {}}", "{ipBlock: {cidr: 0.0.0.0/0}}")), []);
}

#[test]
fn of_pods_that_are_not_here_a_network_policy_is_judged_by_their_namespace() {
    let ingress = "  ingress:\n  - ports: #<\n    - {port: 80}\n";
    let path = "spec.ingress[0].ports";
    found("network-policy-tunnels", State::Problem, path, &network("shop", ingress));
    found("network-policy-tunnels", State::Warning, path, &network("unknown", ingress));
    let text = format!("{}---\n{}", network("other", ingress), namespace("    a: b"));
    assert_eq!(found_all(&text), []);
}

#[test]
fn an_object_that_is_there_twice_is_named() {
    let text = deployment("shop", "", "", "");
    let twice = format!("{}---\n{text}", text.replacen('\n', " #<\n", 1));
    let finding = found("object-once", State::Warning, "", &twice);
    let line = text.lines().count() + 2;
    assert_eq!(finding.found, format!("the same object is at row.yaml:{line}"));
}

#[test]
fn values_of_wrong_types_are_named() {
    let text = deployment("shop", "        version: 1.0 #<\n", "", "");
    found("object-readable", State::Problem, "spec.template.metadata.labels[version]", &text);
    for name in ["y", "8080", "on"] {
        let text = format!(
            "apiVersion: v1\nkind: Service\nmetadata:\n  namespace: shop\n  name: {name} #<\nspec: {{}}\n"
        );
        found("object-readable", State::Problem, "metadata.name", &text);
    }
    let text = "apiVersion: v1 #<\nkind: Service\nmetadata: {name: a, namespace: shop}\nspec: {ports: [{port: http}]}\n";
    let finding = found("object-readable", State::Problem, "", text);
    assert!(
        finding.found.starts_with("the object cannot be read: invalid type: string \"http\""),
        "{}",
        finding.found
    );
    for kind in ["AuthorizationPolicy", "NetworkPolicy"] {
        let group = if kind == "NetworkPolicy" { "networking.k8s.io" } else { "security.istio.io" };
        let text =
            format!("apiVersion: {group}/v1 #<\nkind: {kind}\nmetadata: {{namespace: shop}}\nspec: {{}}\n");
        let names: Vec<_> = found_all(&text).into_iter().map(|finding| finding.name).collect();
        assert!(names.contains(&"object-readable"), "{kind}: {names:?}");
    }
}

#[test]
fn namespaces_that_are_not_here_are_unknown_and_no_trouble() {
    let text = format!(
        "{}---\n{}",
        deployment("elsewhere", "", "", ""),
        policy("AuthorizationPolicy", "a", "  {}\n")
    );
    let findings = look(&[("row.yaml", &text)]);
    assert_eq!(findings.len(), 2, "{findings:#?}");
    assert_eq!((findings[1].name, findings[1].state), ("enrolment-known", State::Unknown));
    assert!(findings[1].found.ends_with("elsewhere, shop"), "{}", findings[1].found);
}
