use super::*;

const MESH: &str = "
workloads:
- {uid: client, namespace: n, serviceAccount: client, workloadIps: [10.0.0.1, 'fd00::1'], protocol: HBONE}
- {uid: hbone, namespace: n, serviceAccount: a, workloadIps: [10.0.0.2, 'fd00::2'], protocol: HBONE,
   services: {n/mesh: {}, n/v4: {}, n/v6: {}, n/own: {15008: 15008}}}
- {uid: tcp, namespace: n, workloadIps: [10.0.0.3], services: {n/plain: {80: 8083}}}
- {uid: behind, namespace: n, workloadIps: [10.0.0.4], protocol: HBONE, waypoint: {destination: n/waypoint},
   services: {n/front: {}}}
- {uid: behind-tcp, namespace: n, workloadIps: [10.0.0.5], waypoint: {destination: /10.0.0.9}}
- {uid: host, namespace: n, workloadIps: [192.0.2.1], networkMode: HostNetwork, protocol: HBONE, services: {n/daemon: {}}}
- {uid: west, namespace: n, workloadIps: [10.0.0.2], network: west, protocol: HBONE, services: {n/far: {}}}
- {uid: gated, namespace: n, workloadIps: [], network: west, networkGateway: {destination: west/192.0.2.9},
   services: {n/gated: {}}}
- {uid: named, namespace: n, workloadIps: [], hostname: db.example.com, services: {n/named: {}}}
- {uid: blank, namespace: n, workloadIps: [], services: {n/blank: {}}}
- {uid: v6, namespace: n, workloadIps: ['fd00::6'], protocol: HBONE, services: {n/only-v6: {}, n/not-v6: {}}}
- {uid: shared, namespace: n, workloadIps: [10.0.0.7], protocol: HBONE, waypoint: {destination: n/waypoint}}
services:
- {name: mesh, namespace: n, hostname: mesh, vips: [/10.1.0.1, '/fd01::1'], ports: {80: 8080},
   subjectAltNames: ['spiffe://cluster.local/ns/n/sa/old', not-an-identity, 'spiffe://cluster.local/ns/n/sa/a']}
- {name: v4, namespace: n, hostname: v4, vips: ['/fd01::4'], ports: {80: 8080}, ipFamilies: IPv4}
- {name: v6, namespace: n, hostname: v6, vips: [/10.1.0.6], ports: {80: 8080}, ipFamilies: IPv6}
- {name: own, namespace: n, hostname: own, vips: [/10.1.0.15], ports: {15008: 15008}}
- {name: self, namespace: n, hostname: self, vips: [/10.1.0.16], ports: {80: 15008, 81: 8080}, endpoints: {client: {}}}
- {name: plain, namespace: n, hostname: plain, vips: [/10.1.0.2], ports: {80: 80, 81: 0}}
- {name: front, namespace: n, hostname: front, vips: [/10.1.0.3], ports: {80: 80}}
- {name: guarded, namespace: n, hostname: guarded, vips: [/10.1.0.4], ports: {80: 80}, waypoint: {destination: n/waypoint}}
- {name: weighted, namespace: n, hostname: weighted, vips: [/10.1.0.5], ports: {80: 80},
   weightedWaypoints: [{weight: 1, destination: {destination: /10.0.0.9}}]}
- {name: daemon, namespace: n, hostname: daemon, vips: [/10.1.0.7], ports: {80: 80}}
- {name: far, namespace: n, hostname: far, vips: [/10.1.0.8], ports: {80: 80}}
- {name: gated, namespace: n, hostname: gated, vips: [/10.1.0.9], ports: {80: 80}}
- {name: named, namespace: n, hostname: named, vips: [/10.1.0.10], ports: {80: 80}}
- {name: blank, namespace: n, hostname: blank, vips: [/10.1.0.11], ports: {80: 80}}
- {name: only-v6, namespace: n, hostname: only-v6, vips: [/10.1.0.12], ports: {80: 80}}
- {name: not-v6, namespace: n, hostname: not-v6, vips: [/10.1.0.13], ports: {80: 80}, ipFamilies: IPv4}
- {name: empty, namespace: n, hostname: empty, vips: [/10.1.0.14], ports: {80: 80}}
- {name: pass, namespace: n, hostname: pass, vips: [/10.1.1.1], ports: {80: 80}, endpoints: {hbone: {}},
   loadBalancer: {mode: Passthrough}}
