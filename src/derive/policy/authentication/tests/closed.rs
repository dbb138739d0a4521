//! What is not understood refuses plaintext.

use super::*;

/// Asserts that an object has a problem there, and that plaintext is refused at the pods, and at those others it is not.
#[track_caller]
fn check(object: &Value, path: &str, strict: &[Pod], open: &[Pod]) {
    let cluster = Cluster::of(std::slice::from_ref(object));
    let [read] = &cluster.authentication[..] else { panic!("{object}") };
    let problems = read.problems(&cluster.settings);
    assert!(problems.iter().any(|it| it.path == path), "{path}: {problems:?}");
    let condition = read.accepted(&cluster.settings);
    assert!(!condition.holds && condition.message.contains(path), "{condition:?}");
    assert_eq!(read.enforced(&cluster.settings, Governed { in_mesh: 1, outside: 0 }).reason, "Refused");
    for (pods, expected) in [(strict, false), (open, true)] {
        for pod in pods {
            assert_eq!(plaintext(&cluster, pod, 80), expected, "{pod:?} with {object}");
            assert!(cluster.lets_in(pod, &peer("there/who")), "a tunnel to {pod:?}");
        }
    }
}

fn db() -> Pod {
    pod("here", &[("app", "db")])
}

fn there() -> Pod {
    pod("there", &[("app", "web")])
}

