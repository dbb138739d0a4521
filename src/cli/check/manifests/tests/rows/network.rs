//! Network policies.

use super::*;

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
fn a_network_policy_is_for_the_pods_its_selector_is_for() {
    let ingress = "  ingress: [{ports: [{port: 80}]}]\n";
    let deployment = deployment("shop", "        tier: a\n", "", "");
    for (selector, is_meant) in [
        ("{matchLabels: {app: api, tier: a}}", true),
        ("{matchLabels: {app: api, tier: b}}", false),
        ("{matchExpressions: [{key: tier, operator: In, values: [a, b]}]}", true),
        ("{matchExpressions: [{key: tier, operator: In, values: [b]}]}", false),
        (
            "{matchExpressions: [{key: tier, operator: NotIn, values: [b]}, {key: app, operator: In, values: [api]}]}",
            true,
        ),
        (
            "{matchExpressions: [{key: tier, operator: NotIn, values: [a]}, {key: app, operator: In, values: [api]}]}",
            false,
        ),
        ("{matchExpressions: [{key: tier, operator: Exists}]}", true),
        ("{matchExpressions: [{key: rank, operator: Exists}]}", false),
        ("{matchExpressions: [{key: rank, operator: DoesNotExist}], matchLabels: {tier: a}}", true),
        ("{matchExpressions: [{key: tier, operator: DoesNotExist}], matchLabels: {app: api}}", false),
        ("{matchExpressions: [{key: tier, operator: Near, values: [a]}]}", false),
    ] {
        let policy = network("shop", ingress).replace("{matchLabels: {app: api}}", selector);
        let all = found_all(&format!("{policy}---\n{deployment}"));
        assert_eq!(all.len(), 1, "{selector}");
        assert_eq!(all[0].found.contains("Deployment shop/api"), is_meant, "{selector}: {}", all[0].found);
    }
}
