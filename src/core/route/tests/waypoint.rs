use super::*;

const MESH: &str = "
workloads:
- {uid: client, namespace: n, serviceAccount: client, workloadIps: [10.0.0.1, 'fd00::1'], protocol: HBONE}
- {uid: web, namespace: n, serviceAccount: web, workloadIps: [10.0.0.2], protocol: HBONE, waypoint: {destination: n/gate},
   services: {n/web: {}}}
- {uid: by-ip, namespace: n, serviceAccount: web, workloadIps: [10.0.0.3, 'fd00::3'], waypoint: {destination: /10.1.0.9}}
- {uid: by-pod, namespace: n, workloadIps: [10.0.0.4], waypoint: {destination: /10.0.0.9}}
- {uid: by-host, namespace: n, workloadIps: [10.0.0.5], waypoint: {destination: n/lone.example.com}}
- {uid: lost, namespace: n, workloadIps: [10.0.0.6], waypoint: {destination: n/nobody}}
- {uid: closed, namespace: n, workloadIps: [10.0.0.7], waypoint: {destination: n/idle}}
- {uid: far, namespace: n, workloadIps: [10.0.0.8], waypoint: {destination: n/abroad}}
- {uid: gate-1, namespace: n, serviceAccount: gate, workloadIps: [10.0.0.9, 'fd00::9'], services: {n/gate: {}}, protocol: HBONE}
- {uid: lone, namespace: n, serviceAccount: lone, workloadIps: [10.0.0.10], hostname: lone.example.com}
- {uid: sandwich, namespace: n, serviceAccount: sandwich, workloadIps: [10.0.0.11], services: {n/sandwich: {}},
   applicationTunnel: {protocol: PROXY, port: 15088}}
- {uid: abroad, namespace: n, serviceAccount: abroad, workloadIps: [10.0.0.12], network: west, services: {n/abroad: {}}}
services:
- {name: gate, namespace: n, hostname: gate, vips: [/10.1.0.9, '/fd01::9'], ports: {15008: 15009},
   subjectAltNames: ['spiffe://cluster.local/ns/n/sa/old-gate']}
- {name: idle, namespace: n, hostname: idle, vips: [], ports: {15008: 15008}}
- {name: sandwich, namespace: n, hostname: sandwich, vips: [], ports: {}}
- {name: abroad, namespace: n, hostname: abroad, vips: [], ports: {15008: 15008}}
- {name: web, namespace: n, hostname: web, vips: [/10.1.0.1, '/fd01::1'], ports: {80: 8080}, waypoint: {destination: n/gate}}
- {name: bare, namespace: n, hostname: bare, vips: [/10.1.0.2], ports: {80: 8080}, endpoints: {web: {}}}
- {name: two, namespace: n, hostname: two, vips: [/10.1.0.3], ports: {80: 8080}, waypoint: {destination: n/nobody},
   weightedWaypoints: [{weight: 3, destination: {destination: n/gate}}, {weight: 0, destination: {destination: n/nobody}},
     {weight: 1, destination: {destination: n/sandwich}}]}
- {name: pass, namespace: n, hostname: pass, vips: [/10.1.0.4], ports: {}, waypoint: {destination: n/gate},
   loadBalancer: {mode: Passthrough}}
- {name: at-pod, namespace: n, hostname: at-pod, vips: [/10.0.0.2], ports: {80: 8080}, endpoints: {client: {}}}
";

#[track_caller]
fn check_from(source: &str, destination: &str, expected: &str) {
    assert_eq!(way(&snapshot(MESH), source, destination, 0), expected, "{source} to {destination}");
}

#[track_caller]
fn check(destination: &str, expected: &str) {
    check_from("client", destination, expected);
}

#[test]
fn a_service_behind_a_waypoint_is_asked_of_the_waypoint_as_it_was_called() {
    check("10.1.0.1:80", "tunnel 10.0.0.9:15009 10.1.0.1:80 gate-1 n/web");
    check("[fd01::1]:80", "tunnel [fd00::9]:15009 [fd01::1]:80 gate-1 n/web");
    check("10.1.0.4:4444", "tunnel 10.0.0.9:15009 10.1.0.4:4444 gate-1 n/pass");
}

#[test]
fn a_port_the_service_does_not_have_is_refused_before_its_waypoint_is_asked() {
    check("10.1.0.1:81", "unknown_service_port");
}