#[test]
fn what_cannot_be_read_is_strict_for_what_it_selects() {
    for (rest, path) in [
        (r#""mtls": {"mode": "OPEN"}"#, "spec.mtls.mode"),
        (r#""mtls": {"mode": ""}"#, "spec.mtls.mode"),
        (r#""mtls": {"mode": 1}"#, "spec.mtls.mode"),
        (r#""mtls": "PERMISSIVE""#, "spec.mtls"),
        (r#""mtls": {"mode": "PERMISSIVE", "also": 1}"#, "spec.mtls.also"),
        (r#""mtls": {"mode": "PERMISSIVE"}, "more": {}"#, "spec.more"),
        (r#""portLevelMtls": {"0": {"mode": "PERMISSIVE"}}"#, "spec.portLevelMtls.0"),
        (r#""portLevelMtls": {"http": {"mode": "PERMISSIVE"}}"#, "spec.portLevelMtls.http"),
        (r#""portLevelMtls": {"65616": {"mode": "PERMISSIVE"}}"#, "spec.portLevelMtls.65616"),
        (r#""portLevelMtls": {"+80": {"mode": "PERMISSIVE"}}"#, "spec.portLevelMtls.+80"),
        (r#""portLevelMtls": {"80": {"mode": "permissive"}}"#, "spec.portLevelMtls.80.mode"),
        (r#""portLevelMtls": {"80": null}"#, "spec.portLevelMtls.80"),
        (r#""portLevelMtls": {"80": {"mode": "DISABLE"}, "81": "STRICT"}"#, "spec.portLevelMtls.81"),
        (r#""portLevelMtls": []"#, "spec.portLevelMtls"),
    ] {
        let spec = parsed(&format!(r#"{{"selector": {{"matchLabels": {{"app": "web"}}}}, {rest}}}"#));
        check(&authentication("here/web", &spec), path, &[web()], &[db(), there()]);
    }
}

#[test]
fn a_selector_that_cannot_be_read_makes_the_whole_namespace_strict() {
    for (selector, path) in [
        (r#"{"matchExpressions": [{"key": "app", "operator": "Exists"}]}"#, "spec.selector.matchExpressions"),
        (r#"{"matchLabels": {"app": "web"}, "also": 1}"#, "spec.selector.also"),
        (r#"{"matchLabels": {"app": "*"}}"#, "spec.selector.matchLabels.app"),
        (r#"{"matchLabels": {"app": 1}}"#, "spec.selector.matchLabels.app"),
        (r#"{"matchLabels": {"app": null}}"#, "spec.selector.matchLabels.app"),
        (r#"{"matchLabels": {"": "web"}}"#, "spec.selector.matchLabels."),
        (r#""app=web""#, "spec.selector"),
    ] {
        let spec = parsed(&format!(r#"{{"selector": {selector}, "mtls": {{"mode": "PERMISSIVE"}}}}"#));
        check(&authentication("here/web", &spec), path, &[web(), db()], &[there()]);
        check(&authentication("root/web", &spec), path, &[web(), db(), there()], &[]);
    }
}

#[test]
fn it_also_overrules_a_permissive_namespace_that_it_may_have_been_an_exception_of() {
    let broken = json!({ "selector": { "matchExpressions": [] }, "mtls": { "mode": "STRICT" } });
    let cluster =
        Cluster::of(&[with_mode("here/a", Some("PERMISSIVE")).unwrap(), authentication("here/b", &broken)]);
    assert!(!plaintext(&cluster, &web(), 80));
}

#[test]
fn one_that_cannot_be_read_at_all_decides_before_all_others() {
    let older = [
        aged(with_mode("here/a", Some("PERMISSIVE")).unwrap(), "2020-01-01T00:00:00Z"),
        aged(for_web(Some("PERMISSIVE"), &[(80, Some("DISABLE"))]).unwrap(), "2020-01-01T00:00:00Z"),
    ];
    let mut cluster = Cluster::of(&older);
    assert!(plaintext(&cluster, &web(), 80) && plaintext(&cluster, &db(), 80));
    cluster.authentication.push(PeerAuthentication::unreadable("here", "z", "broken"));
    assert!(!plaintext(&cluster, &web(), 80) && !plaintext(&cluster, &db(), 80));
    assert!(plaintext(&cluster, &there(), 80));
    let mut cluster = Cluster::of(&[with_mode("root/a", Some("PERMISSIVE")).unwrap()]);
    cluster.authentication.push(PeerAuthentication::unreadable("root", "z", "broken"));
    assert!(!plaintext(&cluster, &there(), 80));
}

#[test]
fn a_spec_that_is_none_may_have_been_about_workloads() {
    let cluster = Cluster::of(&[
        with_mode("here/a", Some("PERMISSIVE")).unwrap(),
        authentication("here/b", &json!("x")),
    ]);
    assert!(!plaintext(&cluster, &web(), 80));
}

#[test]
fn ports_without_a_selector_are_a_problem_and_so_is_a_selector_in_the_root_namespace() {
    let ports =
        json!({ "mtls": { "mode": "PERMISSIVE" }, "portLevelMtls": { "80": { "mode": "PERMISSIVE" } } });
    check(&authentication("here/a", &ports), "spec.portLevelMtls", &[web(), db()], &[there()]);
    let selecting =
        json!({ "selector": { "matchLabels": { "app": "web" } }, "mtls": { "mode": "PERMISSIVE" } });
    let (in_root, other) = (pod("root", &[("app", "web")]), pod("root", &[("app", "db")]));
    check(&authentication("root/a", &selecting), "spec.selector", &[in_root], &[other, web()]);
}

#[test]
fn what_is_wrong_around_the_spec_counts_as_well() {
    let mut object = authentication("here/a", &json!({}));
    object["specs"] = json!({ "mtls": { "mode": "STRICT" } });
    check(&object, "specs", &[web()], &[there()]);
    check(&authentication("here/a", &json!("STRICT")), "spec", &[web()], &[there()]);
}

#[test]
fn saying_nothing_is_no_problem() {
    for spec in [
        "null",
        "{}",
        r#"{"mtls": null}"#,
        r#"{"mtls": {}}"#,
        r#"{"selector": {}, "mtls": {"mode": "UNSET"}}"#,
    ] {
        let cluster = Cluster::of(&[authentication("here/a", &parsed(spec))]);
        let read = &cluster.authentication[0];
        assert_eq!(
            (read.problems(&cluster.settings), read.level(&cluster.settings)),
            (vec![], Level::Namespace)
        );
        assert!(read.accepted(&cluster.settings).holds);
        assert!(plaintext(&cluster, &web(), 80));
    }
}

#[test]
fn one_that_is_overruled_says_by_which() {
    let older = PeerAuthentication::read(&with_mode("here/older", Some("STRICT")).unwrap());
    let condition = PeerAuthentication::overruled(&older);
    assert!(!condition.holds && condition.message.contains("here/older"), "{condition:?}");
}