- {name: pass-guarded, namespace: n, hostname: pass-guarded, vips: [/10.1.1.2], ports: {}, waypoint: {destination: n/waypoint},
   loadBalancer: {mode: Passthrough}}
- {name: block, namespace: n, hostname: block, vips: [], cidrVips: [{cidr: 10.2.0.0/16}], ports: {80: 8080}, endpoints: {hbone: {}}}
- {name: shared, namespace: n, hostname: shared, vips: [/10.0.0.7], ports: {80: 8080}, endpoints: {hbone: {}}}
- {name: headless, namespace: n, hostname: headless, vips: [/10.0.0.2], ports: {80: 8080}, endpoints: {hbone: {}}}
- {name: west, namespace: n, hostname: west, vips: [west/10.1.2.1], ports: {80: 80}, endpoints: {hbone: {}}}
- {name: secret, namespace: m, hostname: secret, vips: [/10.1.2.2], ports: {80: 80}, endpoints: {hbone: {}}, visibility: Namespace}
";

/// Asserts the way of a connection from `client`.
#[track_caller]
fn check(destination: &str, expected: &str) {
    assert_eq!(way(&snapshot(MESH), "client", destination, 0), expected, "{destination}");
}

#[test]
fn an_unknown_destination_is_passed_through() {
    check("198.51.100.1:443", "tcp 198.51.100.1:443 - -");
    check("[2001:db8::1]:443", "tcp [2001:db8::1]:443 - -");
    check("[::ffff:198.51.100.1]:443", "tcp 198.51.100.1:443 - -");
    check("10.1.2.1:80", "tcp 10.1.2.1:80 - -");
    check("10.1.2.2:80", "tcp 10.1.2.2:80 - -");
}

#[test]
fn a_workload_is_reached_as_it_wants_to_be_on_any_port() {
    check("10.0.0.3:1234", "tcp 10.0.0.3:1234 tcp -");
    check("[::ffff:10.0.0.3]:1234", "tcp 10.0.0.3:1234 tcp -");
    check("[fd00::2]:1234", "tunnel [fd00::2]:15008 [fd00::2]:1234 hbone -");
    check("192.0.2.1:80", "tcp 192.0.2.1:80 - -");
}

#[test]
fn a_service_leads_to_its_endpoints() {
    check("10.1.0.1:80", "tunnel 10.0.0.2:15008 10.0.0.2:8080 hbone n/mesh");
    check("10.1.0.2:80", "tcp 10.0.0.3:8083 tcp n/plain");
    check("10.1.0.7:80", "tunnel 192.0.2.1:15008 192.0.2.1:80 host n/daemon");
    check("10.2.3.4:80", "tunnel 10.0.0.2:15008 10.0.0.2:8080 hbone n/block");
    check("10.0.0.2:80", "tunnel 10.0.0.2:15008 10.0.0.2:8080 hbone n/headless");
    check("10.1.0.16:81", "tunnel 10.0.0.1:15008 10.0.0.1:8080 client n/self");
}

#[test]
fn the_waypoint_of_an_endpoint_does_not_concern_callers_of_its_service() {
    check("10.1.0.3:80", "tunnel 10.0.0.4:15008 10.0.0.4:80 behind n/front");
}

#[test]
fn the_family_is_that_of_the_caller_unless_the_service_says_otherwise() {
    check("[fd01::1]:80", "tunnel [fd00::2]:15008 [fd00::2]:8080 hbone n/mesh");
    check("[fd01::4]:80", "tunnel 10.0.0.2:15008 10.0.0.2:8080 hbone n/v4");
    check("10.1.0.6:80", "tunnel [fd00::2]:15008 [fd00::2]:8080 hbone n/v6");
    check("10.1.0.12:80", "tunnel [fd00::6]:15008 [fd00::6]:80 v6 n/only-v6");
    check("10.1.0.13:80", "no_address");
}

#[test]
fn a_service_without_a_way_is_refused() {
    check("10.1.0.1:81", "unknown_service_port");
    check("10.1.0.2:81", "no_endpoint");
    check("10.1.0.14:80", "no_endpoint");
    check("10.1.0.11:80", "no_endpoint");
    check("10.2.3.4:81", "unknown_service_port");
}

