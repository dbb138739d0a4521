//! An address is asked for that a service stands for because it is in its block, and no other has it.

use culvert_core::address::NetworkBlock;

use super::*;

/// A service that has a block of addresses.
fn block(number: u8, block: &str) -> Change {
    let block = NetworkBlock { network: "".into(), block: block.parse().unwrap() };
    Change::Put(Arc::new(Entry::service(&Service {
        namespace: "ns".into(),
        hostname: format!("s{number}").into(),
        cidr_vips: vec![block],
        ..Service::default()
    })))
}

/// A client that has asked for these, and has heard of them.
fn asking(catalog: &Catalog, keys: &[&str]) -> Client {
    let mut client = Client::on_demand(catalog);
    client.send(catalog, POLICIES, &[], &[]);
    client.send(catalog, ADDRESSES, keys, &[]);
    client.heard(catalog);
    client
}

#[test]
fn who_asks_for_an_address_in_a_block_is_told_what_is_behind_it_though_it_drops_the_name() {
    let mut catalog = catalog([block(1, "10.2.0.0/24"), workload(1, "", "b", &[1]), policy(1, false)]);
    let mut client = asking(&catalog, &["/10.2.0.7", "ns/s1"]);
    client.send(&catalog, ADDRESSES, &[], &["ns/s1"]);
    assert_eq!(client.heard(&catalog), [""; 0], "its policies are not taken away");
    catalog.apply([workload(1, "new", "b", &[1]), workload(2, "", "b", &[1]), policy(1, true)]);
    assert_eq!(client.heard(&catalog), ["+ns/p1", "+w1 +w2"]);
    catalog.apply([block(1, "10.3.0.0/24")]);
    assert_eq!(client.heard(&catalog), ["+ns/s1"], "it does not go to the old one");
}

#[test]
fn one_of_several_addresses_in_a_block_does() {
    let mut catalog = catalog([block(1, "10.2.0.0/24")]);
    let mut client = asking(&catalog, &["/10.2.0.7", "/10.2.0.8", "/10.2.0.9"]);
    client.send(&catalog, ADDRESSES, &[], &["/10.2.0.7", "/10.2.0.9"]);
    catalog.apply([workload(1, "", "b", &[1])]);
    assert_eq!(client.heard(&catalog), ["+w1"]);
    client.send(&catalog, ADDRESSES, &[], &["/10.2.0.8"]);
    catalog.apply([workload(2, "", "b", &[1]), block(1, "10.2.0.0/23")]);
    assert_eq!(client.heard(&catalog), [""; 0], "what is not asked for any more is not told");
}

#[test]
fn an_address_in_a_block_that_is_somebodys_own_does_not() {
    let mut catalog = catalog([block(1, "10.0.0.0/24"), workload(1, "", "b", &[])]);
    let mut client = asking(&catalog, &["/10.0.0.1", "ns/s1"]);
    client.send(&catalog, ADDRESSES, &[], &["ns/s1"]);
    catalog.apply([workload(2, "", "b", &[1])]);
    assert_eq!(client.heard(&catalog), [""; 0]);
    catalog.apply([gone("w1")]);
    assert_eq!(client.heard(&catalog), ["+ns/s1 +w2 -w1"], "until it has no other");
}

#[test]
fn names_that_stand_for_one_are_dropped_together() {
    let mut catalog = catalog([block(1, "10.2.0.0/24"), workload(1, "", "b", &[1])]);
    let keys = ["/10.2.0.7", "ns/s1", "w1"];
    let mut client = asking(&catalog, &keys);
    client.send(&catalog, ADDRESSES, &[], &keys);
    catalog.apply([workload(1, "new", "b", &[1]), workload(2, "", "b", &[1]), block(1, "10.2.0.0/23")]);
    assert_eq!(client.heard(&catalog), [""; 0]);
}
