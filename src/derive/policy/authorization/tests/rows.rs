//! One way to write it at a time, with who must get in and who must not.

use super::*;

/// Asserts who gets in to the pod in `here` by this policy, which has no problems.
#[track_caller]
fn check(spec: &str, admitted: &[&str], refused: &[&str]) {
    let cluster = Cluster::of(&[authorization("here/policy", &parsed(spec))]);
    assert_eq!(cluster.authorization[0].problems(), [], "{spec}");
    assert!(cluster.authorization[0].accepted(&cluster.settings).unwrap().holds, "{spec}");
    for (peers, expected) in [(admitted, true), (refused, false)] {
        for who in peers {
            assert_eq!(cluster.lets_in(&web(), &peer(who)), expected, "{who} by {spec}");
        }
    }
}

/// Asserts of a source who it is and who it is not: in an ALLOW and, the other way round, in a DENY.
#[track_caller]
fn source(source: &str, is: &[&str], is_not: &[&str]) {
    rule(&format!(r#"{{"from": [{{"source": {source}}}]}}"#), is, is_not);
}

#[track_caller]
fn operation(operation: &str, is: &[&str], is_not: &[&str]) {
    rule(&format!(r#"{{"to": [{{"operation": {operation}}}]}}"#), is, is_not);
}

#[track_caller]
fn when(condition: &str, is: &[&str], is_not: &[&str]) {
    rule(&format!(r#"{{"when": [{condition}]}}"#), is, is_not);
}

#[track_caller]
fn rule(rule: &str, is: &[&str], is_not: &[&str]) {
    assert!(!is.is_empty() && !is_not.is_empty(), "{rule}");
    check(&format!(r#"{{"rules": [{rule}]}}"#), is, is_not);
    check(&format!(r#"{{"action": "ALLOW", "rules": [{rule}]}}"#), is, is_not);
    check(&format!(r#"{{"action": "DENY", "rules": [{rule}]}}"#), is_not, is);
}

#[test]
fn without_rules_nobody_gets_in_and_an_empty_rule_is_about_everybody() {
    let all = ["-", "here/web", "there/web", "corp/here/web"];
    for nothing in [
        "null",
        "{}",
        r#"{"rules": []}"#,
        r#"{"rules": null}"#,
        r#"{"action": "ALLOW"}"#,
        r#"{"selector": {}}"#,
    ] {
        check(nothing, &[], &all);
    }
    check(r#"{"rules": [{}]}"#, &all, &[]);
    check(r#"{"action": null, "rules": [{}]}"#, &all, &[]);
    check(r#"{"action": "DENY", "rules": [{}]}"#, &[], &all);
    check(r#"{"rules": [{"from": null, "to": null, "when": null}]}"#, &all, &[]);
}

#[test]
fn principals_are_compared_whole_or_up_to_their_asterisk() {
    let web = "cluster.local/ns/here/sa/web";
    source(
        &format!(r#"{{"principals": ["{web}"]}}"#),
        &["here/web"],
        &["-", "here/web2", "there/web", "corp/here/web"],
    );
    source(
        r#"{"principals": ["cluster.local/ns/here/*"]}"#,
        &["here/web", "here/x"],
        &["-", "hereby/web", "corp/here/web"],
    );
    source(r#"{"principals": ["cluster.local/ns/here*"]}"#, &["here/web", "hereby/web"], &["-", "there/web"]);
    source(
        r#"{"principals": ["*/sa/web"]}"#,
        &["here/web", "corp/there/web"],
        &["-", "here/xweb", "here/webx"],
    );
    source(r#"{"principals": ["*"]}"#, &["here/web", "corp/x/y"], &["-"]);
    source(
        &format!(r#"{{"principals": ["a.b/ns/c/sa/d", "{web}"]}}"#),
        &["here/web", "a.b/c/d"],
        &["-", "here/d"],
    );
}

#[test]
fn who_is_excluded_by_principal_is_not_who_has_none() {
    source(
        r#"{"notPrincipals": ["cluster.local/ns/here/sa/web"]}"#,
        &["-", "here/x", "corp/here/web"],
        &["here/web"],
    );
    source(r#"{"notPrincipals": ["*"]}"#, &["-"], &["here/web", "corp/x/y"]);
    source(r#"{"notPrincipals": ["*/sa/web", "corp*"]}"#, &["-", "here/x"], &["here/web", "corp/x/y"]);
    source(r#"{"principals": ["*"], "notPrincipals": ["*/sa/web"]}"#, &["here/x"], &["-", "here/web"]);
}

#[test]
fn namespaces_are_those_of_the_identity() {
    source(r#"{"namespaces": ["here"]}"#, &["here/web", "corp/here/x"], &["-", "hereby/web", "there/here"]);
    source(r#"{"namespaces": ["here*"]}"#, &["here/web", "hereby/x"], &["-", "there/web"]);
    source(r#"{"namespaces": ["*ere"]}"#, &["here/web", "there/x"], &["-", "hereby/web"]);
    source(r#"{"namespaces": ["*"]}"#, &["here/web"], &["-"]);
    source(r#"{"namespaces": ["here", "there"]}"#, &["here/web", "there/x"], &["-", "else/web"]);
    source(r#"{"notNamespaces": ["here"]}"#, &["-", "there/web"], &["here/web"]);
    source(r#"{"notNamespaces": ["*"]}"#, &["-"], &["here/web"]);
    source(r#"{"namespaces": ["*ere"], "notNamespaces": ["there"]}"#, &["here/web"], &["-", "there/web"]);
}

#[test]
fn service_accounts_are_of_the_policys_namespace_unless_they_name_one() {
    source(r#"{"serviceAccounts": ["web"]}"#, &["here/web", "corp/here/web"], &["-", "there/web", "here/x"]);
    source(r#"{"serviceAccounts": ["there/web"]}"#, &["there/web"], &["-", "here/web", "there/x"]);
    source(r#"{"serviceAccounts": ["there/web", "x.y"]}"#, &["there/web", "here/x.y"], &["here/web"]);
    source(r#"{"notServiceAccounts": ["web"]}"#, &["-", "there/web"], &["here/web"]);
    source(r#"{"notServiceAccounts": ["there/web"]}"#, &["-", "here/web"], &["there/web"]);
}

#[test]
fn blocks_of_addresses_are_where_peers_call_from() {
    let plain = |ip: &str| format!("- from={ip}");
    let (near, far) = (plain("10.0.0.7"), plain("10.0.1.7"));
    source(r#"{"ipBlocks": ["10.0.0.7"]}"#, &[&near, "x/y from=10.0.0.7"], &[&far, "- from=10.0.0.8"]);
    source(r#"{"ipBlocks": ["10.0.0.0/24"]}"#, &[&near], &[&far]);
    source(r#"{"ipBlocks": ["10.0.0.99/24"]}"#, &[&near], &[&far]);
    source(r#"{"ipBlocks": ["10.0.0.0/24", "10.0.1.0/24"]}"#, &[&near, &far], &["- from=10.0.2.1"]);
    source(r#"{"ipBlocks": ["0.0.0.0/0"]}"#, &[&near, &far], &["- from=fd00::1"]);
    source(r#"{"ipBlocks": ["fd00::/64"]}"#, &["- from=fd00::1"], &[&near, "- from=fd01::1"]);
    source(r#"{"ipBlocks": ["fd00::1"]}"#, &["- from=fd00::1"], &["- from=fd00::2"]);
    source(r#"{"ipBlocks": ["::ffff:10.0.0.0/120"]}"#, &[&near, "- from=::ffff:10.0.0.7"], &[&far]);
    source(r#"{"notIpBlocks": ["10.0.0.0/24"]}"#, &[&far, "- from=fd00::1"], &[&near]);
    source(
        r#"{"ipBlocks": ["10.0.0.0/23"], "notIpBlocks": ["10.0.1.7"]}"#,
        &[&near],
        &[&far, "- from=10.0.2.1"],
    );
}

#[test]
fn all_that_a_source_says_has_to_hold_and_one_of_several_sources() {
    let both = r#"{"namespaces": ["here"], "ipBlocks": ["10.0.0.0/24"]}"#;
    source(
        both,
        &["here/web from=10.0.0.7"],
        &["- from=10.0.0.7", "there/x from=10.0.0.7", "here/web from=10.0.1.7"],
    );
    let account = r#"{"serviceAccounts": ["web"], "notIpBlocks": ["10.0.1.0/24"]}"#;
    source(account, &["here/web"], &["here/web from=10.0.1.7", "here/x", "-"]);
}

#[test]
fn entries_are_alternatives_and_clauses_are_not() {
    rule(
        r#"{"from": [{"source": {"namespaces": ["here"]}}, {"source": {"ipBlocks": ["10.0.0.7"]}}]}"#,
        &["here/web", "- from=10.0.0.7"],
        &["-", "there/x"],
    );
    rule(
        r#"{"from": [{"source": {"namespaces": ["here"]}}], "to": [{"operation": {"ports": ["80"]}}]}"#,
        &["here/web"],
        &["there/x", "here/web to=10.0.0.9:81", "-"],
    );
    rule(
        r#"{"to": [{"operation": {"ports": ["80"]}}, {"operation": {"ports": ["81"]}}]}"#,
        &["-", "- to=10.0.0.9:81"],
        &["- to=10.0.0.9:82"],
    );
    rule(
        r#"{"from": [{"source": {"namespaces": ["here"]}}], "when": [{"key": "destination.port", "values": ["80"]}, {"key": "source.ip", "values": ["10.0.0.1"]}]}"#,
        &["here/web"],
        &["here/web to=10.0.0.9:81", "here/web from=10.0.0.2", "there/web"],
    );
}

#[test]
fn rules_are_alternatives() {
    let rules =
        r#"[{"from": [{"source": {"namespaces": ["here"]}}]}, {"to": [{"operation": {"ports": ["81"]}}]}]"#;
    check(&format!(r#"{{"rules": {rules}}}"#), &["here/web", "- to=10.0.0.9:81"], &["-", "there/x"]);
    check(
        &format!(r#"{{"action": "DENY", "rules": {rules}}}"#),
        &["-", "there/x"],
        &["here/web", "- to=10.0.0.9:81"],
    );
}

#[test]
fn ports_are_those_of_the_workload() {
    operation(r#"{"ports": ["80"]}"#, &["-", "here/web"], &["- to=10.0.0.9:8080", "- to=10.0.0.9:8"]);
    operation(r#"{"ports": ["80", "65535"]}"#, &["-", "- to=10.0.0.9:65535"], &["- to=10.0.0.9:81"]);
    operation(r#"{"notPorts": ["80"]}"#, &["- to=10.0.0.9:81"], &["-"]);
    operation(
        r#"{"ports": ["80", "81"], "notPorts": ["81"]}"#,
        &["-"],
        &["- to=10.0.0.9:81", "- to=10.0.0.9:82"],
    );
}

#[test]
fn conditions_are_what_sources_and_operations_say_otherwise() {
    when(r#"{"key": "source.ip", "values": ["10.0.0.0/24"]}"#, &["-"], &["- from=10.0.1.1"]);
    when(
        r#"{"key": "source.ip", "notValues": ["10.0.0.1", "fd00::1"]}"#,
        &["- from=10.0.0.2"],
        &["-", "- from=fd00::1"],
    );
    when(
        r#"{"key": "source.namespace", "values": ["here", "th*"]}"#,
        &["here/x", "there/x"],
        &["-", "else/x"],
    );
    when(r#"{"key": "source.namespace", "notValues": ["here"]}"#, &["-", "there/x"], &["here/x"]);
    when(r#"{"key": "source.principal", "values": ["*/sa/web"]}"#, &["here/web"], &["-", "here/x"]);
    when(r#"{"key": "source.principal", "notValues": ["*"]}"#, &["-"], &["here/x"]);
    when(r#"{"key": "destination.ip", "values": ["10.0.0.9"]}"#, &["-"], &["- to=10.0.0.8:80"]);
    when(r#"{"key": "destination.ip", "notValues": ["10.0.0.0/28"]}"#, &["- to=10.0.0.16:80"], &["-"]);
    when(
        r#"{"key": "destination.port", "values": ["80", "81"]}"#,
        &["-", "- to=10.0.0.9:81"],
        &["- to=10.0.0.9:82"],
    );
    when(r#"{"key": "destination.port", "notValues": ["80"]}"#, &["- to=10.0.0.9:81"], &["-"]);
    when(
        r#"{"key": "destination.port", "values": ["80", "81"], "notValues": ["81"]}"#,
        &["-"],
        &["- to=10.0.0.9:81"],
    );
}

#[test]
fn a_denial_counts_before_all_that_allows() {
    let allow = json!({ "rules": [{}] });
    let deny =
        json!({ "action": "DENY", "rules": [{ "from": [{ "source": { "namespaces": ["there"] } }] }] });
    let cluster = Cluster::of(&[authorization("here/allow", &allow), authorization("here/deny", &deny)]);
    assert!(cluster.lets_in(&web(), &peer("here/web")));
    assert!(!cluster.lets_in(&web(), &peer("there/web")));
}

#[test]
fn a_dry_run_and_an_audit_change_nothing() {
    let nobody = [
        json!({}),
        json!({ "action": "DENY", "rules": [{}] }),
        json!({ "action": "CUSTOM" }),
        json!({ "what": 1 }),
    ];
    for spec in nobody {
        let enforced = authorization("here/policy", &spec);
        assert_eq!(admitted(&Cluster::of(&[annotated(enforced.clone(), "false")]), &web()), 0, "{spec}");
        for value in ["true", "True", "1"] {
            let cluster = Cluster::of(&[annotated(enforced.clone(), value)]);
            assert_eq!(admitted(&cluster, &web()), everybody().len(), "{spec}");
            assert!(cluster.authorization[0].policy(&cluster.settings).unwrap().dry_run);
        }
    }
    for rest in [r#""rules": [{}]"#, r#""rules": [{"from": []}]"#, r#""what": 1"#] {
        let cluster =
            Cluster::of(&[authorization("here/a", &parsed(&format!(r#"{{"action": "AUDIT", {rest}}}"#)))]);
        assert_eq!(admitted(&cluster, &web()), everybody().len());
        assert_eq!(cluster.authorization[0].policy(&cluster.settings), None);
    }
}

#[test]
fn what_is_attached_to_something_is_no_business_of_nodes() {
    let target = r#"{"kind": "Service", "group": "", "name": "web"}"#;
    for spec in [
        format!(r#"{{"targetRefs": [{target}]}}"#),
        format!(r#"{{"targetRef": {target}, "action": "CUSTOM", "provider": {{"name": "x"}}}}"#),
        format!(
            r#"{{"selector": {{}}, "targetRefs": [{target}], "rules": [{{"to": [{{"operation": {{"methods": ["GET"]}}}}]}}]}}"#
        ),
    ] {
        let cluster = Cluster::of(&[authorization("here/policy", &parsed(&spec))]);
        assert_eq!(cluster.authorization[0].policy(&cluster.settings), None, "{spec}");
        assert_eq!(cluster.authorization[0].accepted(&cluster.settings), None);
        assert_eq!(admitted(&cluster, &web()), everybody().len());
    }
}
