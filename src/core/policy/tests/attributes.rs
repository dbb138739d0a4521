//! Each attribute in both forms, against plaintext and two identities.

use super::*;

fn accounts(namespace: &str, service_account: &str) -> Vec<ServiceAccountMatch> {
    vec![ServiceAccountMatch { namespace: namespace.into(), service_account: service_account.into() }]
}

fn blocks(text: &str) -> Vec<ipnet::IpNet> {
    vec![text.parse().unwrap()]
}

#[test]
fn namespaces_positive_and_negative() {
    check(namespaces(exact("namespace")), [false, true, false]);
    check(Match { not_namespaces: exact("namespace"), ..Match::default() }, [true, false, true]);
}

#[test]
fn service_accounts_positive_and_negative() {
    let account = || accounts("namespace", "account");
    check(Match { service_accounts: account(), ..Match::default() }, [false, true, false]);
    check(Match { not_service_accounts: account(), ..Match::default() }, [true, false, true]);
    // Both halves count.
    for half in [accounts("other", "account"), accounts("namespace", "else")] {
        check(Match { service_accounts: half.clone(), ..Match::default() }, [false; 3]);
        check(Match { not_service_accounts: half, ..Match::default() }, [true; 3]);
    }
}

#[test]
fn principals_positive_and_negative() {
    let principal = || exact("td/ns/namespace/sa/account");
    check(principals(principal()), [false, true, false]);
    check(Match { not_principals: principal(), ..Match::default() }, [true, false, true]);
    check(Match { not_principals: vec![StringMatch::Presence], ..Match::default() }, [true, false, false]);
}

#[test]
fn source_ips_positive_and_negative() {
    check(sources(&["127.0.0.1/32"]), [true, true, false]);
    check(Match { not_source_ips: blocks("127.0.0.1/32"), ..Match::default() }, [false, false, true]);
}

#[test]
fn destination_ips_positive_and_negative() {
    check(Match { destination_ips: blocks("127.0.0.2/32"), ..Match::default() }, [true, true, false]);
    check(Match { not_destination_ips: blocks("127.0.0.2/32"), ..Match::default() }, [false, false, true]);
}

#[test]
fn destination_ports_positive_and_negative() {
    check(port(8080), [true, true, false]);
    check(Match { not_destination_ports: vec![8080], ..Match::default() }, [false, false, true]);
}

#[test]
fn a_block_with_host_bits_is_its_network() {
    check(sources(&["127.0.0.1/24"]), [true; 3]);
    check(sources(&["127.0.0.77/29"]), [false; 3]);
    let ip: IpAddr = "10.0.0.200".parse().unwrap();
    assert!(matcher::lies_in(&"10.0.0.1/24".parse().unwrap(), ip));
    assert!(!matcher::lies_in(&"10.0.1.1/24".parse().unwrap(), ip));
}

#[test]
fn a_block_holds_nothing_of_the_other_family() {
    let v6 = peer(WITHOUT, "[fd00::1]:1", "[fd00::2]:8080");
    let from = |block| hits(&one(vec![sources(&[block])]), &v6);
    assert!(from("fd00::/64") && from("::/0") && !from("0.0.0.0/0"));
    check(sources(&["::/0"]), [false; 3]);
    check(sources(&["::ffff:127.0.0.1/128"]), [false; 3]);
}

#[test]
fn an_ipv4_mapped_address_is_an_ipv4_address() {
    let mapped = peer(WITHOUT, "[::ffff:127.0.0.1]:1", "[::ffff:127.0.0.2]:8080");
    assert!(hits(&one(vec![sources(&["127.0.0.1/32"])]), &mapped));
    assert!(!hits(&one(vec![sources(&["::/0"])]), &mapped));
    let to = Match { destination_ips: blocks("127.0.0.2/32"), ..Match::default() };
    assert!(hits(&one(vec![to]), &mapped));
}

