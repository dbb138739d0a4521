//! What an answer rests on.

use super::*;

fn check(world: &Small, role: Role, meta: &Meta, expected: &[&str]) {
    let used = world.resolve(role, meta).used;
    let texts: Vec<String> = used.iter().map(ToString::to_string).collect();
    assert_eq!(texts, expected, "{role:?} {:?}", meta.labels);
}

#[test]
fn whatever_was_looked_at_is_named_whether_it_is_there_or_not() {
    let empty = Small::default();
    let plain = meta("shop", "web", &[], &[]);
    check(&empty, Role::Pod, &plain, &["Namespace shop"]);
    let own = meta("shop", "web", &[("istio.io/use-waypoint", "wp")], &[]);
    check(&empty, Role::Pod, &own, &["Gateway shop/wp"]);
    let none = meta("shop", "web", &[("istio.io/use-waypoint", "none")], &[]);
    check(&empty, Role::Service, &none, &[]);
    let part = meta("shop", "web", &[("gateway.networking.k8s.io/gateway-name", "wp")], &[]);
    check(&empty, Role::Service, &part, &["Namespace shop", "Gateway shop/wp"]);

    let selected = json!({"from": "Selector", "selector": {"matchLabels": {"team": "a"}}});
    let full = Small::default()
        .namespace(
            "shop",
            &[
                ("istio.io/use-waypoint", "wp"),
                ("istio.io/use-waypoint-namespace", "infra"),
                ("istio.io/use-waypoint-canary", "next"),
            ],
            &[("istio.io/use-waypoint-canary-weight", "5")],
        )
        .gateway("infra/wp", &json!({"allowed": {"from": "All"}, "addresses": [{"value": "10.0.0.1"}]}))
        .gateway("infra/picky", &json!({"allowed": selected}));
    check(
        &full,
        Role::Service,
        &plain,
        &[
            "Namespace culvert-system",
            "Namespace shop",
            "Gateway infra/wp",
            "Gateway shop/next",
            "GatewayClass istio-waypoint",
        ],
    );
    // Not only who inherits depends on the namespace: its labels let others in.
    let own = meta(
        "shop",
        "web",
        &[("istio.io/use-waypoint", "picky"), ("istio.io/use-waypoint-namespace", "infra")],
        &[],
    );
    check(
        &full,
        Role::Service,
        &own,
        &["Namespace shop", "Gateway infra/picky", "GatewayClass istio-waypoint"],
    );
}

/// Takes each thing away or puts it in its place again, and asks whoever has not looked at it: the answer must be the same one.
#[test]
fn what_was_not_looked_at_makes_no_difference() {
    let all = || {
        Small::default()
            .namespace(
                "shop",
                &[("istio.io/use-waypoint", "wp"), ("istio.io/ingress-use-waypoint", "true")],
                &[],
            )
            .namespace("culvert-system", &[("topology.istio.io/network", "west")], &[])
            .class("of-wp", "example.com", &[("istio.io/waypoint-for", "all")], &[])
            .gateway("shop/wp", &json!({"class": "of-wp", "addresses": [{"value": "10.0.0.1"}]}))
            .gateway("shop/next", &json!({}))
            .gateway("infra/wp", &json!({"allowed": {"from": "Selector", "selector": {}}}))
    };
    type Take = fn(&mut Small);
    let takes: [(Kind, &str, &str, Take); 6] = [
        (Kind::Namespace, "", "shop", |world| drop(world.namespaces.remove("shop"))),
        (Kind::Namespace, "", "culvert-system", |world| drop(world.namespaces.remove("culvert-system"))),
        (Kind::GatewayClass, "", "of-wp", |world| drop(world.classes.remove("of-wp"))),
        (Kind::Gateway, "shop", "wp", |world| drop(world.gateways.remove(&("shop".into(), "wp".into())))),
        (Kind::Gateway, "shop", "next", |world| drop(world.gateways.remove(&("shop".into(), "next".into())))),
        (Kind::Gateway, "infra", "wp", |world| drop(world.gateways.remove(&("infra".into(), "wp".into())))),
    ];
    let label = |name: &'static str, value: &'static str| (name, value);
    let subjects = [
        vec![],
        vec![label("istio.io/use-waypoint", "none")],
        vec![label("istio.io/use-waypoint", "next")],
        vec![label("istio.io/use-waypoint", "wp"), label("istio.io/use-waypoint-canary", "next")],
        vec![label("istio.io/use-waypoint", "wp"), label("istio.io/use-waypoint-namespace", "infra")],
        vec![label("gateway.networking.k8s.io/gateway-name", "next")],
    ];
    let mut same = 0;
    for (labels, role) in subjects.iter().flat_map(|labels| ROLES.map(|role| (labels, role))) {
        let meta = meta("shop", "web", labels, &[("istio.io/use-waypoint-canary-weight", "5")]);
        let before = all().resolve(role, &meta);
        for (kind, namespace, name, take) in takes {
            let key = Key { kind, namespace: namespace.into(), name: name.into() };
            let mut world = all();
            take(&mut world);
            if before.used.contains(&key) {
                continue;
            }
            assert_eq!(world.resolve(role, &meta), before, "{labels:?} {role:?} without {key}");
            same += 1;
        }
    }
    assert!(same > 60, "{same}");
}
