//! Policies fail closed: what cannot be understood or is not there denies what it would have governed.

use culvert_proto::security;
use culvert_proto::xds::Resource;
use prost::Message as _;

use crate::harness::ads::resources::{corrupt, of_payload, of_yaml};
use crate::harness::ads::{ADDRESS, AUTHORIZATION};
use crate::harness::cluster::ECHO;
use crate::harness::metrics::counter;
use crate::harness::scripted::Rig;
use crate::harness::talk::{Ending, SOON, assert_alive, assert_reset, read_to_end};

/// A policy that lets everybody into the workloads that refer to it, or denies.
fn policy(name: &str, scope: &str, action: &str) -> Vec<Resource> {
    let text = format!(
        "policies: [{{name: {name}, namespace: default, scope: {scope}, action: {action}, rules: [[]], dryRun: false}}]"
    );
    of_yaml(&text).policies
}

/// A policy that denies those its one condition is about.
fn denying(name: &str, scope: security::Scope, matched: security::Match) -> Resource {
    let clause = security::Clause { matches: vec![matched] };
    let policy = security::Authorization {
        name: name.to_owned(),
        namespace: "default".to_owned(),
        scope: scope.into(),
        action: security::Action::Deny.into(),
        rules: vec![security::Rule { clauses: vec![clause] }],
        ..security::Authorization::default()
    };
    of_payload(AUTHORIZATION, format!("default/{name}"), policy.encode_to_vec())
}

/// A policy whose one condition has an address of three bytes.
fn with_a_bad_address(name: &str, scope: security::Scope) -> Resource {
    let address = security::Address { address: vec![10, 0, 0], length: 8 };
    denying(name, scope, security::Match { source_ips: vec![address], ..security::Match::default() })
}

/// The server, referring to a policy.
fn server_under(rig: &Rig, policy: &str) -> Resource {
    let yaml = format!(
        "workloads: [{{uid: Kubernetes//Pod/default/server, name: server, namespace: default, \
         serviceAccount: server, node: one, protocol: HBONE, workloadIps: [{}, \"{}\"], \
         authorizationPolicies: [{policy}]}}]",
        rig.server.ip4(),
        rig.server.ip6()
    );
    of_yaml(&yaml).addresses.remove(0)
}

#[test]
fn an_invalid_policy_denies_what_it_would_have_governed_until_it_is_valid_or_gone() {
    let (rig, mut stream, program) = Rig::start("ads-policy");
    let bad = [
        corrupt(AUTHORIZATION, "default/broken"),
        with_a_bad_address("broken", security::Scope::Namespace),
        with_a_bad_address("broken", security::Scope::Global),
    ];
    for (bad, removed) in bad.into_iter().zip([true, false, true]) {
        let refusal = stream.push(AUTHORIZATION, vec![bad], &[]).error_detail.unwrap();
        assert!(refusal.message.contains("default/broken"), "{refusal:?}");
        let position = program.log_position();
        assert_reset(&rig.client, (rig.server.ip4(), ECHO));
        program.wait_for_log_since(position, "default/broken cannot be understood", SOON).unwrap();
        assert_eq!(counter(&rig.node, "culvert_policies_unusable", &[]), 1);
        match removed {
            true => stream.remove(AUTHORIZATION, &["default/broken"]),
            false => stream.tell(AUTHORIZATION, policy("broken", "Namespace", "Allow")),
        }
        assert!(rig.works());
        assert_eq!(counter(&rig.node, "culvert_policies_unusable", &[]), 0);
    }
    assert!(rig.is_ready(), "a bad policy is no reason to be unready");
}

#[test]
fn an_invalid_policy_for_some_workloads_denies_those_alone() {
    let (rig, mut stream, _program) = Rig::start("ads-policy-some");
    let bad = vec![with_a_bad_address("broken", security::Scope::WorkloadSelector)];
    assert!(stream.push(AUTHORIZATION, bad, &[]).error_detail.is_some());
    assert!(rig.works(), "nobody refers to it");
    stream.tell(ADDRESS, vec![server_under(&rig, "default/broken")]);
    assert_eq!(rig.call(), Ending::Reset);
}

