//! Which workloads a policy governs.

use super::*;

/// Asserts to whom nobody gets in by a policy that lets nobody in, of so many pods.
#[track_caller]
fn check(key: &str, selector: &str, expected: [bool; 4]) {
    let pods = [web(), pod("here", &[("app", "db")]), pod("there", &[("app", "web")]), pod("root", &[])];
    for rest in [r#""rules": []"#, r#""rules": [{"from": []}]"#] {
        let cluster =
            Cluster::of(&[authorization(key, &parsed(&format!(r#"{{"selector": {selector}, {rest}}}"#)))]);
        let governed = pods.each_ref().map(|pod| admitted(&cluster, pod) == 0);
        assert_eq!(governed, expected, "{key} {selector} {rest}");
        let read = &cluster.authorization[0];
        let said = pods.each_ref().map(|pod| read.governs(&cluster.settings, &pod.namespace, &pod.labels));
        assert_eq!(said, expected, "what is said of {key} {selector}");
    }
}

#[test]
fn without_a_label_to_select_by_it_is_the_namespace_or_the_mesh() {
    for selector in ["null", "{}", r#"{"matchLabels": {}}"#, r#"{"matchLabels": null}"#] {
        check("here/policy", selector, [true, true, false, false]);
        check("root/policy", selector, [true, true, true, true]);
    }
}

#[test]
fn a_selector_selects_in_its_namespace_and_from_the_root_in_all() {
    let selector = r#"{"matchLabels": {"app": "web"}}"#;
    check("here/policy", selector, [true, false, false, false]);
    check("there/policy", selector, [false, false, true, false]);
    check("root/policy", selector, [true, false, true, false]);
    check("here/policy", r#"{"matchLabels": {"app": "web", "b": ""}}"#, [false, false, false, false]);
}

#[test]
fn a_selector_nobody_can_read_is_one_of_everything() {
    for selector in [
        r#"{"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}"#,
        r#"{"matchLabels": {"app": "web"}, "matchExpressions": []}"#,
        r#"{"matchLabels": {"app": "web*"}}"#,
        r#"{"matchLabels": {"app": "*"}}"#,
        r#"{"matchLabels": {"app": null}}"#,
        r#"{"matchLabels": {"app": 1}}"#,
        r#"{"matchLabels": {"-app": "web"}}"#,
        r#"{"matchLabels": {"a/b/c": "web"}}"#,
        r#"{"matchLabels": ["app"]}"#,
        r#"{"app": "web"}"#,
        r#""app=web""#,
    ] {
        check("here/policy", selector, [true, true, false, false]);
        check("root/policy", selector, [true, true, true, true]);
    }
}

#[test]
fn labels_are_what_pods_can_have() {
    let labels = [("app.kubernetes.io/name", "A-b_c.1"), ("empty", ""), ("x", "y")];
    let selector = json!({ "matchLabels": { "app.kubernetes.io/name": "A-b_c.1", "empty": "" } });
    let cluster = Cluster::of(&[authorization("here/policy", &json!({ "selector": selector }))]);
    assert_eq!(cluster.authorization[0].problems(), []);
    assert_eq!(admitted(&cluster, &pod("here", &labels)), 0);
    assert_eq!(admitted(&cluster, &web()), everybody().len());
}

#[test]
fn one_that_cannot_be_read_at_all_is_one_of_everything() {
    for (namespace, expected) in [("here", [true, false]), ("root", [true, true])] {
        let mut cluster = Cluster::of(&[]);
        cluster.authorization.push(AuthorizationPolicy::unreadable(namespace, "policy", "broken"));
        assert_eq!([web(), pod("there", &[])].map(|pod| admitted(&cluster, &pod) == 0), expected);
    }
}
