use super::*;

const MESH: &str = "
workloads:
- {uid: web, namespace: n, workloadIps: [10.0.0.1], protocol: HBONE,
   services: {n/web.n: {81: 8081, 82: 15006}, m/shared: {80: 9002}}}
- {uid: other, namespace: n, workloadIps: [10.0.0.2], protocol: HBONE, services: {n/other.n: {}}}
- {uid: announced, namespace: n, workloadIps: [10.0.0.9], applicationTunnel: {protocol: PROXY}}
- {uid: tunnelled, namespace: n, workloadIps: [10.0.0.3], applicationTunnel: {protocol: PROXY, port: 15088}}
- {uid: plainly, namespace: n, workloadIps: [10.0.0.4], applicationTunnel: {protocol: NONE}, services: {n/gate: {}}}
- {uid: sandwiched, namespace: n, workloadIps: [10.0.0.5], services: {n/front: {}}}
- {uid: behind, namespace: n, workloadIps: [10.0.0.6], waypoint: {destination: n/front}}
- {uid: behind-it, namespace: n, workloadIps: [10.0.0.7], waypoint: {destination: /10.0.0.5}}
services:
- {name: web, namespace: n, hostname: web.n, vips: [/10.1.0.1], ports: {80: 8080, 81: 0, 83: 0}}
- {name: other, namespace: n, hostname: other.n, vips: [], ports: {80: 8080}}
- {name: secret, namespace: m, hostname: secret.m, vips: [], ports: {80: 8080}, visibility: Namespace, endpoints: {web: {}}}
- {name: shared, namespace: m, hostname: shared, vips: [], ports: {80: 9001}, canonical: true, endpoints: {web: {}}}
- {name: shared, namespace: n, hostname: shared, vips: [], ports: {80: 9003}, endpoints: {web: {}}}
- {name: gate, namespace: n, hostname: gate, vips: ['/fd01::9', west/10.1.0.8, /10.1.0.9], ports: {80: 8080}}
- {name: front, namespace: n, hostname: front, vips: [/10.1.0.5], ports: {15008: 15008}}
- {name: guarded, namespace: n, hostname: guarded, vips: [/10.1.0.6], ports: {80: 8080}, waypoint: {destination: n/front}}
- {name: canary, namespace: n, hostname: canary, vips: [/10.1.0.7], ports: {80: 8080},
   weightedWaypoints: [{weight: 1, destination: {destination: n/front}}, {weight: 9, destination: {destination: n/gate}}]}
- {name: sick, namespace: n, hostname: sick, vips: [], ports: {80: 9004}, endpoints: {web: {status: Unhealthy}}}
";

/// Asserts where `uid` delivers a connection to `authority`, or the reason for not doing so.
#[track_caller]
fn check_at(uid: &str, local_ip: &str, authority: &str, expected: &str) {
    let snapshot = snapshot(MESH);
    let local = snapshot.workload(uid).unwrap();
    let delivered = inbound(&snapshot, local, local_ip.parse().unwrap(), &authority.parse().unwrap());
    let delivered = delivered.map_or_else(
        |refusal| refusal.reason().to_owned(),
        |delivery| match delivery.announced {
            None => delivery.to.to_string(),
            Some(asked) => format!("{} for {asked}", delivery.to),
        },
    );
    assert_eq!(delivered, expected, "{authority}");
}

#[track_caller]
fn check(authority: &str, expected: &str) {
    check_at("web", "10.0.0.1", authority, expected);
}

#[test]
fn an_address_must_be_the_one_the_tunnel_arrived_at() {
    check("10.0.0.1:80", "10.0.0.1:80");
    check("[::ffff:10.0.0.1]:80", "10.0.0.1:80");
    check_at("web", "::ffff:10.0.0.1", "10.0.0.1:80", "10.0.0.1:80");
    check_at("web", "fd00::1", "[fd00::1]:80", "[fd00::1]:80");
    check("10.0.0.2:80", "ip_mismatch");
    check("10.1.0.1:80", "ip_mismatch");
    check("127.0.0.1:80", "ip_mismatch");
    check("[fd00::1]:80", "ip_mismatch");
}

