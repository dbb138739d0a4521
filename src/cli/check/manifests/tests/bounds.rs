//! What many, long and odd manifests cost.

use std::time::{Duration, Instant};

use super::*;

#[test]
fn two_thousand_objects_are_quick() {
    let mut texts = vec![("shop.yaml".to_owned(), Ok(GOOD.to_owned()))];
    for number in 0..500 {
        let app = format!("app-{number}");
        let text = format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {app}, namespace: shop}}\nspec:\n  template:\n    metadata:\n      labels: {{app: {app}}}\n    spec:\n      containers: [{{name: a, ports: [{{name: http, containerPort: 80}}]}}]\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: {app}, namespace: shop}}\nspec:\n  selector: {{app: {app}}}\n  ports: [{{port: 80, targetPort: http}}]\n---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {app}, namespace: shop}}\nspec:\n  selector:\n    matchLabels: {{app: {app}}}\n  rules: [{{from: [{{source: {{namespaces: [shop]}}}}]}}]\n---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {app}, namespace: shop}}\nspec:\n  podSelector: {{matchLabels: {{app: {app}}}}}\n  ingress: [{{ports: [{{port: 80}}]}}]\n"
        );
        texts.push((format!("{app}.yaml"), Ok(text)));
    }
    let start = Instant::now();
    let findings = judged(texts, "default", Settings::default());
    let took = start.elapsed();
    let forgotten = findings.iter().filter(|finding| finding.name == "network-policy-tunnels").count();
    assert_eq!((forgotten, findings.len()), (500, 501));
    assert!(findings[0].found.starts_with("2014 objects in 501 files"), "{}", findings[0].found);
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn what_is_wrong_many_times_in_one_object_is_told_as_quickly() {
    let labels: String = (0..20_000).map(|number| format!("    k{number}: 1\n")).collect();
    let text = format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n  labels:\n{labels}");
    let dots = ".".repeat(200_000);
    let long = format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: b\n  labels:\n    x{dots}: 1\n");
    let start = Instant::now();
    let found = troubles(&[("a.yaml", &text), ("b.yaml", &long)]);
    let took = start.elapsed();
    assert_eq!(found.len(), 20_001);
    assert_eq!(found[19_999].place.as_ref().unwrap().line, 20_005);
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[test]
fn whatever_shape_an_object_has_it_is_looked_at_without_harm() {
    let kinds = [
        ("v1", "Namespace"),
        ("v1", "Pod"),
        ("v1", "Service"),
        ("v1", "Node"),
        ("discovery.k8s.io/v1", "EndpointSlice"),
        ("networking.istio.io/v1", "ServiceEntry"),
        ("networking.istio.io/v1", "WorkloadEntry"),
        ("gateway.networking.k8s.io/v1", "Gateway"),
        ("gateway.networking.k8s.io/v1", "GatewayClass"),
        ("security.istio.io/v1", "AuthorizationPolicy"),
        ("security.istio.io/v1", "PeerAuthentication"),
        ("apps/v1", "Deployment"),
        ("batch/v1", "CronJob"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
        ("v1", "List"),
    ];
    let shapes = [
        "~",
        "7",
        "text",
        "[]",
        "[[7]]",
        "{}",
        "{x: [y]}",
        "{name: 7}",
        "{name: a, namespace: [b]}",
        "{labels: 7}",
    ];
    for (version, kind) in kinds {
        for metadata in shapes {
            for spec in shapes
                .iter()
                .chain(&["{template: []}", "{selector: 7, ports: 7, podSelector: 7, ingress: 7, rules: [7]}"])
            {
                let text = format!(
                    "apiVersion: {version}\nkind: {kind}\nmetadata: {metadata}\nspec: {spec}\nitems: {spec}\nstatus: {spec}\n"
                );
                assert!(!look(&[("odd.yaml", &text)]).is_empty());
            }
        }
    }
    for text in
        ["7", "[]", "kind: 7", "kind: Pod", "kind: List\nitems: [7, {kind: Pod}, []]", "", "---\n---\n"]
    {
        assert!(!look(&[("odd.yaml", text)]).is_empty());
    }
}
