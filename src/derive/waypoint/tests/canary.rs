//! Two waypoints, and gateways that go through one.

use super::*;

const USE: &str = "istio.io/use-waypoint";
const CANARY: &str = "istio.io/use-waypoint-canary";
const CANARY_NAMESPACE: &str = "istio.io/use-waypoint-canary-namespace";
const WEIGHT: &str = "istio.io/use-waypoint-canary-weight";

fn world() -> Small {
    Small::default()
        .gateway("shop/first", &json!({"labels": {"istio.io/waypoint-for": "all"}}))
        .gateway("shop/second", &json!({}))
        .gateway(
            "shop/twin",
            &json!({"addresses": [{"type": "Hostname", "value": "first.shop.svc.cluster.local"}]}),
        )
        .gateway("shop/unready", &json!({"addresses": []}))
        .gateway("shop/workloads", &json!({"labels": {"istio.io/waypoint-for": "workload"}}))
        .gateway("infra/open", &json!({"allowed": {"from": "All"}}))
        .gateway("infra/closed", &json!({}))
}

/// Weights as `<waypoint> <weight>`, and the condition.
fn check(resolution: &Resolution, weights: &[(&str, u32)], expected: (bool, &str)) {
    let wanted: Vec<WeightedWaypoint> =
        weights.iter().map(|&(name, weight)| WeightedWaypoint { destination: at(name), weight }).collect();
    assert_eq!(resolution.weighted, wanted);
    assert_eq!(resolution.waypoint, Some(at("shop/first")), "the first one stays");
    assert_eq!(reason(resolution), Some(expected), "{:?}", resolution.condition);
}

#[test]
fn a_canary_takes_the_share_it_is_given_and_a_share_that_makes_no_sense_is_said() {
    let accepted = (true, "WaypointAccepted");
    let unsupported = (true, "UnsupportedValue");
    for (weight, shares, expected) in [
        (Some("0"), Some((100, 0)), accepted),
        (Some("1"), Some((99, 1)), accepted),
        (Some("50"), Some((50, 50)), accepted),
        (Some("100"), Some((0, 100)), accepted),
        (Some("101"), None, unsupported),
        (Some("99999999999"), None, unsupported),
        (Some("abc"), None, unsupported),
        (Some("-1"), None, unsupported),
        (Some("+1"), None, unsupported),
        (Some("1.5"), None, unsupported),
        (Some(""), None, unsupported),
        (None, None, unsupported),
    ] {
        let annotations: Vec<_> = weight.map(|weight| (WEIGHT, weight)).into_iter().collect();
        let meta = meta("shop", "web", &[(USE, "first"), (CANARY, "second")], &annotations);
        for role in [Role::Service, Role::ServiceEntry] {
            let shares: Vec<_> = shares
                .into_iter()
                .flat_map(|(first, second)| [("shop/first", first), ("shop/second", second)])
                .collect();
            check(&world().resolve(role, &meta), &shares, expected);
        }
        // Workloads know no shares.
        assert_eq!(world().resolve(Role::WorkloadEntry, &meta).weighted, []);
    }
}

#[test]
fn a_canary_that_cannot_be_had_leaves_all_to_the_first_and_says_why() {
    for (canary, namespace, expected) in [
        ("second", None, "WaypointAccepted"),
        ("open", Some("infra"), "WaypointAccepted"),
        ("none", None, "WaypointAccepted"),
        ("first", None, "UnsupportedValue"),
        ("first", Some("shop"), "UnsupportedValue"),
        ("twin", None, "UnsupportedValue"),
        ("missing", None, "WaypointMissing"),
        ("open", None, "WaypointMissing"),
        ("unready", None, "WaypointIsNotReady"),
        ("workloads", None, "UnsupportedTrafficType"),
        ("closed", Some("infra"), "AttachmentDenied"),
    ] {
        let mut labels = vec![(USE, "first"), (CANARY, canary)];
        labels.extend(namespace.map(|namespace| (CANARY_NAMESPACE, namespace)));
        let resolution = world().resolve(Role::Service, &meta("shop", "web", &labels, &[(WEIGHT, "10")]));
        let canary = format!("{}/{canary}", namespace.unwrap_or("shop"));
        let both = [("shop/first", 90), (canary.as_str(), 10)];
        let takes_part = expected == "WaypointAccepted" && !canary.ends_with("/none");
        check(&resolution, if takes_part { &both } else { &[] }, (true, expected));
    }
}

#[test]
fn a_canary_of_a_waypoint_that_cannot_be_had_takes_nothing() {
    let labels = [(USE, "unready"), (CANARY, "second")];
    let resolution = world().resolve(Role::Service, &meta("shop", "web", &labels, &[(WEIGHT, "100")]));
    assert_eq!((resolution.weighted.len(), reason(&resolution)), (0, Some((false, "WaypointIsNotReady"))));
}

#[test]
fn the_canary_of_a_namespace_is_that_of_its_own_waypoint() {
    let namespaced = world().namespace("shop", &[(USE, "first"), (CANARY, "second")], &[(WEIGHT, "7")]);
    let resolve =
        |labels, annotations| namespaced.resolve(Role::Service, &meta("shop", "web", labels, annotations));
    let accepted = (true, "WaypointAccepted");
    check(&resolve(&[], &[]), &[("shop/first", 93), ("shop/second", 7)], accepted);
    // Who names a waypoint names its canary, too, or has none.
    check(&resolve(&[(USE, "first")], &[]), &[], accepted);
    // Who names a canary for the namespace's waypoint says its share.
    let own = [(CANARY, "open"), (CANARY_NAMESPACE, "infra")];
    check(&resolve(&own, &[(WEIGHT, "20")]), &[("shop/first", 80), ("infra/open", 20)], accepted);
    check(&resolve(&own, &[]), &[], (true, "UnsupportedValue"));
    check(&resolve(&[(CANARY, "none")], &[]), &[], accepted);
}

#[test]
fn gateways_go_through_a_waypoint_when_the_object_or_else_its_namespace_says_so() {
    const INGRESS: &str = "istio.io/ingress-use-waypoint";
    for (own, namespace, expected) in [
        (None, None, false),
        (Some("true"), None, true),
        (None, Some("true"), true),
        (Some("false"), Some("true"), false),
        (Some("true"), Some("false"), true),
        (Some("yes"), None, false),
    ] {
        let label = |value: Option<&'static str>| value.map(|value| (INGRESS, value)).into_iter();
        let of_namespace: Vec<_> = label(namespace).chain([(USE, "first")]).collect();
        let world = world().namespace("shop", &of_namespace, &[]);
        let labels: Vec<_> = label(own).collect();
        for role in ROLES {
            let found = world.resolve(role, &meta("shop", "web", &labels, &[])).ingress;
            let is_service = matches!(role, Role::Service | Role::ServiceEntry);
            assert_eq!(found, expected && is_service, "{own:?} {namespace:?} {role:?}");
        }
        let none: Vec<_> = label(own).chain([(USE, "none")]).collect();
        assert!(!world.resolve(Role::Service, &meta("shop", "web", &none, &[])).ingress);
    }
}
