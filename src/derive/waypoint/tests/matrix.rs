//! Every way to name a waypoint, for every kind of object.

use super::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Bound,
    Other,
    Not(&'static str),
}

use Outcome::{Bound, Not, Other};

/// What a waypoint is to services and to workloads that name it from namespace `shop`.
const WAYPOINTS: [(&str, Outcome, Outcome); 20] = [
    ("shop/plain", Bound, Other),
    ("shop/for-service", Bound, Other),
    ("shop/for-workload", Other, Bound),
    ("shop/for-all", Bound, Bound),
    ("shop/for-none", Other, Other),
    ("shop/for-typo", Other, Other),
    ("shop/class-for-all", Bound, Bound),
    ("shop/beats-class", Other, Bound),
    ("shop/unlistening", Bound, Bound),
    ("shop/missing", Not("WaypointMissing"), Not("WaypointMissing")),
    ("shop/unready", Not("WaypointIsNotReady"), Not("WaypointIsNotReady")),
    ("infra/missing", Not("WaypointMissing"), Not("WaypointMissing")),
    ("infra/same", Not("AttachmentDenied"), Not("AttachmentDenied")),
    ("infra/unlistening", Not("AttachmentDenied"), Not("AttachmentDenied")),
    ("infra/all", Bound, Bound),
    ("infra/nobody", Not("AttachmentDenied"), Not("AttachmentDenied")),
    ("infra/ours", Bound, Bound),
    ("infra/expressed", Bound, Bound),
    ("infra/others", Not("AttachmentDenied"), Not("AttachmentDenied")),
    ("infra/misspelt", Not("AttachmentDenied"), Not("AttachmentDenied")),
];

fn world() -> Small {
    let said = |what: &str| json!({"labels": {"istio.io/waypoint-for": what}});
    let allowed = |allowed: Value| json!({"labels": {"istio.io/waypoint-for": "all"}, "allowed": allowed});
    let selector = |selector: Value| allowed(json!({"from": "Selector", "selector": selector}));
    let unlistening =
        json!({"labels": {"istio.io/waypoint-for": "all"}, "listeners": [{"protocol": "HTTP", "port": 80}]});
    let expressed = json!([
        {"key": "team", "operator": "In", "values": ["a", "b"]},
        {"key": "retired", "operator": "DoesNotExist"},
        {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["other"]},
        {"key": "team", "operator": "Exists"},
    ]);
    Small::default()
        .class("all", "example.com/any", &[("istio.io/waypoint-for", "all")], &[])
        .gateway("shop/plain", &json!({}))
        .gateway("shop/for-service", &said("service"))
        .gateway("shop/for-workload", &said("workload"))
        .gateway("shop/for-all", &said("all"))
        .gateway("shop/for-none", &said("none"))
        .gateway("shop/for-typo", &said("services"))
        .gateway("shop/class-for-all", &json!({"class": "all"}))
        .gateway(
            "shop/beats-class",
            &json!({"class": "all", "labels": {"istio.io/waypoint-for": "workload"}}),
        )
        .gateway("shop/unlistening", &unlistening)
        .gateway("shop/unready", &json!({"labels": {"istio.io/waypoint-for": "all"}, "addresses": []}))
        .gateway("infra/same", &allowed(json!({"from": "Same"})))
        .gateway("infra/unlistening", &unlistening)
        .gateway("infra/all", &allowed(json!({"from": "All"})))
        .gateway("infra/nobody", &allowed(json!({"from": "None"})))
        .gateway("infra/ours", &selector(json!({"matchLabels": {"team": "a"}})))
        .gateway("infra/expressed", &selector(json!({"matchExpressions": expressed})))
        .gateway("infra/others", &selector(json!({"matchLabels": {"team": "a", "also": "b"}})))
        .gateway("infra/misspelt", &allowed(json!({"from": "Everybody"})))
}

/// The labels that name a waypoint.
fn naming(waypoint: &str) -> Vec<(&'static str, &str)> {
    match waypoint.split_once('/') {
        None if waypoint.is_empty() => vec![],
        None => vec![("istio.io/use-waypoint", waypoint)],
        Some(("shop", name)) => vec![("istio.io/use-waypoint", name)],
        Some((namespace, name)) => {
            vec![("istio.io/use-waypoint", name), ("istio.io/use-waypoint-namespace", namespace)]
        }
    }
}