#[test]
fn a_first_answer_with_an_invalid_policy_does_not_keep_a_node_from_starting_and_denies() {
    let rig = Rig::new("ads-policy-first");
    rig.lab.start(rig.launch()).unwrap();
    let mut stream = rig.ads.accept();
    stream.opening();
    stream.tell(ADDRESS, rig.told().addresses);
    let mut policies = policy("good", "Namespace", "Allow");
    policies.push(with_a_bad_address("broken", security::Scope::Namespace));
    let refusal = stream.push(AUTHORIZATION, policies, &[]).error_detail.unwrap();
    assert!(refusal.message.contains("default/broken") && !refusal.message.contains("default/good"));
    rig.wait_until_ready();
    rig.wait_until_captured(&[&rig.client, &rig.server]);
    assert_eq!(rig.call(), Ending::Reset);
    stream.remove(AUTHORIZATION, &["default/broken"]);
    rig.wait_until_served();
}

#[test]
fn a_policy_that_is_referred_to_and_unknown_denies_also_those_who_are_in_already() {
    let (rig, mut stream, program) = Rig::start("ads-policy-unknown");
    let mut open = rig.client.connect((rig.server.ip4(), ECHO), SOON).unwrap();
    assert_alive(&mut open, b"in before");
    let position = program.log_position();
    stream.tell(ADDRESS, vec![server_under(&rig, "default/ghost")]);
    assert_eq!(read_to_end(&mut open), Ending::Reset);
    assert_eq!(rig.call(), Ending::Reset);
    program.wait_for_log_since(position, "default/ghost is referenced but unknown", SOON).unwrap();
    stream.tell(AUTHORIZATION, policy("ghost", "WorkloadSelector", "Allow"));
    assert!(rig.works());
    // The end of the policy is the end of what it allowed.
    let mut open = rig.client.connect((rig.server.ip4(), ECHO), SOON).unwrap();
    assert_alive(&mut open, b"in again");
    stream.remove(AUTHORIZATION, &["default/ghost"]);
    assert_eq!(read_to_end(&mut open), Ending::Reset);
}

#[test]
fn a_policy_whose_scope_changes_governs_whom_it_says() {
    let (rig, mut stream, _program) = Rig::start("ads-policy-scope");
    stream.tell(AUTHORIZATION, policy("moving", "Namespace", "Deny"));
    assert_eq!(rig.call(), Ending::Reset);
    stream.tell(AUTHORIZATION, policy("moving", "WorkloadSelector", "Deny"));
    assert!(rig.works());
    stream.tell(ADDRESS, vec![server_under(&rig, "default/moving")]);
    assert_eq!(rig.call(), Ending::Reset);
    stream.tell(ADDRESS, vec![rig.told().address("Kubernetes//Pod/default/server")]);
    assert!(rig.works());
}

#[test]
fn a_principal_that_nobody_can_be_is_pointed_out() {
    let (rig, mut stream, program) = Rig::start("ads-policy-scheme");
    let told = |principal: &str| {
        let exact = security::string_match::MatchType::Exact(principal.to_owned());
        let principals = vec![security::StringMatch { match_type: Some(exact) }];
        let matched = security::Match { principals, ..security::Match::default() };
        vec![denying("narrow", security::Scope::Namespace, matched)]
    };
    let identity = rig.client.identity();
    let position = program.log_position();
    stream.tell(AUTHORIZATION, told(&identity));
    let line = program.wait_for_log_since(position, "without `spiffe://`", SOON).unwrap();
    assert!(line.contains("default/narrow") && line.contains(&identity), "{line}");
    assert!(rig.works(), "it denies nobody");
    let position = program.log_position();
    stream.tell(AUTHORIZATION, told(identity.trim_start_matches("spiffe://")));
    assert_eq!(rig.call(), Ending::Reset);
    assert!(!program.log_since(position).contains("without `spiffe://`"));
}
