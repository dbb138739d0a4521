//! Clients that want what is theirs and what they name.

use super::*;

#[test]
fn on_demand_means_own_workloads_and_what_is_named() {
    let mut catalog = catalog([
        workload(1, "", "a", &[]),
        workload(2, "", "b", &[1]),
        workload(3, "", "b", &[]),
        service(1, ""),
    ]);
    let mut client = Client::on_demand(&catalog);
    assert_eq!(client.heard(&catalog), ["+w1"]);
    assert!(client.aliases.contains("/10.0.0.1"));
    client.send(&catalog, ADDRESSES, &["/10.1.0.1"], &[]);
    assert_eq!(client.heard(&catalog), ["+ns/s1 +w2"]);
    assert!(client.aliases.contains("/10.1.0.1"));
    client.send(&catalog, ADDRESSES, &["ns/s2", "/10.0.0.3", "w9"], &[]);
    assert_eq!(client.heard(&catalog), ["+w3 -ns/s2 -w9"]);
    client.send(&catalog, ADDRESSES, &["/10.0.0.3"], &[]);
    assert_eq!(client.heard(&catalog), ["+w3"], "who asks again waits again");

    catalog.apply([
        service(2, ""),
        workload(4, "", "b", &[2]),
        workload(5, "", "b", &[1]),
        workload(6, "", "b", &[]),
    ]);
    assert_eq!(
        client.heard(&catalog),
        ["+ns/s2 +w4 +w5"],
        "what was named and was not there, and what joined"
    );
    client.send(&catalog, ADDRESSES, &[], &["/10.1.0.1"]);
    catalog.apply([workload(2, "new", "b", &[1]), service(1, "new"), workload(4, "new", "b", &[2])]);
    assert_eq!(client.heard(&catalog), ["+w4"], "what is not named any more is not told");
    catalog.apply([gone("w1"), gone("w2")]);
    assert_eq!(client.heard(&catalog), ["-w1"]);
}

#[test]
fn on_demand_survives_a_reconnect() {
    let mut catalog = catalog([workload(2, "", "b", &[1]), service(1, "")]);
    let mut client = Client::on_demand(&catalog);
    client.send(&catalog, ADDRESSES, &["/10.1.0.1", "ns/s9"], &[]);
    client.heard(&catalog);
    catalog.apply([workload(3, "", "b", &[1]), gone("w2")]);
    // What was asked for and not answered is claimed without a version.
    client
        .has
        .entry(ADDRESSES)
        .or_default()
        .extend([("ns/s8".to_owned(), String::new()), ("/10.0.0.3".to_owned(), String::new())]);
    client.reconnect(&catalog, false);
    assert_eq!(client.heard(&catalog), ["+w3 -ns/s8 -w2", ""]);
    catalog.apply([service(1, "new"), workload(4, "", "b", &[1])]);
    assert_eq!(client.heard(&catalog), ["+ns/s1 +w4"], "the service is still followed");
}

#[test]
fn what_is_dropped_while_it_changes_is_told_first() {
    let mut catalog = Catalog::default();
    catalog.apply([workload(1, "old", "b", &[])]);
    let mut client = Client::on_demand(&catalog);
    client.send(&catalog, ADDRESSES, &["/10.0.0.1"], &[]);
    client.receive(&catalog, 10);
    catalog.apply([workload(1, "new", "b", &[])]);
    client.session.follow(&catalog);
    client.send(&catalog, ADDRESSES, &[], &["/10.0.0.1"]);
    client.receive(&catalog, 10);
    let newest = catalog.find(ADDRESSES, "w1").unwrap().version.to_string();
    assert_eq!(client.has[&ADDRESSES]["w1"], newest);
}