/// What is to come out: a reference (`!` in front: one that leads nowhere), and the condition.
type Expected = (Option<String>, Option<(bool, &'static str)>);

fn expected(own: &str, namespace: &str, role: Role, unready: Unready) -> Expected {
    let inherited = own.is_empty();
    let named = if inherited { namespace } else { own };
    let Some((_, service, workload)) = WAYPOINTS.iter().find(|(name, ..)| *name == named) else {
        return (None, None);
    };
    let addressed = matches!(role, Role::Service | Role::ServiceEntry);
    let refused = Some(format!("!{named}")).filter(|_| unready == Unready::Refuse);
    match (if addressed { service } else { workload }, role) {
        (Bound, Role::Endpoint | Role::Pod) => (Some(named.to_owned()), None),
        (Bound, _) => (Some(named.to_owned()), Some((true, "WaypointAccepted"))),
        (Other, Role::Endpoint) => (None, None),
        (Other, _) if inherited && !addressed => (None, None),
        (Other, _) if inherited => (None, Some((false, "UnsupportedTrafficType"))),
        (Other, _) => (refused, Some((false, "UnsupportedTrafficType"))),
        (Not(_), Role::Endpoint) => (refused, None),
        (Not(reason), _) => (refused, Some((false, reason))),
    }
}

/// Gives the waypoint a reference names, as [`Expected`] writes it.
fn named(reference: &GatewayAddress) -> String {
    let GatewayDestination::Hostname { namespace, hostname } = &reference.destination else {
        panic!("{reference} is an address");
    };
    let (name, _) = hostname.split_once('.').unwrap();
    let mark = if hostname.contains(' ') { "!" } else { "" };
    format!("{mark}{namespace}/{name}")
}

#[test]
fn an_object_is_behind_the_waypoint_named_or_refused_or_says_why_not() {
    let names = || ["", "none"].into_iter().chain(WAYPOINTS.iter().map(|(name, ..)| *name));
    let mut seen = 0;
    for namespace in names() {
        let labels: Vec<_> = naming(namespace).into_iter().chain([("team", "a")]).collect();
        let world = world().namespace("shop", &labels, &[]);
        for (own, role) in names().flat_map(|own| ROLES.map(|role| (own, role))) {
            for unready in [Unready::Refuse, Unready::Bypass] {
                let meta = meta("shop", "web", &naming(own), &[]);
                let found = world.resolve_with(role, &meta, unready);
                let found = (found.waypoint.as_ref().map(named), reason(&found));
                let expected = expected(own, namespace, role, unready);
                assert_eq!(found, expected, "own `{own}`, namespace's `{namespace}`, {role:?}, {unready:?}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 22 * 22 * 5 * 2);
}

#[test]
fn an_object_of_an_unknown_namespace_goes_by_its_own_labels() {
    let world = world();
    let resolve = |labels: Pairs<'_>| world.resolve(Role::Service, &meta("shop", "web", labels, &[]));
    assert_eq!(resolve(&[]).waypoint, None);
    assert_eq!(resolve(&[("istio.io/use-waypoint", "plain")]).waypoint, Some(at("shop/plain")));
    // Nobody can say that such a namespace is let in.
    let selected = resolve(&naming("infra/ours"));
    assert_eq!(reason(&selected), Some((false, "AttachmentDenied")));
}

#[test]
fn what_only_its_namespace_sees_is_behind_no_waypoint_of_another() {
    let world = world().namespace("shop", &[("team", "a")], &[]);
    for (waypoint, expected) in
        [("infra/all", (false, "AttachmentDenied")), ("shop/for-all", (true, "WaypointAccepted"))]
    {
        let meta = meta("shop", "api", &naming(waypoint), &[]);
        let subject = Subject { visibility: Visibility::Namespace, ..subject(Role::ServiceEntry, &meta) };
        let found = resolve(&subject, &world, &Settings::default());
        assert_eq!(reason(&found), Some(expected), "{waypoint}");
        assert!(found.waypoint.is_some());
    }
}

#[test]
fn the_namespace_of_a_waypoint_counts_with_its_name_only() {
    let world = world().namespace("shop", &naming("shop/plain"), &[]);
    let stray = meta("shop", "web", &[("istio.io/use-waypoint-namespace", "infra")], &[]);
    assert_eq!(world.resolve(Role::Service, &stray).waypoint, Some(at("shop/plain")));
}
