use super::*;

const MESH: &str = "
workloads:
- {uid: client, namespace: n, workloadIps: [10.0.0.1], waypoint: {destination: n/nobody}, services: {n/own: {}}}
- {uid: named, namespace: n, workloadIps: [10.0.0.2], services: {n/web: {80: 8081, 81: 9001}}}
- {uid: other, namespace: n, workloadIps: [10.0.0.3], services: {n/web: {80: 8082}}}
- {uid: bare, namespace: n, workloadIps: [10.0.0.4], services: {n/web: {}}}
services:
- {name: web, namespace: n, hostname: web, vips: [/10.1.0.1], ports: {80: 8080, 81: 0, 82: 0, 83: 8083}}
";

/// Where connections from `client` to a port of the service lead.
fn ways(port: u16) -> Vec<String> {
    let mesh = snapshot(MESH);
    let mut ways: Vec<_> =
        (0..60).map(|entropy| way(&mesh, "client", &format!("10.1.0.1:{port}"), entropy)).collect();
    ways.sort_unstable();
    ways.dedup();
    ways
}

#[test]
fn an_endpoint_s_own_port_comes_before_that_of_its_service() {
    let [named, other, bare] = ["10.0.0.2:8081 named", "10.0.0.3:8082 other", "10.0.0.4:8080 bare"]
        .map(|to| format!("tcp {to} n/web"));
    assert_eq!(ways(80), [named, other, bare]);
    let [named, other, bare] = ["10.0.0.2:8083 named", "10.0.0.3:8083 other", "10.0.0.4:8083 bare"]
        .map(|to| format!("tcp {to} n/web"));
    assert_eq!(ways(83), [named, other, bare]);
}

#[test]
fn a_named_port_leads_to_those_endpoints_alone_that_have_it() {
    assert_eq!(ways(81), ["tcp 10.0.0.2:9001 named n/web"]);
    assert_eq!(ways(82), ["no_endpoint"]);
}

#[test]
fn a_client_does_not_go_through_its_own_waypoint() {
    let mesh = snapshot(MESH);
    assert_eq!(way(&mesh, "client", "10.0.0.3:80", 0), "tcp 10.0.0.3:80 other -");
    assert_eq!(way(&mesh, "client", "198.51.100.1:80", 0), "tcp 198.51.100.1:80 - -");
    assert_eq!(way(&mesh, "other", "10.0.0.1:80", 0), "unknown_waypoint", "others do");
}