#[test]
fn a_workload_behind_a_waypoint_is_asked_of_the_waypoint_by_its_own_address() {
    check("10.0.0.3:80", "tunnel 10.0.0.9:15009 10.0.0.3:80 gate-1 -");
    check("[fd00::3]:80", "tunnel 10.0.0.9:15009 [fd00::3]:80 gate-1 -");
    check("10.0.0.4:80", "tunnel 10.0.0.9:15008 10.0.0.4:80 gate-1 -");
    check("10.0.0.5:80", "tunnel 10.0.0.10:15008 10.0.0.5:80 lone -");
}

#[test]
fn callers_of_a_service_do_not_go_through_the_waypoint_of_an_endpoint() {
    check("10.1.0.2:80", "tunnel 10.0.0.2:15008 10.0.0.2:8080 web n/bare");
}

#[test]
fn the_waypoint_of_a_workload_counts_where_a_service_without_one_has_its_address() {
    check("10.0.0.2:80", "tunnel 10.0.0.9:15009 10.0.0.2:80 gate-1 n/at-pod");
}

#[test]
fn a_waypoint_that_is_not_there_refuses() {
    check("10.0.0.6:80", "unknown_waypoint");
    check("10.0.0.7:80", "waypoint_not_ready");
    check("10.0.0.8:80", "waypoint_not_ready");
}

#[test]
fn waypoints_are_drawn_by_weight() {
    let mesh = snapshot(MESH);
    let drawn = |entropy: u64| way(&mesh, "client", "10.1.0.3:80", entropy.rotate_right(32));
    let gate = "tunnel 10.0.0.9:15009 10.1.0.3:80 gate-1 n/two";
    let sandwich = "tunnel 10.0.0.11:15008 10.1.0.3:80 sandwich n/two";
    for round in 0..3 {
        let four: Vec<String> = (0..4).map(|nth| drawn(4 * round + nth)).collect();
        assert_eq!(four, [gate, gate, gate, sandwich]);
    }
}

#[test]
fn what_comes_from_the_waypoint_itself_goes_on_to_its_destination() {
    check_from("gate-1", "10.1.0.1:80", "tunnel 10.0.0.2:15008 10.0.0.2:8080 web n/web");
    check_from("gate-1", "10.0.0.3:80", "tcp 10.0.0.3:80 by-ip -");
    for entropy in 0..8_u64 {
        let mesh = snapshot(MESH);
        let way = |source| way(&mesh, source, "10.1.0.3:80", entropy.rotate_right(32));
        assert_eq!(
            (way("gate-1"), way("sandwich")),
            ("no_endpoint".into(), "no_endpoint".into()),
            "not to each other"
        );
    }
    check_from("lone", "10.0.0.5:80", "tcp 10.0.0.5:80 by-host -");
    check_from("lone", "10.0.0.3:80", "tunnel 10.0.0.9:15009 10.0.0.3:80 gate-1 -");
}

#[test]
fn the_peer_is_the_waypoint_or_who_its_service_vouches_for() {
    let mesh = snapshot(MESH);
    let client = mesh.workload("client").unwrap();
    let expected = |destination: &str| match outbound(
        &mesh,
        client,
        destination.parse().unwrap(),
        0,
        &Newcomer,
    )
    .unwrap()
    {
        Route::Tunnel { expected, .. } => expected.iter().map(ToString::to_string).collect::<Vec<_>>(),
        Route::Passthrough { .. } | Route::Gateway { .. } => {
            panic!("{destination} is not reached through a tunnel")
        }
    };
    let (gate, old) = ("spiffe://cluster.local/ns/n/sa/gate", "spiffe://cluster.local/ns/n/sa/old-gate");
    assert_eq!(expected("10.1.0.1:80"), [gate, old]);
    assert_eq!(expected("10.0.0.4:80"), [gate], "not who stands behind it");
}

#[test]
fn a_refusal_says_what_is_wrong_with_the_waypoint() {
    let mesh = snapshot(MESH);
    let client = mesh.workload("client").unwrap();
    let refusal = outbound(&mesh, client, "10.0.0.7:80".parse().unwrap(), 0, &Newcomer).unwrap_err();
    assert!(refusal.to_string().starts_with("closed is behind waypoint "), "{refusal}");
    let why = std::error::Error::source(&refusal).unwrap().to_string();
    assert!(why.contains("no endpoint of service n/idle can take the connection"), "{why}");
}