#[test]
fn a_passthrough_service_gets_what_was_dialled() {
    check("10.1.1.1:80", "tcp 10.1.1.1:80 - n/pass");
    check("10.1.1.1:81", "tcp 10.1.1.1:81 - n/pass");
    check("10.1.1.2:80", "unknown_waypoint");
}

#[test]
fn what_cannot_be_done_is_refused_and_never_gone_around() {
    check("10.1.0.4:80", "unknown_waypoint");
    check("10.1.0.5:80", "unknown_waypoint");
    check("10.0.0.4:80", "unknown_waypoint");
    check("10.0.0.5:80", "unknown_waypoint");
    check("10.0.0.7:80", "unknown_waypoint");
    check("10.1.0.8:80", "no_gateway");
    check("10.1.0.9:80", "nobody_vouched_for");
    check("10.1.0.10:80", "hostname_not_resolved");
}

#[test]
fn weighted_waypoints_without_weight_leave_the_single_one() {
    let with = |weight: u32, single: &str| {
        let text = format!(
            "workloads: [{{uid: c, namespace: n, workloadIps: [10.0.0.1]}}]
services: [{{name: s, namespace: n, hostname: s, vips: [/10.1.0.1], ports: {{80: 80}}, endpoints: {{c: {{}}}}, {single}
weightedWaypoints: [{{weight: {weight}, destination: {{destination: n/w}}}}]}}]"
        );
        way(&snapshot(&text), "c", "10.1.0.1:80", 0)
    };
    assert_eq!(with(0, ""), "tcp 10.0.0.1:80 c n/s");
    assert_eq!(with(1, ""), "unknown_waypoint");
    assert_eq!(with(0, "waypoint: {destination: n/single},"), "unknown_waypoint");
}

#[test]
fn the_source_is_looked_up_in_its_own_network() {
    let mesh = snapshot(MESH);
    assert_eq!(way(&mesh, "west", "10.1.2.1:80", 0), "no_gateway");
    assert_eq!(way(&mesh, "west", "10.1.0.1:80", 0), "tcp 10.1.0.1:80 - -");
    assert_eq!(way(&mesh, "west", "10.0.0.2:80", 0), "tunnel 10.0.0.2:15008 10.0.0.2:80 west -");
}

#[test]
fn connections_to_the_proxy_itself_are_refused() {
    for port in [15001, 15006, 15008] {
        for ip in ["127.0.0.1", "127.1.2.3", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1", "[fd00::1]"] {
            check(&format!("{ip}:{port}"), "loop");
        }
    }
    check("10.1.0.15:15008", "tunnel 10.0.0.2:15008 10.0.0.2:15008 hbone n/own");
    check("10.1.0.16:80", "loop");
    check("127.0.0.1:80", "tcp 127.0.0.1:80 - -");
    check("10.0.0.1:80", "tunnel 10.0.0.1:15008 10.0.0.1:80 client -");
    check("10.0.0.3:15008", "tcp 10.0.0.3:15008 tcp -");
}

/// Gives the identities expected of the peer.
fn expected(destination: &str) -> Vec<String> {
    let snapshot = snapshot(MESH);
    let client = snapshot.workload("client").unwrap();
    match outbound(&snapshot, client, destination.parse().unwrap(), 0, &Newcomer).unwrap() {
        Route::Tunnel { expected, .. } => expected.iter().map(ToString::to_string).collect(),
        Route::Passthrough { .. } | Route::Gateway { .. } => {
            panic!("{destination} is not reached through a tunnel")
        }
    }
}

#[test]
fn the_peer_is_the_workload_or_who_its_service_vouches_for() {
    let own = "spiffe://cluster.local/ns/n/sa/a";
    assert_eq!(expected("[fd00::2]:80"), [own]);
    assert_eq!(expected("10.1.0.1:80"), [own, "spiffe://cluster.local/ns/n/sa/old"]);
}

#[test]
fn a_peer_nobody_could_recognise_is_refused() {
    let mut mesh = mesh_file::parse(MESH).unwrap();
    for workload in &mut mesh.workloads {
        Arc::make_mut(&mut workload.template).service_account = "".into();
    }
    let snapshot = Snapshot::new(mesh, "");
    assert_eq!(way(&snapshot, "client", "[fd00::2]:80", 0), "no_identity");
    assert_eq!(way(&snapshot, "client", "10.0.0.3:80", 0), "tcp 10.0.0.3:80 tcp -");
}
