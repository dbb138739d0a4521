//! Whose plaintext gets in, judged as nodes judge.

use serde_json::json;

use super::super::tests::{Cluster, Pod, object, parsed, peer, pod, web};
use super::*;

mod closed;

/// What may be written on a level: no object, or one with a mode.
const MODES: [Option<&str>; 5] = [None, Some("UNSET"), Some("PERMISSIVE"), Some("STRICT"), Some("DISABLE")];
/// The ports that are asked about: two that may be exceptions, and one that never is.
const PORTS: [u16; 3] = [80, 81, 9999];

fn authentication(key: &str, spec: &Value) -> Value {
    object("PeerAuthentication", key, spec)
}

/// Makes one with a mode, unless there is none.
fn with_mode(key: &str, mode: Option<&str>) -> Option<Value> {
    mode.map(|mode| authentication(key, &json!({ "mtls": { "mode": mode } })))
}

/// Makes one for `app=web` with a mode and those of ports, unless there is nothing to say.
fn for_web(mode: Option<&str>, ports: &[(u16, Option<&str>)]) -> Option<Value> {
    let mut spec = json!({ "selector": { "matchLabels": { "app": "web" } } });
    if let Some(mode) = mode {
        spec["mtls"] = json!({ "mode": mode });
    }
    for (port, mode) in ports {
        if let Some(mode) = mode {
            spec["portLevelMtls"][port.to_string()] = json!({ "mode": mode });
        }
    }
    let says = mode.is_some() || spec.get("portLevelMtls").is_some();
    says.then(|| authentication("here/web", &spec))
}

fn aged(mut object: Value, created: &str) -> Value {
    object["metadata"]["creationTimestamp"] = created.into();
    object
}

fn plaintext(cluster: &Cluster, pod: &Pod, port: u16) -> bool {
    cluster.lets_in(pod, &peer(&format!("- to=10.0.0.9:{port}")))
}

/// The oracle: the most particular who says something decides, and nobody saying anything accepts.
fn accepted(from_port_to_mesh: [Option<&str>; 4]) -> bool {
    for said in from_port_to_mesh.into_iter().flatten() {
        match said {
            "STRICT" => return false,
            "PERMISSIVE" | "DISABLE" => return true,
            _ => {}
        }
    }
    true
}

#[test]
fn plaintext_gets_in_exactly_where_the_most_particular_word_accepts_it() {
    let mut told = [0; 2];
    let levels = || MODES.into_iter();
    for (mesh, namespace) in levels().flat_map(|mesh| levels().map(move |namespace| (mesh, namespace))) {
        for (workload, p) in levels().flat_map(|workload| levels().map(move |p| (workload, p))) {
            for q in levels() {
                let objects = [
                    with_mode("root/mesh", mesh),
                    with_mode("here/namespace", namespace),
                    for_web(workload, &[(80, p), (81, q)]),
                ];
                let cluster = Cluster::of(&objects.into_iter().flatten().collect::<Vec<_>>());
                for (port, of_port) in PORTS.into_iter().zip([p, q, None]) {
                    let expected = accepted([of_port, workload, namespace, mesh]);
                    let case = format!(
                        "mesh {mesh:?}, namespace {namespace:?}, workload {workload:?}, 80 {p:?}, 81 {q:?}"
                    );
                    assert_eq!(plaintext(&cluster, &web(), port), expected, "plaintext to {port}: {case}");
                    let tunnel = peer(&format!("there/who to=10.0.0.9:{port}"));
                    assert!(cluster.lets_in(&web(), &tunnel), "a tunnel to {port}: {case}");
                    told[usize::from(expected)] += 1;
                }
                let others = plaintext(&cluster, &pod("here", &[("app", "db")]), 80);
                assert_eq!(others, accepted([None, None, namespace, mesh]), "what is not selected");
                assert_eq!(
                    plaintext(&cluster, &pod("there", &[("app", "web")]), 80),
                    accepted([None, None, None, mesh])
                );
            }
        }
    }
    assert_eq!(told.iter().sum::<usize>(), 5 * 5 * 5 * 25 * 3);
    assert!(told.into_iter().all(|count| count > 2000), "one answer is hardly expected: {told:?}");
}

/// What is decided and what is enforced are one thing, for whoever only asks.
#[test]
fn what_is_told_of_ports_is_what_is_enforced() {
    for (mesh, workload, p) in [(3, 2, 3), (3, 1, 2), (0, 3, 4), (2, 2, 3), (3, 0, 0)] {
        let objects = [with_mode("root/mesh", MODES[mesh]), for_web(MODES[workload], &[(80, MODES[p])])];
        let cluster = Cluster::of(&objects.into_iter().flatten().collect::<Vec<_>>());
        let governing: Vec<_> = cluster.authentication.iter().collect();
        let strictness = Levels::of(&cluster.settings, &governing).strictness(&cluster.settings);
        for port in PORTS {
            assert_eq!(strictness.plaintext_accepted(port), plaintext(&cluster, &web(), port), "{port}");
        }
    }
}

