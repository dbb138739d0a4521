//! Clients that may have what is near them: proxies of one workload.

use super::*;

#[test]
fn the_proxy_of_one_workload_gets_what_it_names_and_what_is_on_its_node() {
    let mut catalog =
        catalog([workload(1, "", "a", &[]), workload(2, "", "b", &[1]), service(1, ""), service(2, "")]);
    let mut client = Client::on_demand(&catalog);
    client.session = Session::new(&catalog, "a", &near());
    client.send(&catalog, ADDRESSES, &["*"], &["*"]);
    assert_eq!(client.heard(&catalog), ["+w1"]);
    client.send(&catalog, ADDRESSES, &["ns/s1"], &[]);
    assert_eq!(client.heard(&catalog), ["+ns/s1 +w2"]);
    catalog.apply([workload(3, "", "a", &[]), workload(4, "", "b", &[])]);
    assert_eq!(client.heard(&catalog), ["+w3"]);
}

#[test]
fn the_proxy_of_one_workload_gets_no_list_of_everything() {
    let catalog = catalog([service(1, "")]);
    let request = |type_url: Collection, subscribe: &[&str]| DeltaDiscoveryRequest {
        type_url: type_url.url().to_owned(),
        resource_names_subscribe: subscribe.iter().map(ToString::to_string).collect(),
        ..DeltaDiscoveryRequest::default()
    };
    for wanted in [&[][..], &["*"], &["ns/s1", "*"]] {
        let mut session = Session::new(&catalog, "a", &near());
        assert_eq!(session.take(&catalog, &request(ADDRESSES, wanted)), Err(Error::Everything));
    }
    let mut later = Session::new(&catalog, "a", &near());
    assert_eq!(later.take(&catalog, &request(ADDRESSES, &["ns/s1"])).unwrap(), None);
    assert!(later.take(&catalog, &request(ADDRESSES, &["*"])).is_err());
}

#[test]
fn the_proxy_of_one_workload_names_little_at_a_time() {
    let catalog = catalog([service(1, "")]);
    let request = |names: Vec<String>| DeltaDiscoveryRequest {
        type_url: ADDRESSES.url().to_owned(),
        resource_names_subscribe: names,
        ..DeltaDiscoveryRequest::default()
    };
    // The same again is no less to look at.
    let again = request(vec!["ns/s1".to_owned(); 1001]);
    let refused = Session::new(&catalog, "a", &near()).take(&catalog, &again).unwrap_err();
    assert_eq!(refused, Error::Names { most: 1000 });
    let claims = (0..2003).map(|number| (format!("ns/{number}"), String::new())).collect();
    let claiming = DeltaDiscoveryRequest { initial_resource_versions: claims, ..request(Vec::new()) };
    let refused = Session::new(&catalog, "a", &near()).take(&catalog, &claiming).unwrap_err();
    assert_eq!(refused, Error::Unknown);
    assert!(
        Session::new(&catalog, "a", &near()).take(&catalog, &request(vec!["ns/s1".into(); 1000])).is_ok()
    );
}

#[test]
fn whatever_is_asked_a_stream_holds_on_to_no_changes() {
    let mut catalog = catalog([service(1, "")]);
    let mut session = Session::new(&catalog, "a", &near());
    catalog.apply([service(1, "new")]);
    let unknown = DeltaDiscoveryRequest { type_url: "of/nobody".into(), ..DeltaDiscoveryRequest::default() };
    assert_eq!(session.take(&catalog, &unknown).unwrap(), None);
    assert_eq!(session.generation(), catalog.generation());
}

#[test]
fn the_proxy_of_one_workload_gets_the_policies_that_may_govern_it() {
    let of = |key: &str| {
        let (namespace, _) = key.split_once('/').unwrap();
        let policy = Policy::unusable(key.into(), namespace.into(), Scope::Namespace, "why".into());
        Change::Put(Arc::new(Entry::policy(&policy)))
    };
    let mut catalog = catalog([of("ns/p"), of("root/p"), of("other/p"), of("n/p")]);
    let mut client = Client::on_demand(&catalog);
    client.session = Session::new(&catalog, "a", &near());
    client.send(&catalog, POLICIES, &[], &[]);
    assert_eq!(client.heard(&catalog), ["+ns/p +root/p"]);
    catalog.apply([of("ns/q"), of("other/q")]);
    assert_eq!(client.heard(&catalog), ["+ns/q"]);
    client.send(&catalog, POLICIES, &["other/q"], &[]);
    assert_eq!(client.heard(&catalog), ["+other/q"]);
}