#[test]
fn a_host_leads_to_the_target_port_of_its_service() {
    check("web.n:80", "10.0.0.1:8080");
    check("web.n:81", "10.0.0.1:8081");
    check("web.n:83", "no_target_port");
    check("web.n:84", "no_target_port");
    check("unknown.n:80", "unknown_host");
    check("other.n:80", "not_an_endpoint");
    check("secret.m:80", "unknown_host");
    check("shared:80", "10.0.0.1:9003");
    check("sick:80", "10.0.0.1:9004");
}

#[test]
fn ports_of_the_proxy_are_refused() {
    for port in [15001, 15006, 15008] {
        check(&format!("10.0.0.1:{port}"), "own_port");
    }
    check("web.n:82", "own_port");
}

#[test]
fn a_peer_that_chooses_the_port_of_an_application_tunnel_does_not_get_to_the_proxy() {
    for port in [15000, 15001, 15006, 15008, 15020, 15021, 15053, 15080] {
        check_at("announced", "10.0.0.9", &format!("10.1.0.1:{port}"), "own_port");
    }
    check_at("announced", "10.0.0.9", "10.1.0.1:15088", "10.0.0.9:15088 for 10.1.0.1:15088");
    check_at("plainly", "10.0.0.4", "10.1.0.1:15053", "10.0.0.4:15053");
}

#[test]
fn an_application_tunnel_takes_what_is_for_others_on_its_own_port() {
    check_at("tunnelled", "10.0.0.3", "10.0.0.3:80", "10.0.0.3:15088 for 10.0.0.3:80");
    check_at("tunnelled", "10.0.0.3", "10.0.0.1:80", "10.0.0.3:15088 for 10.0.0.1:80");
    check_at("tunnelled", "10.0.0.3", "[::ffff:10.1.0.1]:15008", "10.0.0.3:15088 for 10.1.0.1:15008");
    check_at("plainly", "10.0.0.4", "10.1.0.1:80", "10.0.0.4:80");
    check_at("plainly", "10.0.0.4", "gate:80", "10.0.0.4:8080");
    check_at("plainly", "10.0.0.4", "10.1.0.1:15008", "own_port");
}

#[test]
fn a_host_is_announced_by_an_address_of_its_service() {
    check_at("tunnelled", "10.0.0.3", "gate:80", "10.0.0.3:15088 for 10.1.0.9:80");
    check_at("tunnelled", "10.0.0.3", "gate:81", "10.0.0.3:15088 for 10.1.0.9:81");
    check_at("tunnelled", "10.0.0.3", "other.n:80", "no_virtual_address");
    check_at("tunnelled", "10.0.0.3", "nobody:80", "unknown_host");
}

#[test]
fn a_waypoint_takes_what_is_for_those_behind_it_and_nothing_else() {
    check_at("sandwiched", "10.0.0.5", "10.0.0.6:80", "10.0.0.5:80");
    check_at("sandwiched", "10.0.0.5", "10.0.0.7:80", "10.0.0.5:80");
    check_at("sandwiched", "10.0.0.5", "10.1.0.6:80", "10.0.0.5:80");
    check_at("sandwiched", "10.0.0.5", "10.1.0.7:80", "10.0.0.5:80");
    check_at("sandwiched", "10.0.0.5", "guarded:80", "10.0.0.5:8080");
    check_at("sandwiched", "10.0.0.5", "10.0.0.1:80", "ip_mismatch");
    check_at("sandwiched", "10.0.0.5", "10.1.0.1:80", "ip_mismatch");
    check_at("sandwiched", "10.0.0.5", "198.51.100.1:80", "ip_mismatch");
    check_at("other", "10.0.0.2", "10.0.0.6:80", "ip_mismatch");
}

#[test]
fn a_refusal_answers_the_peer() {
    let snapshot = snapshot("workloads: [{uid: web, namespace: n, workloadIps: [10.0.0.1]}]");
    let local = snapshot.workload("web").unwrap();
    let refuse = |authority: &str| -> Refusal {
        inbound(&snapshot, local, "10.0.0.1".parse().unwrap(), &authority.parse().unwrap()).unwrap_err()
    };
    for (authority, status, starts) in [
        ("10.0.0.2:80", 400, "ip mismatch: 10.0.0.2 != 10.0.0.1;"),
        ("web:80", 503, "no service is called `web`;"),
        ("10.0.0.1:15008", 503, "port 15008 belongs to the proxy,"),
    ] {
        let refusal = refuse(authority);
        assert_eq!(refusal.http_status(), status);
        assert!(refusal.to_string().starts_with(starts), "{refusal}");
    }
}
