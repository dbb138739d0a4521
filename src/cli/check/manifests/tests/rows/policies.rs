//! Policies.

use super::*;

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
fn what_no_template_makes_may_be_selected() {
    let selecting = |label: &str| {
        policy("AuthorizationPolicy", "a", &format!("  selector: {{matchLabels: {{{label}}}}}\n"))
    };
    assert_eq!(found_all(&selecting("gateway.networking.k8s.io/gateway-name: gate")), []);
    let entry = "---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: vm, namespace: shop}\nspec: {address: 192.0.2.1, labels: {app: vm}}\n";
    assert_eq!(found_all(&format!("{}{entry}", selecting("app: vm"))), []);
    assert_eq!(found_all(&format!("{}{entry}", selecting("app: other"))).len(), 1);
}

#[test]
fn nobody_enforces_what_is_a_dry_run_and_that_is_meant() {
    let text = format!("{}---\n{}", namespace("    team: a"), policy("AuthorizationPolicy", "a", "  {}\n"));
    let dry = "metadata: {annotations: {istio.io/dry-run: 'true'}, ";
    let text = text.replace("namespace: shop", "namespace: other");
    assert_eq!(found_all(&text).len(), 1);
    assert_eq!(found_all(&text.replace("metadata: {", dry)), []);
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
        ("argoproj.io/v1alpha1", "Rollout", template.to_owned()),
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
fn an_account_that_no_pod_runs_as_is_nobody() {
    let rule = |source: &str| {
        policy("AuthorizationPolicy", "a", &format!("  rules:\n  - from:\n    - source:\n{source}"))
    };
    let text = rule("        principals:\n        - cluster.local/ns/shop/sa/wbe #<\n");
    let path = "spec.rules[0].from[0].source.principals[0]";
    let finding = found("policy-account", State::Warning, path, &text);
    assert_eq!(finding.found, "no pod of namespace shop in these manifests runs as `wbe`");
    assert_eq!(finding.why, "nobody is meant by this list, and the rule matches nobody");
    assert!(finding.remedy.unwrap().ends_with("there they run as default, report, web"));
    for (list, value) in [
        ("serviceAccounts", "wbe"),
        ("notServiceAccounts", "shop/wbe"),
        ("notPrincipals", "'*/ns/shop/sa/wbe'"),
    ] {
        let namespaces = if list.starts_with("not") { "        namespaces: [a]\n" } else { "" };
        let text = rule(&format!("{namespaces}        {list}: [shop/web, {value}] #<\n").replace(
            if list.ends_with("ncipals") { "shop/web" } else { "-" },
            if list.ends_with("ncipals") { "cluster.local/ns/shop/sa/web" } else { "-" },
        ));
        let problems: Vec<_> =
            found_all(&text).into_iter().filter(|it| it.name == "policy-account").collect();
        assert_eq!(problems.len(), 1, "{list}");
        assert_eq!(problems[0].why, "nobody is meant by it; the others in the list count");
    }
    // It may be there, or be somebody's of whom nothing is known.
    for known in [
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: wbe, namespace: shop}\n",
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: vm, namespace: shop}\nspec: {address: 192.0.2.1, serviceAccount: wbe}\n",
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: wbe, namespace: shop}\nspec: {gatewayClassName: istio-waypoint}\n",
    ] {
        assert_eq!(found_all(&format!("{}---\n{known}", text.replace("#<", ""))), [], "{known}");
    }
    for other in ["elsewhere/sa/wbe", "shop/sa/*"] {
        assert_eq!(found_all(&text.replace("shop/sa/wbe #<", other)), [], "{other}");
    }
}
