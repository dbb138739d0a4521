use std::net::IpAddr;

use super::*;
use crate::workload::GatewayAddress;

const MESH: &str = "
workloads:
- {uid: client, namespace: n, serviceAccount: client, workloadIps: [10.0.0.1, 'fd00::1'], protocol: HBONE}
- {uid: west, namespace: n, workloadIps: [], network: west, networkGateway: {destination: west/192.0.2.9, hboneMtlsPort: 15009},
   services: {n/far.n: {}, n/both: {}, n/anybody: {}, n/second: {}}}
- {uid: near, namespace: n, serviceAccount: a, workloadIps: [10.0.0.2], protocol: HBONE, services: {n/both: {}, n/first: {}, n/mixed: {}, n/curious: {}}}
- {uid: at-gate, namespace: n, serviceAccount: eastwest, network: west, workloadIps: [192.0.2.9, '2001:db8::9'], protocol: HBONE}
- {uid: named, namespace: n, workloadIps: [], network: north, networkGateway: {destination: n/eastwest, hboneMtlsPort: 15009},
   services: {n/north: {80: 8080}, n/mixed: {}}}
- {uid: gate-1, namespace: n, serviceAccount: eastwest, network: north, workloadIps: [198.51.100.1, '2001:db8::1'],
   services: {n/eastwest: {}}}
- {uid: gate-2, namespace: n, serviceAccount: eastwest, workloadIps: [198.51.100.2], services: {n/eastwest: {}}}
- {uid: lost, namespace: n, workloadIps: [], network: south, networkGateway: {destination: n/nobody}, services: {n/lost: {}, n/curious: {}}}
- {uid: idle, namespace: n, workloadIps: [], network: east, networkGateway: {destination: n/idle}, services: {n/idler: {}}}
- {uid: gate-w, namespace: n, serviceAccount: gate, workloadIps: [], network: west,
   networkGateway: {destination: west/192.0.2.9, hboneMtlsPort: 15009}, services: {n/gate: {}}}
- {uid: behind, namespace: n, workloadIps: [10.0.0.4], waypoint: {destination: n/gate}}
services:
- {name: far, namespace: n, hostname: far.n, vips: [/10.1.0.1, '/fd01::1'], ports: {80: 8080},
   subjectAltNames: ['spiffe://cluster.local/ns/n/sa/far', nonsense, 'spiffe://other/ns/n/sa/far']}
- {name: both, namespace: n, hostname: both, vips: [/10.1.0.2], ports: {80: 8080}, subjectAltNames: ['spiffe://d/ns/n/sa/b']}
- {name: anybody, namespace: n, hostname: anybody, vips: [/10.1.0.3], ports: {80: 8080}}
- {name: north, namespace: n, hostname: north, vips: [/10.1.0.4], ports: {80: 0}, subjectAltNames: ['spiffe://d/ns/n/sa/b']}
- {name: eastwest, namespace: n, hostname: eastwest, vips: [/10.1.0.9], ports: {15009: 15008}}
- {name: lost, namespace: n, hostname: lost, vips: [/10.1.0.5], ports: {80: 80}, subjectAltNames: ['spiffe://d/ns/n/sa/b']}
- {name: idle, namespace: n, hostname: idle, vips: [], ports: {15008: 15008}}
- {name: idler, namespace: n, hostname: idler, vips: [/10.1.0.6], ports: {80: 80}, subjectAltNames: ['spiffe://d/ns/n/sa/b']}
- {name: gate, namespace: n, hostname: gate, vips: [], ports: {15008: 15008}, subjectAltNames: ['spiffe://d/ns/n/sa/gate']}
- {name: guarded, namespace: n, hostname: guarded, vips: [/10.1.0.7], ports: {80: 8080}, waypoint: {destination: n/gate}}
- {name: mixed, namespace: n, hostname: mixed, vips: [/10.1.0.10], ports: {80: 8080}, subjectAltNames: ['spiffe://d/ns/n/sa/b']}
- {name: curious, namespace: n, hostname: curious, vips: [/10.1.0.11], ports: {80: 8080}, subjectAltNames: ['spiffe://d/ns/n/sa/b']}
- {name: first, namespace: n, hostname: first, vips: [/10.1.0.8], ports: {80: 8080}, subjectAltNames: ['spiffe://d/ns/n/sa/b'],
   endpoints: {west: {}}, loadBalancer: {mode: Failover, routingPreferences: [Network]}}