#[test]
fn a_block_without_prefix_bits_is_the_whole_family() {
    check(sources(&["0.0.0.0/0"]), [true; 3]);
    check(Match { not_source_ips: blocks("0.0.0.0/0"), ..Match::default() }, [false; 3]);
}

#[test]
fn a_text_is_exact_to_the_letter() {
    check(namespaces(exact("namespac")), [false; 3]);
    check(namespaces(exact("Namespace")), [false; 3]);
    check(namespaces(exact("*")), [false; 3]);
}

#[test]
fn a_text_has_a_prefix() {
    let prefix = |text: &str| vec![StringMatch::Prefix(text.into())];
    check(namespaces(prefix("name")), [false, true, false]);
    check(namespaces(prefix("space")), [false; 3]);
    check(namespaces(prefix("namespaces")), [false; 3]);
    check(principals(prefix("td/ns/")), [false, true, true]);
}

#[test]
fn a_text_has_a_suffix() {
    let suffix = |text: &str| vec![StringMatch::Suffix(text.into())];
    check(namespaces(suffix("her")), [false, false, true]);
    check(namespaces(suffix("name")), [false; 3]);
    check(principals(suffix("/sa/account")), [false, true, false]);
}

#[test]
fn a_text_is_present() {
    check(namespaces(vec![StringMatch::Presence]), [false, true, true]);
    check(principals(vec![StringMatch::Presence]), [false, true, true]);
}

#[test]
fn the_namespace_of_plaintext_is_empty() {
    let empty = || Arc::<str>::from("");
    check(namespaces(exact("")), [true, false, false]);
    check(namespaces(vec![StringMatch::Prefix(empty())]), [true; 3]);
    check(namespaces(vec![StringMatch::Suffix(empty())]), [true; 3]);
    check(namespaces(vec![StringMatch::Presence]), [false, true, true]);
}

#[test]
fn plaintext_has_no_principal_not_even_an_empty_one() {
    let empty = || Arc::<str>::from("");
    check(principals(exact("")), [false; 3]);
    check(principals(vec![StringMatch::Prefix(empty())]), [false, true, true]);
    check(principals(vec![StringMatch::Suffix(empty())]), [false, true, true]);
}

#[test]
fn a_principal_is_written_without_its_scheme() {
    check(principals(exact("td/ns/namespace/sa/account")), [false, true, false]);
    check(principals(exact("spiffe://td/ns/namespace/sa/account")), [false; 3]);
    check(principals(vec![StringMatch::Prefix("spiffe://".into())]), [false; 3]);
}

#[test]
fn a_principal_that_nobody_can_be_is_found() {
    let found = |attributes| {
        let policy = policy("p", Action::Deny, one(vec![attributes]));
        policy.principal_with_scheme().map(str::to_owned)
    };
    let with = "spiffe://td/ns/namespace/sa/account";
    assert_eq!(found(principals(exact(with))).as_deref(), Some(with));
    let not = Match { not_principals: vec![StringMatch::Prefix(with.into())], ..Match::default() };
    assert_eq!(found(not).as_deref(), Some(with));
    for fine in ["td/ns/namespace/sa/account", "td/ns/spiffe:///sa/account", ""] {
        assert_eq!(found(principals(exact(fine))), None, "{fine}");
    }
    assert_eq!(found(namespaces(exact(with))), None, "only principals have one");
}

#[test]
fn only_principals_care_for_the_trust_domain() {
    let elsewhere = peer("elsewhere/namespace/account", "127.0.0.1:1", "127.0.0.2:8080");
    let hit = |attributes| hits(&one(vec![attributes]), &elsewhere);
    assert!(hit(namespaces(exact("namespace"))));
    assert!(hit(Match { service_accounts: accounts("namespace", "account"), ..Match::default() }));
    assert!(!hit(principals(exact("td/ns/namespace/sa/account"))));
    assert!(hit(principals(exact("elsewhere/ns/namespace/sa/account"))));
}