#[test]
fn a_strict_port_of_a_permissive_workload_is_strict_in_a_strict_mesh() {
    let objects = [
        with_mode("root/mesh", Some("STRICT")).unwrap(),
        for_web(Some("PERMISSIVE"), &[(80, Some("STRICT"))]).unwrap(),
    ];
    let cluster = Cluster::of(&objects);
    assert!(!plaintext(&cluster, &web(), 80));
    assert!(plaintext(&cluster, &web(), 81));
}

#[test]
fn an_exception_leaves_the_other_ports_strict_below_a_namespace_that_says_nothing() {
    let objects = [
        with_mode("root/mesh", Some("STRICT")).unwrap(),
        with_mode("here/namespace", Some("UNSET")).unwrap(),
        for_web(Some("UNSET"), &[(80, Some("PERMISSIVE"))]).unwrap(),
    ];
    let cluster = Cluster::of(&objects);
    assert!(plaintext(&cluster, &web(), 80));
    assert!(!plaintext(&cluster, &web(), 81));
}

#[test]
fn a_disabled_port_is_an_exception_as_a_permissive_one_is() {
    let objects =
        [with_mode("root/mesh", Some("STRICT")).unwrap(), for_web(None, &[(80, Some("DISABLE"))]).unwrap()];
    let cluster = Cluster::of(&objects);
    assert!(plaintext(&cluster, &web(), 80));
    assert!(!plaintext(&cluster, &web(), 81));
}

#[test]
fn of_several_on_one_level_the_oldest_decides_and_then_the_first_by_name() {
    let web_spec =
        |mode: &str| json!({ "selector": { "matchLabels": { "app": "web" } }, "mtls": { "mode": mode } });
    let all_spec = |mode: &str| json!({ "mtls": { "mode": mode } });
    type Spec<'a> = &'a dyn Fn(&str) -> Value;
    let levels: [(&str, Spec<'_>); 3] = [("root", &all_spec), ("here", &all_spec), ("here", &web_spec)];
    for (namespace, spec) in levels {
        let made = |name: &str, mode: &str, created: &str| {
            aged(authentication(&format!("{namespace}/{name}"), &spec(mode)), created)
        };
        let (old, new) = ("2025-12-31T23:59:59Z", "2026-01-01T00:00:00Z");
        for (one, other, expected) in [
            (made("a", "STRICT", old), made("b", "PERMISSIVE", new), false),
            (made("a", "PERMISSIVE", new), made("b", "STRICT", old), false),
            (made("a", "PERMISSIVE", old), made("b", "STRICT", new), true),
            (made("b", "STRICT", new), made("a", "PERMISSIVE", new), true),
            (made("b", "PERMISSIVE", new), made("a", "STRICT", new), false),
        ] {
            for objects in [[one.clone(), other.clone()], [other, one]] {
                let cluster = Cluster::of(&objects);
                assert_eq!(plaintext(&cluster, &web(), 80), expected, "{objects:?}");
            }
        }
    }
}

/// Ports of one that does not decide do not count either.
#[test]
fn only_the_oldest_has_exceptions() {
    let selector = json!({ "matchLabels": { "app": "web" } });
    let older = json!({ "selector": selector, "mtls": { "mode": "STRICT" }, "portLevelMtls": { "80": { "mode": "DISABLE" } } });
    let newer = json!({ "selector": selector, "portLevelMtls": { "81": { "mode": "DISABLE" } } });
    let cluster = Cluster::of(&[
        aged(authentication("here/z", &older), "2025-01-01T00:00:00Z"),
        authentication("here/a", &newer),
    ]);
    assert_eq!(PORTS.map(|port| plaintext(&cluster, &web(), port)), [true, false, false]);
}

#[test]
fn keys_and_names_are_those_nodes_and_people_know() {
    let cluster = Cluster::of(&[
        with_mode("root/mesh", Some("STRICT")).unwrap(),
        for_web(None, &[(80, Some("PERMISSIVE")), (81, Some("DISABLE"))]).unwrap(),
    ]);
    let [mesh, web] = &cluster.authentication[..] else { panic!() };
    let settings = &cluster.settings;
    let policy = Levels { mesh: Some(mesh), ..Levels::default() }.policy(settings).unwrap();
    assert_eq!(&*policy.key, "root/istio_converted_static_strict");
    assert_eq!(policy, strict(settings));
    let policy =
        Levels { mesh: Some(mesh), workload: Some(web), ..Levels::default() }.policy(settings).unwrap();
    assert_eq!(&*policy.key, "here/converted_peer_authentication_web");
    assert_eq!((&*policy.namespace, &*policy.name), ("here", "converted_peer_authentication_web"));
    let clauses: Vec<_> = policy.rules.iter().map(|rule| rule.clauses.len()).collect();
    assert_eq!(clauses, [3], "one rule: no principal, not 80, not 81");
    assert_eq!(Levels { workload: Some(web), ..Levels::default() }.policy(settings), None);
}