";

#[track_caller]
fn check(destination: &str, expected: &str) {
    assert_eq!(way(&snapshot(MESH), "client", destination, 0), expected, "{destination}");
}

#[test]
fn another_network_is_reached_through_its_gateway_by_the_name_of_the_service() {
    check("10.1.0.1:80", "gateway 192.0.2.9:15009 far.n:80 at-gate west");
    check("[fd01::1]:80", "gateway 192.0.2.9:15009 far.n:80 at-gate west");
}

#[test]
fn a_gateway_by_name_has_the_ports_of_its_service() {
    let mesh = snapshot(MESH);
    let ways: std::collections::BTreeSet<_> =
        (0..100).map(|entropy| way(&mesh, "client", "10.1.0.4:80", entropy)).collect();
    let expected = [
        "gateway 198.51.100.1:15008 north:80 gate-1 named",
        "gateway 198.51.100.2:15008 north:80 gate-2 named",
    ];
    assert!(ways.iter().eq(&expected), "{ways:?}");
}

#[test]
fn near_and_far_endpoints_share_what_the_load_balancer_leaves_open() {
    let mesh = snapshot(MESH);
    let count = |start| {
        (0..100).filter(|&entropy| way(&mesh, "client", "10.1.0.2:80", entropy).starts_with(start)).count()
    };
    assert_eq!((count("gateway 192.0.2.9"), count("tunnel 10.0.0.2:15008 10.0.0.2:8080 near")), (50, 50));
    check("10.1.0.8:80", "tunnel 10.0.0.2:15008 10.0.0.2:8080 near n/first");
}

#[test]
fn the_far_network_takes_over_when_nothing_near_is_left() {
    let mesh = snapshot(MESH);
    let bad = |it: &Workload, _: SocketAddr| {
        if &*it.uid == "near" { Reputation::Tried } else { Reputation::Good }
    };
    let route = routed(&mesh, "client", "10.1.0.8:80", 0, &bad).unwrap();
    assert_eq!(short(route), "gateway 192.0.2.9:15009 first:80 at-gate west");
}

#[test]
fn a_gateway_that_does_not_answer_is_not_chosen_where_there_is_another_way() {
    let mesh = snapshot(MESH);
    let bad = |it: &Workload, _: SocketAddr| {
        if &*it.uid == "at-gate" { Reputation::SetAside } else { Reputation::Good }
    };
    for entropy in 0..100 {
        let route = routed(&mesh, "client", "10.1.0.2:80", entropy, &bad).unwrap();
        assert_eq!(short(route), "tunnel 10.0.0.2:15008 10.0.0.2:8080 near n/both");
    }
    let route = routed(&mesh, "client", "10.1.0.1:80", 0, &bad).unwrap();
    assert_eq!(short(route), "gateway 192.0.2.9:15009 far.n:80 at-gate west", "there is no other");
    let tried = |_: &Workload, _: SocketAddr| Reputation::Tried;
    let refusal = routed(&mesh, "client", "10.1.0.4:80", 0, &tried).unwrap_err();
    assert_eq!(refusal.reason(), "gateway_not_ready");
}

#[test]
fn a_way_that_others_could_not_go_comes_before_a_dead_end() {
    let mesh = snapshot(MESH);
    let bad = |it: &Workload, _: SocketAddr| match &*it.uid {
        "near" => Reputation::SetAside,
        _ => Reputation::Tried,
    };
    for entropy in 0..100 {
        let route = routed(&mesh, "client", "10.1.0.2:80", entropy, &bad).unwrap();
        assert_eq!(short(route), "tunnel 10.0.0.2:15008 10.0.0.2:8080 near n/both");
        let route = routed(&mesh, "client", "10.1.0.10:80", entropy, &bad).unwrap();
        assert_eq!(short(route), "tunnel 10.0.0.2:15008 10.0.0.2:8080 near n/mixed");
    }
}

/// Has asked for nothing yet.
struct Curious;

impl Known for Curious {
    fn reputation(&self, _: &Workload, _: SocketAddr) -> Reputation {
        Reputation::Good
    }

    fn addresses(&self, _: &str) -> Option<&[IpAddr]> {
        None
    }

