//! Clients that want everything, and requests of any client.

use super::*;

#[test]
fn everything_comes_in_an_order_that_is_safe_to_use() {
    let mut catalog = catalog([workload(1, "", "a", &[1]), service(1, ""), policy(1, false)]);
    let mut client = Client::wildcard(&catalog);
    assert_eq!(client.heard(&catalog), ["+ns/p1", "+ns/s1 +w1"]);
    assert!(client.aliases.is_empty(), "they are of no use to somebody who has everything");
    catalog.apply([
        gone("w1"),
        gone("ns/s1"),
        Change::Remove(POLICIES, "ns/p1".into()),
        policy(2, false),
        service(2, ""),
    ]);
    assert_eq!(client.heard(&catalog), ["+ns/p2", "+ns/s2 -ns/s1 -w1", "-ns/p1"]);
}

#[test]
fn nothing_is_an_answer_once() {
    let mut catalog = Catalog::default();
    let mut client = Client::wildcard(&catalog);
    assert_eq!(client.heard(&catalog), ["", ""]);
    assert_eq!(client.nonces, ["a1", "p1"]);
    client.send(&catalog, ADDRESSES, &[], &[]);
    assert_eq!(client.heard(&catalog), [""; 0]);
    catalog.apply([service(1, "")]);
    catalog.apply([gone("ns/s1")]);
    assert_eq!(client.heard(&catalog), [""; 0], "what came and went was never there");
}

#[test]
fn who_comes_back_is_told_the_difference() {
    let mut catalog = catalog([service(1, ""), service(2, ""), service(3, ""), policy(1, false)]);
    let mut client = Client::wildcard(&catalog);
    client.heard(&catalog);
    client.reconnect(&catalog, true);
    assert_eq!(client.heard(&catalog), ["", ""], "an empty answer to each request");
    catalog.apply([service(2, "new"), gone("ns/s3"), service(4, "")]);
    client.reconnect(&catalog, true);
    assert_eq!(client.heard(&catalog), ["+ns/s2 +ns/s4 -ns/s3", ""]);
}

#[test]
fn claims_may_come_in_parts_even_late() {
    let catalog = catalog([service(1, ""), service(2, "")]);
    let versions = all(&catalog, ADDRESSES);
    let claim = |name: &str, version: &str| DeltaDiscoveryRequest {
        type_url: ADDRESSES.url().to_owned(),
        initial_resource_versions: [(name.to_owned(), version.to_owned())].into(),
        ..DeltaDiscoveryRequest::default()
    };
    let mut client = Client::new(&catalog);
    client.request(&catalog, claim("ns/s1", &versions["ns/s1"]));
    client.request(&catalog, claim("ns/s2", &versions["ns/s2"]));
    client.request(&catalog, claim("ns/s3", "0123456789abcdef"));
    assert_eq!(client.heard(&catalog), ["-ns/s3"]);
    client.request(&catalog, claim("ns/s1", "what was sent counts"));
    client.request(&catalog, claim("ns/s4", ""));
    assert_eq!(client.heard(&catalog), ["-ns/s4"]);
}

#[test]
fn a_refused_response_is_not_repeated() {
    let mut catalog = catalog([service(1, "")]);
    let mut client = Client::wildcard(&catalog);
    client.heard(&catalog);
    let refuse = |nonce: &str| DeltaDiscoveryRequest {
        type_url: ADDRESSES.url().to_owned(),
        response_nonce: nonce.to_owned(),
        error_detail: Some(rpc::Status { code: 0, message: "ns/s1: no".to_owned() }),
        ..DeltaDiscoveryRequest::default()
    };
    let refused = client.session.take(&catalog, &refuse("a1")).unwrap().unwrap();
    assert_eq!((refused.reason.as_str(), refused.nonce.as_str()), ("ns/s1: no", "a1"));
    for stale in ["a1", "a2", "p1x", "x"] {
        client.request(&catalog, refuse(stale));
    }
    assert_eq!(client.heard(&catalog), [""; 0]);
    catalog.apply([service(1, "new")]);
    assert_eq!(client.heard(&catalog), ["+ns/s1"]);
}

#[test]
fn much_comes_in_parts() {
    let name = |n: usize| format!("ns/{n:05}");
    let service = |n| {
        Change::Put(Arc::new(Entry::service(&Service {
            namespace: "ns".into(),
            hostname: format!("{n:05}").into(),
            ..Service::default()
        })))
    };
    let mut catalog = catalog((0..9000).map(service));
    let mut client = Client::wildcard(&catalog);
    let said = client.heard(&catalog);
    let counts: Vec<_> = said.iter().map(|text| text.split_whitespace().count()).collect();
    assert_eq!(counts, [[500; 18].as_slice(), &[0]].concat());
    assert_eq!(client.nonces.last().unwrap(), "p1");
    assert_eq!(client.nonces[17], "a18");
    assert_eq!(client.has[&ADDRESSES], all(&catalog, ADDRESSES));

    // However many changes come before they are looked at, none is lost.
    for _ in 0..2 {
        catalog.apply((0..9000).map(|n| gone(&name(n))));
        catalog.apply((100..9000).map(service));
    }
    assert_eq!(client.session.moment.later().count(), 9000 + 3 * 8900);
    client.heard(&catalog);
    assert_eq!(client.has[&ADDRESSES], all(&catalog, ADDRESSES));
}

#[test]
fn large_resources_share_no_response() {
    let large = |n: u8| {
        let service = Service {
            name: "x".repeat(64 * 1024 + 1).into(),
            namespace: "ns".into(),
            hostname: format!("s{n}").into(),
            ..Service::default()
        };
        Change::Put(Arc::new(Entry::service(&service)))
    };
    let catalog = catalog([large(1), large(2), service(3, "")]);
    let mut client = Client::wildcard(&catalog);
    assert_eq!(client.heard(&catalog), ["+ns/s1", "+ns/s2 +ns/s3", ""]);
}

#[test]
fn strange_requests_change_nothing_or_end_the_stream() {
    let catalog = catalog([service(1, "")]);
    let mut session = Session::new(&catalog, "", &Reach::Everything);
    let of = |type_url: &str, names: Vec<String>| DeltaDiscoveryRequest {
        type_url: type_url.to_owned(),
        resource_names_subscribe: names,
        ..DeltaDiscoveryRequest::default()
    };
    assert_eq!(session.take(&catalog, &of("type.googleapis.com/other", vec![])).unwrap(), None);
    assert!(!session.is_pending());
    let long = session.take(&catalog, &of(ADDRESSES.url(), vec!["x".repeat(1025)])).unwrap_err();
    assert_eq!(long, Error::LongName);
    let many = (0..60_000).map(|n| n.to_string()).collect();
    let many = session.take(&catalog, &of(ADDRESSES.url(), many)).unwrap_err();
    assert_eq!(many, Error::Unknown);
}
