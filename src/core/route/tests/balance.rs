use std::collections::BTreeMap;

use super::*;

mod cost;
mod model;

/// Gives which of the endpoints take connections of `client`, and how often out of 100; the reason if they are refused.
fn taken(client: &str, endpoints: &[&str], balancer: &str) -> Result<BTreeMap<String, u32>, String> {
    let entries: String = endpoints
        .iter()
        .enumerate()
        .map(|(at, endpoint)| {
            let ip = if endpoint.contains("workloadIps") {
                String::new()
            } else {
                format!("workloadIps: [10.0.0.{at}], ")
            };
            format!("- {{uid: e{at}, namespace: n, services: {{n/s: {{}}}}, {ip}{endpoint}}}\n")
        })
        .collect();
    let snapshot = snapshot(&format!(
        "workloads:
- {{uid: client, namespace: n, workloadIps: [10.9.0.1], {client}}}
{entries}
services:
- {{name: s, namespace: n, hostname: s, vips: [/10.1.0.1, net/10.1.0.1], ports: {{80: 80}}, loadBalancer: {{{balancer}}}}}"
    ));
    let mut counts = BTreeMap::new();
    for entropy in 0..100 {
        let way = way(&snapshot, "client", "10.1.0.1:80", entropy);
        let Some(uid) = way.strip_prefix("tcp ").and_then(|rest| rest.split(' ').nth(1)) else {
            return Err(way);
        };
        *counts.entry(uid.to_owned()).or_default() += 1;
    }
    Ok(counts)
}

/// Asserts which endpoints take connections at all.
#[track_caller]
fn check(client: &str, endpoints: &[&str], balancer: &str, expected: &[usize]) {
    let taken = taken(client, endpoints, balancer).map(|counts| counts.into_keys().collect::<Vec<_>>());
    let expected: Vec<String> = expected.iter().map(|at| format!("e{at}")).collect();
    let expected = if expected.is_empty() { Err("no_endpoint".to_owned()) } else { Ok(expected) };
    assert_eq!(taken, expected, "{balancer} over {endpoints:?}");
}

const CLIENT: &str = "node: a, clusterId: c, locality: {region: r, zone: z, subzone: s}";
const NEAR: &str = "node: a, clusterId: c, locality: {region: r, zone: z, subzone: s}";
const NODE_AWAY: &str = "node: b, clusterId: c, locality: {region: r, zone: z, subzone: s}";
const ZONE_AWAY: &str = "node: b, clusterId: c, locality: {region: r, zone: y, subzone: s}";
const REGION_AWAY: &str = "node: b, clusterId: d, locality: {region: q, zone: z, subzone: s}";

#[test]
fn all_endpoints_are_equal_by_default() {
    let all = [NEAR, NODE_AWAY, ZONE_AWAY, REGION_AWAY];
    check(CLIENT, &all, "", &[0, 1, 2, 3]);
    check(CLIENT, &all, "routingPreferences: [Region, Zone]", &[0, 1, 2, 3]);
}

#[test]
fn strict_takes_only_endpoints_that_match_every_preference() {
    let all = [NEAR, NODE_AWAY, ZONE_AWAY, REGION_AWAY];
    for (preferences, expected) in [
        ("", &[0, 1, 2, 3][..]),
        ("Region", &[0, 1, 2]),
        ("Zone", &[0, 1, 3]),
        ("Region, Zone", &[0, 1]),
        ("Region, Zone, Subzone", &[0, 1]),
        ("Cluster", &[0, 1, 2]),
        ("Node", &[0]),
        ("Network, Node", &[0]),
    ] {
        check(CLIENT, &all, &format!("mode: Strict, routingPreferences: [{preferences}]"), expected);
    }
    check(CLIENT, &[NODE_AWAY], "mode: Strict, routingPreferences: [Node]", &[]);
}