    fn has_asked_for(&self, _: &GatewayAddress) -> bool {
        false
    }
}

#[test]
fn a_gateway_nobody_has_asked_for_gets_its_share_so_that_somebody_does() {
    let mesh = snapshot(MESH);
    let reason = |entropy, known: &dyn Known| match routed(&mesh, "client", "10.1.0.11:80", entropy, known) {
        Ok(route) => short(route),
        Err(refusal) => refusal.reason().to_owned(),
    };
    let count =
        |known: &dyn Known| (0..100).filter(|&entropy| reason(entropy, known) == "unknown_gateway").count();
    assert_eq!((count(&Curious), count(&Newcomer)), (50, 0));
}

#[test]
fn a_gateway_is_looked_at_once_however_many_are_behind_it() {
    let endpoints: String = (0..500)
        .map(|nth| {
            format!(
                "- {{uid: e{nth}, namespace: n, workloadIps: [], network: west, services: {{n/s: {{}}}}, \
                 networkGateway: {{destination: west/192.0.2.9}}}}\n"
            )
        })
        .collect();
    let mesh = snapshot(&format!(
        "workloads:
- {{uid: client, namespace: n, workloadIps: [10.0.0.1]}}
- {{uid: gate, namespace: n, serviceAccount: gate, network: west, workloadIps: [192.0.2.9]}}
{endpoints}
services: [{{name: s, namespace: n, hostname: s, vips: [/10.1.0.1], ports: {{80: 80}}, subjectAltNames: ['spiffe://d/ns/n/sa/b']}}]"
    ));
    let looked = std::cell::Cell::new(0);
    let aside = |_: &Workload, _: SocketAddr| {
        looked.set(looked.get() + 1);
        Reputation::SetAside
    };
    routed(&mesh, "client", "10.1.0.1:80", 7, &aside).unwrap();
    assert_eq!(looked.get(), 1);
}

#[test]
fn who_may_be_at_either_end() {
    let mesh = snapshot(MESH);
    let Ok(Route::Gateway { expected, behind, .. }) = routed(&mesh, "client", "10.1.0.1:80", 0, &Newcomer)
    else {
        panic!("not through a gateway")
    };
    let text = |ids: Vec<SpiffeId>| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(text(expected), ["spiffe://cluster.local/ns/n/sa/eastwest"]);
    let far = ["spiffe://cluster.local/ns/n/sa/far", "spiffe://other/ns/n/sa/far"];
    assert_eq!(text(behind), far, "whom the service vouches for, and nobody else");
}

#[test]
fn nobody_is_trusted_for_want_of_a_name() {
    check("10.1.0.3:80", "nobody_vouched_for");
}

#[test]
fn a_gateway_that_is_not_there_refuses() {
    check("10.1.0.5:80", "unknown_gateway");
    check("10.1.0.6:80", "gateway_not_ready");
}

#[test]
fn a_waypoint_on_another_network_is_asked_for_the_service_through_the_gateway() {
    check("10.1.0.7:80", "gateway 192.0.2.9:15009 guarded:80 at-gate gate-w");
    let Ok(Route::Gateway { behind, .. }) = routed(&snapshot(MESH), "client", "10.1.0.7:80", 0, &Newcomer)
    else {
        panic!("not through a gateway")
    };
    assert_eq!(behind.iter().map(ToString::to_string).collect::<Vec<_>>(), ["spiffe://d/ns/n/sa/gate"]);
}

#[test]
fn an_address_is_not_asked_for_on_another_network() {
    check("10.0.0.4:80", "waypoint_not_ready");
    let refusal = routed(&snapshot(MESH), "client", "10.0.0.4:80", 0, &Newcomer).unwrap_err();
    let why = std::error::Error::source(&refusal).unwrap().to_string();
    assert!(
        why.starts_with("gate-w is on network `west`, and a gateway is asked for services by name"),
        "{why}"
    );
}

#[test]
fn what_is_missing_is_the_gateway() {
    let missing =
        |destination| routed(&snapshot(MESH), "client", destination, 0, &Newcomer).unwrap_err().missing();
    let Some(Missing::Gateway(gateway)) = missing("10.1.0.5:80") else { panic!("nothing is missing") };
    assert_eq!(gateway.to_string(), "n/nobody port 15008");
    assert_eq!(missing("10.1.0.3:80"), None);
}
