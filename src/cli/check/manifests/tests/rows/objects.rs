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