#[test]
fn failover_takes_the_best_endpoints_there_are() {
    let of = "mode: Failover, routingPreferences: [Region, Zone, Node]";
    check(CLIENT, &[NEAR, NODE_AWAY, ZONE_AWAY, REGION_AWAY], of, &[0]);
    check(CLIENT, &[REGION_AWAY, NODE_AWAY, ZONE_AWAY, NODE_AWAY], of, &[1, 3]);
    check(CLIENT, &[ZONE_AWAY, REGION_AWAY], of, &[0]);
    check(CLIENT, &[REGION_AWAY, REGION_AWAY], of, &[0, 1]);
    // A later match does not make up for an earlier mismatch.
    check(CLIENT, &["locality: {region: q, zone: z}, node: a", ZONE_AWAY], of, &[1]);
    check(CLIENT, &[NEAR, ZONE_AWAY], "mode: Failover", &[0, 1]);
}

#[test]
fn levels_nobody_fills_in_do_not_end_the_comparison() {
    let of = "mode: Failover, routingPreferences: [Region, Zone, Subzone, Node]";
    check(
        "node: a, locality: {region: r}",
        &["node: b, locality: {region: r}", "node: a, locality: {region: r}"],
        of,
        &[1],
    );
}

#[test]
fn sick_endpoints_are_left_out_unless_all_are_wanted() {
    let sick = "status: Unhealthy";
    check("", &[sick, NEAR], "", &[1]);
    check("", &[sick, NEAR], "healthPolicy: AllowAll", &[0, 1]);
    check("", &[sick], "", &[]);
}

#[test]
fn capacity_is_weight() {
    let counts = |endpoints: &[&str]| taken("", endpoints, "").unwrap().into_values().collect::<Vec<_>>();
    assert_eq!(counts(&["capacity: 1", "capacity: 4"]), [20, 80]);
    assert_eq!(counts(&["capacity: 4294967295", "capacity: 4294967295"])[0], 100);
    check("", &["capacity: 0", "capacity: 1"], "", &[1]);
    check("", &["capacity: 0", "capacity: 0"], "", &[0, 1]);
    let by_node = "mode: Failover, routingPreferences: [Node]";
    check("node: a", &["node: a, capacity: 0", "node: b", "node: c, capacity: 0"], by_node, &[1]);
}

#[test]
fn endpoints_without_a_way_are_never_taken() {
    check("", &["workloadIps: []", NEAR], "", &[1]);
    check("", &["workloadIps: []"], "", &[]);
    check("", &["workloadIps: [], networkGateway: {destination: /10.0.0.9}"], "", &[]);
}

#[test]
fn endpoints_nothing_leads_to_are_taken_only_for_want_of_others() {
    let gated = "network: west, networkGateway: {destination: west/192.0.2.1}";
    let far = "network: west";
    check("", &[far, gated, NEAR], "", &[2]);
    check("", &[far, gated, REGION_AWAY], "mode: Failover, routingPreferences: [Network, Region]", &[2]);
    assert_eq!(taken("", &[far], "").unwrap_err(), "no_gateway");
    assert_eq!(taken("", &[gated], "").unwrap_err(), "nobody_vouched_for");
    check("", &[far], "mode: Strict, routingPreferences: [Network]", &[]);
}

/// The rank of an endpoint that is in the client's network, region and zone as the flags say.
#[test]
fn the_network_as_first_preference_outranks_the_rest() {
    use crate::service::Preference::{Network, Region, Zone};
    let place = |[network, region, zone]: [bool; 3]| {
        let name = |same: bool| Arc::from(if same { "here" } else { "there" });
        let locality =
            crate::workload::Locality { region: name(region), zone: name(zone), subzone: "".into() };
        let place = crate::workload::Place { locality, ..Default::default() };
        let workload = Workload { place: place.into(), ..Workload::default() };
        workload.with(|it| it.network = name(network))
    };
    let here = place([true; 3]);
    let rank =
        |preferences: &[_], same| crate::route::balance::lineup::rank(preferences, &here, &place(same));
    for (same, first, last) in [
        ([true, true, true], 5, 3),
        ([true, true, false], 4, 1),
        ([true, false, true], 3, 0),
        ([true, false, false], 3, 0),
        ([false, true, true], 2, 2),
        ([false, true, false], 1, 1),
        ([false, false, true], 0, 0),
        ([false, false, false], 0, 0),
    ] {
        assert_eq!(rank(&[Network, Region, Zone], same), first, "network first, {same:?}");
        assert_eq!(rank(&[Region, Zone, Network], same), last, "network last, {same:?}");
    }
}
