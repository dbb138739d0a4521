//! Objects as such.

use super::*;

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
fn what_cannot_be_read_of_a_template_is_in_the_template() {
    let text = deployment("shop", "", "", "")
        .replace("  template:", "  template: #<")
        .replace("containerPort: 80", "containerPort: http");
    let finding = found("object-readable", State::Problem, "spec.template", &text);
    assert_eq!(finding.place.unwrap().object.as_deref(), Some("Deployment shop/api"));
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

#[test]
fn a_version_that_no_cluster_has_is_named() {
    for (version, write) in [
        ("security.istio.io/v1alpha1", "write security.istio.io/v1"),
        ("networking.istio.io/v1", "write security.istio.io/v1"),
    ] {
        let text = format!(
            "apiVersion: {version} #<\nkind: AuthorizationPolicy\nmetadata: {{name: a, namespace: shop}}\nspec: {{}}\n"
        );
        let finding = found("object-readable", State::Problem, "apiVersion", &text);
        assert_eq!(finding.found, format!("there is no AuthorizationPolicy in `{version}`"));
        assert_eq!(finding.remedy.as_deref(), Some(write));
        assert_eq!(finding.place.unwrap().object.as_deref(), Some("AuthorizationPolicy a"));
    }
    let text = "apiVersion: security.istio.io/v1\nkind: Authorizationpolicy #<\nmetadata: {name: a}\n";
    let finding = found("object-readable", State::Problem, "kind", text);
    assert_eq!(finding.remedy.as_deref(), Some("write AuthorizationPolicy"));
    let text = "kind: Service #<\nmetadata: {name: a}\n";
    assert_eq!(
        found("object-readable", State::Problem, "apiVersion", text).found,
        "this Service has no apiVersion"
    );
}

#[test]
fn a_name_that_nothing_can_have_is_named() {
    let service = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata:\n  namespace: shop\n  name: {name} #<\nspec: {{}}\n"
        )
    };
    for name in ["Web", "web_1", "-web", "web.", "we/b", "\"\\e[1m\""] {
        found("object-readable", State::Problem, "metadata.name", &service(name));
    }
    for template in ["'{{ .Release.Name }}'", "${NAME}", "web-<%= name %>"] {
        let remedy = found("object-readable", State::Problem, "metadata.name", &service(template)).remedy;
        assert!(remedy.unwrap().starts_with("render templates first"), "{template}");
    }
    let text = "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  namespace: \"{{ x }}\" #<\nspec: {}\n";
    found("object-readable", State::Problem, "metadata.namespace", text);
    for name in ["web-1.example", "1web", &"a".repeat(253)] {
        assert_eq!(found_all(&service(name)), [], "{name}");
    }
    let made = "apiVersion: batch/v1\nkind: Job\nmetadata: {generateName: import-, namespace: shop}\nspec: {template: {spec: {containers: []}}}\n";
    assert_eq!(found_all(made), []);
}

#[test]
fn what_kustomize_builds_is_unknown_before_it_is_built() {
    let layer = "resources: [a.yaml]\n";
    let findings =
        look(&[("base/kustomization.yaml", layer), ("shop.yaml", GOOD), ("x/kustomization.yml", layer)]);
    assert_eq!(findings.len(), 2, "{findings:#?}");
    assert_eq!((findings[1].name, findings[1].state), ("manifests-seen", State::Unknown));
    assert!(
        findings[1].found.ends_with(": base/kustomization.yaml, x/kustomization.yml"),
        "{}",
        findings[1].found
    );
}

#[test]
fn where_nothing_is_looked_at_it_is_not_said_that_all_is_well() {
    let findings = look(&[("a.yaml", "kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\n---\na: b\n")]);
    assert_eq!((findings.len(), findings[0].state), (1, State::Unknown));
    assert!(findings[0].found.starts_with("0 objects in 1 file; 1 of other kinds"), "{}", findings[0].found);
}
