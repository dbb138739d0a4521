//! A hostname is asked for in one namespace, and the service is in another.

use super::*;

/// A service that may be the one its hostname stands for.
fn entry(namespace: &str, hostname: &str, canonical: bool, revision: &str) -> Change {
    Change::Put(Arc::new(Entry::service(&Service {
        name: revision.into(),
        namespace: namespace.into(),
        hostname: hostname.into(),
        canonical,
        ..Service::default()
    })))
}

impl Client {
    /// The names that were told to be those of resources since this was last asked.
    fn named(&mut self) -> Vec<String> {
        std::mem::take(&mut self.aliases).into_iter().collect()
    }
}

#[test]
fn a_hostname_leads_to_the_service_that_is_canonical_for_it() {
    let mut catalog = catalog([
        entry("out", "api.example", true, ""),
        entry("other", "api.example", false, ""),
        workload(1, "", "b", &[]),
    ]);
    let mut client = Client::on_demand(&catalog);
    client.heard(&catalog);
    client.send(&catalog, ADDRESSES, &["ns/api.example", "ns/unknown.example"], &[]);
    assert_eq!(client.heard(&catalog), ["+out/api.example -ns/api.example -ns/unknown.example"]);
    assert_eq!(client.named(), ["ns/api.example"]);
    client.send(&catalog, ADDRESSES, &["far/api.example"], &[]);
    assert_eq!(client.heard(&catalog), ["+out/api.example -far/api.example"]);
    assert_eq!(client.named(), ["far/api.example", "ns/api.example"]);
    catalog.apply([entry("out", "api.example", true, "new")]);
    assert_eq!(client.heard(&catalog), ["+out/api.example"], "it is kept up to date");
    catalog.apply([entry("late", "unknown.example", true, "")]);
    assert_eq!(
        client.heard(&catalog),
        ["+late/unknown.example -ns/unknown.example"],
        "what was asked for, and was not there"
    );
    assert_eq!(client.named(), ["far/api.example", "ns/api.example", "ns/unknown.example"]);
}

#[test]
fn another_winner_is_told_to_those_who_asked() {
    let mut catalog = catalog([entry("out", "api", true, ""), entry("other", "api", false, "")]);
    let mut client = Client::on_demand(&catalog);
    client.send(&catalog, ADDRESSES, &["ns/api", "other/api"], &[]);
    assert_eq!(client.heard(&catalog), ["+out/api +other/api -ns/api"]);
    assert_eq!(client.named(), ["ns/api"], "one is there under its own name");
    catalog.apply([gone("out/api"), entry("other", "api", true, "")]);
    assert_eq!(client.heard(&catalog), ["+other/api -ns/api -out/api"]);
    assert_eq!(client.named(), ["ns/api"]);
    catalog.apply([entry("ns", "api", false, "")]);
    assert_eq!(client.heard(&catalog), ["+ns/api"], "the namespace's own goes first");
    catalog.apply([entry("other", "api", false, ""), gone("ns/api")]);
    assert_eq!(client.heard(&catalog), ["+other/api -ns/api"], "nobody is canonical");
    catalog.apply([entry("other", "api", true, "")]);
    assert_eq!(client.heard(&catalog), ["+other/api -ns/api"]);
    assert_eq!(client.named(), ["ns/api"]);
    catalog.apply([entry("other", "api", false, "")]);
    assert_eq!(client.heard(&catalog), ["+other/api -ns/api"], "and what was asked for has nobody again");
}

#[test]
fn a_name_asked_for_on_an_earlier_stream_is_answered_as_before() {
    let mut catalog = catalog([entry("out", "api", true, "")]);
    let mut client = Client::on_demand(&catalog);
    client.has.entry(ADDRESSES).or_default().insert("ns/api".to_owned(), String::new());
    client.reconnect(&catalog, false);
    assert_eq!(client.heard(&catalog)[0], "+out/api -ns/api");
    assert_eq!(client.named(), ["ns/api"]);
    client.send(&catalog, ADDRESSES, &[], &["ns/api"]);
    catalog.apply([gone("out/api"), entry("more", "api", true, "")]);
    assert!(!client.heard(&catalog).concat().contains("more/api"), "what is not asked for is not told");
}

#[test]
fn what_a_client_has_of_a_name_goes_when_another_answers_for_it() {
    let mut catalog = catalog([entry("ns", "api", true, "old")]);
    let mut client = Client::on_demand(&catalog);
    client.send(&catalog, ADDRESSES, &["ns/api"], &[]);
    assert_eq!(client.heard(&catalog), ["+ns/api"]);
    catalog.apply([gone("ns/api"), entry("out", "api", true, "")]);
    client.reconnect(&catalog, false);
    assert_eq!(client.heard(&catalog)[0], "+out/api -ns/api");
    assert_eq!(client.named(), ["ns/api"]);
}

#[test]
fn what_a_client_says_that_it_has_goes_whenever_it_says_so_while_another_answers_for_it() {
    let catalog = catalog([entry("out", "api", true, "")]);
    let mut client = Client::on_demand(&catalog);
    client.send(&catalog, ADDRESSES, &["ns/api"], &[]);
    assert_eq!(client.heard(&catalog), ["+out/api -ns/api"]);
    let claim = DeltaDiscoveryRequest {
        type_url: ADDRESSES.url().to_owned(),
        initial_resource_versions: [("ns/api".to_owned(), "0123456789abcdef".to_owned())].into(),
        ..DeltaDiscoveryRequest::default()
    };
    for _ in 0..2 {
        client.request(&catalog, claim.clone());
        assert_eq!(client.heard(&catalog), ["+out/api -ns/api"]);
    }
}
