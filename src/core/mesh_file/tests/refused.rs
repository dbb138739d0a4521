use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// Asserts that `text` is refused with an error that starts like `expected`.
#[track_caller]
fn check(text: &str, expected: &str) {
    let error = parse(text).expect_err(text).to_string();
    assert!(error.starts_with(expected), "{text}\n  gave     {error}\n  expected {expected}");
}

#[test]
fn what_is_not_understood_is_refused_with_its_place() {
    for nothing in ["", "\n", "# nothing\n", "---\n", "null", "~"] {
        check(nothing, "line 1, column 1: the file is empty; write `{}` for a mesh of nothing");
    }
    check(
        "workloads:\n",
        "line 1, column 10: there is nothing where a list should be; write [] for an empty one",
    );
    check("policies:\nservices: []\n", "line 1, column 9: there is nothing");
    check("[]", "line 1, column 1: expected mapping start");
    check("workloads: [\n", "line 1, column 12: ");
    check("workloads: []\nworkloads: []", "line 2, column 1: duplicate mapping key: workloads");
    check(
        "workloads: []\n---\nworkloads: []",
        "line 3, column 1: a second document starts here; a mesh file is one document",
    );
    check(
        "workloads: []\nwrokloads: []",
        "line 2, column 1: unknown key `wrokloads`; the keys known here are workloads,",
    );
    check("\u{0}", "line 1, column 1: ");
}

#[test]
fn a_wrong_workload_is_refused_with_its_place() {
    let with = |line: &str| format!("workloads:\n- name: a\n  namespace: n\n  workloadIps: []\n  {line}\n");
    check(
        &with("workloadIPs: []"),
        "line 5, column 3: unknown key `workloadIPs`; the keys known here are workloadIps,",
    );
    check(&with("protocol: hbone"), "line 5, column 13: `hbone` is unknown; write one of TCP, HBONE");
    check(&with("workloadType: Pod"), "line 5, column 17: `Pod` is unknown; write one of deployment,");
    check(&with("capacity: -1"), "line 5, column 13: ");
    check(
        &with("services: {web: {80: 80}}"),
        "line 5, column 14: `web` is not two names; write `namespace/name`",
    );
    check(
        &with("services: {n/web: {80: 0}}"),
        "line 5, column 26: `0` is not a port; write a number from 1 to 65535",
    );
    check(&with("services: {n/web: {65616: 80}}"), "line 5, column 22: `65616` is not a port");
    check(&with("authorizationPolicies: [deny]"), "line 5, column 27: `deny` is not two names");
    check(&with("waypoint: {destination: web}"), "line 5, column 27: `web` is no gateway; write");
    check(&with("waypoint: {hboneMtlsPort: 1}"), "line 5, column 14: the key `destination` is missing");
    check(
        &with("applicationTunnel: {protocol: HTTP}"),
        "line 5, column 33: `HTTP` is unknown; write one of NONE, PROXY",
    );
    check(&with("locality: {rack: 7}"), "line 5, column 14: unknown key `rack`");
    check(
        "workloads: [{name: a, namespace: n}]",
        "line 1, column 23: the key `workloadIps` is missing; add it",
    );
    check(
        "workloads:\n- {namespace: n, workloadIps: [10.0.0.256]}",
        "line 2, column 32: `10.0.0.256` is not an IP",
    );
    check(
        "workloads:\n- {namespace: n, workloadIps: []}",
        "line 2, column 3: the workload has neither `name` nor `uid`",
    );
    check(
        "workloads:\n- {name: a, namespace: n/sa/x, workloadIps: []}",
        "line 2, column 3: workload `Kubernetes//Pod/n/sa/x/a` can have no identity: `spiffe://cluster.local/ns/n/sa/x/",
    );
    check(
        "workloads: [{name: a, namespace: '', workloadIps: []}]",
        "line 1, column 13: workload `Kubernetes//Pod//a`",
    );
    check(
        "workloads:\n- {name: a, namespace: n, workloadIps: []}\n\n- {name: a, namespace: n, workloadIps: []}",
        "line 4, column 3: `Kubernetes//Pod/n/a` is already defined on line 2; remove one of the two",
    );
}

#[test]
fn a_wrong_service_is_refused_with_its_place() {
    let with = |line: &str| {
        format!("services:\n- name: a\n  namespace: n\n  hostname: h\n  vips: []\n  ports: {{}}\n  {line}\n")
    };
    check(&with("endpoint: {}"), "line 7, column 3: unknown key `endpoint`");
    check(
        &with("cidrVips: [{cidr: 10.0.0.0/33}]"),
        "line 7, column 21: `10.0.0.0/33` is not a block of addresses",
    );
    check(&with("subjectAltNames: ['']"), "line 7, column 21: the text is empty");
    check(
        &with("loadBalancer: {mode: Random}"),
        "line 7, column 24: `Random` is unknown; write one of Standard, Strict,",
    );
    check(&with("loadBalancer: {routingPreferences: [Rack]}"), "line 7, column 39: `Rack` is unknown");
    check(
        &with("ipFamilies: IPv5"),
        "line 7, column 15: `IPv5` is unknown; write one of Automatic, IPv4, IPv6, Dual",
    );
    check(&with("weightedWaypoints: [{weight: 1}]"), "line 7, column 24: the key `destination` is missing");
    check(
        &with("endpoints: {u: {workloadUid: v}}"),
        "line 2, column 3: endpoint `u` says its workloadUid is `v`",
    );
    let service = "{name: a, namespace: n, hostname: h, vips: [], ports: {}}";
    check(
        &format!("services:\n- {service}\n- {service}"),
        "line 3, column 3: `n/h` is already defined on line 2",
    );
    check(
        &service
            .replace("vips: []", "vips: [10.0.0.1]")
            .replacen('{', "services: [{", 1)
            .replacen("{}}", "{}}]", 1),
        "line 1, column 56: `10.0.0.1` is not an address in a network; write `<network>/<ip>`",
    );
    check(
        "services:\n- {name: a, namespace: n, hostname: h, vips: [], ports: {80: x}}",
        "line 2, column 62: `x` is not a target",
    );
}

#[test]
fn a_wrong_policy_is_refused_with_its_place() {
    check(
        &policy_with("{sourceIp: []}"),
        "line 7, column 10: unknown key `sourceIp`; the keys known here are namespaces,",
    );
    check(
        &policy_with("{sourceIps: [10.0.0.0/33]}"),
        "line 7, column 22: `10.0.0.0/33` is not a block of addresses",
    );
    check(&policy_with("{notSourceIps: [web]}"), "line 7, column 25: `web` is not a block of addresses");
    check(
        &policy_with("{destinationPorts: [65616]}"),
        "line 7, column 29: `65616` is not a port; write a number from 1",
    );
    check(&policy_with("{namespaces: [!Exact '']}"), "line 7, column 30: the text is empty; write one,");
    check(&policy_with("{namespaces: [{Prefix: ''}]}"), "line 7, column 32: the text is empty");
    check(
        &policy_with("{namespaces: [!Contains x]}"),
        "line 7, column 33: the tag `!Contains` is unknown here; write one of",
    );
    check(
        &policy_with("{namespaces: [{Contains: x}]}"),
        "line 7, column 24: `Contains` is unknown; write one of Exact,",
    );
    check(&policy_with("{namespaces: [x]}"), "line 7, column ");
    check(&policy_with("{namespaces: [!Presence [x]]}"), "line 7, column ");
    check(
        &policy_with("{serviceAccounts: [{namespace: n}]}"),
        "line 7, column 29: the key `serviceAccount` is missing",
    );
    check(
        &policy_with("{principals: [!Exact 'spiffe://td/ns/n/sa/s']}"),
        "line 7, column 30: principals are compared without `spiffe://`; write `td/ns/n/sa/s`",
    );
    check(
        "policies: [{name: p, namespace: n, scope: Namespace, action: Deny}]",
        "line 1, column 54: the key `rules` is missing",
    );
    check(
        "policies: [{name: p, namespace: n, scope: Mesh, action: Deny, rules: []}]",
        "line 1, column 43: `Mesh` is unknown; write one of Global, Namespace, WorkloadSelector",
    );
    check(
        "policies:\n- {name: p, namespace: '', scope: Namespace, action: Deny, rules: []}",
        "line 2, column 3: policy `p` has no namespace, so it would apply to nothing; add one",
    );
    let policy = "{name: p, namespace: n, scope: Namespace, action: Deny, rules: []}";
    check(
        &format!("policies:\n- {policy}\n- {policy}"),
        "line 3, column 3: `n/p` is already defined on line 2",
    );
}

#[test]
fn no_input_panics_and_every_error_has_a_place() {
    let mut random = SmallRng::seed_from_u64(1);
    for round in 0..3000 {
        let mut bytes = EXAMPLE.as_bytes().to_vec();
        if round % 3 == 0 {
            bytes = (0..random.random_range(0..200)).map(|_| random.random()).collect();
        }
        for _ in 0..random.random_range(0..8) {
            mutate(&mut bytes, &mut random);
        }
        if let Err(error) = parse(&String::from_utf8_lossy(&bytes)) {
            assert!(error.line > 0 && error.column > 0 && !error.message.is_empty(), "{error}");
        }
    }
}

fn mutate(bytes: &mut Vec<u8>, random: &mut SmallRng) {
    if bytes.is_empty() {
        return;
    }
    let at = random.random_range(0..bytes.len());
    match random.random_range(0..4) {
        0 => bytes[at] = random.random(),
        1 => bytes.truncate(at),
        2 => bytes.insert(at, b"{}[]:,-!&*'\"\n #"[random.random_range(0..15)]),
        _ => drop(bytes.remove(at)),
    }
}

#[test]
fn aliases_cannot_blow_a_file_up() {
    let mut text = String::from("x0: &x0 [a, a, a, a, a, a, a, a, a, a]\n");
    for level in 1..12 {
        let items = vec![format!("*x{}", level - 1); 10].join(", ");
        text += &format!("x{level}: &x{level} [{items}]\n");
    }
    check(&text, "line 1, column 1: unknown key `x0`");
    check(&format!("workloads: [{{name: {{{}}}}}]", text.replace('\n', ", ")), "line 1, column ");
}

#[test]
fn a_list_without_a_value_is_refused_with_its_place() {
    check(&policy_with("{sourceIps: }"), "line 7, column 19: there is nothing where a list should be");
    check(&policy_with("{sourceIps: null}"), "line 7, column 21: there is nothing");
    check(&policy_with("{sourceIps: ''}"), "line 7, column 10: invalid type: string \"\", expected a list");
    check(&policy_with("{sourceIps: 10.0.0.1}"), "line 7, column 10: invalid type");
    check(&policy_with("null"), "line 2, column 3: policy `p` has a match without content; write it, or");
    check(&policy_with(""), "line 2, column 3: policy `p` has a match without content");
    check(&policy_with("").replace("- - - ", "- - "), "line 7, column 7: there is nothing");
    check(&policy_with("").replace("- - - ", "- "), "line 7, column 5: there is nothing");
    check(
        "policies: [{name: p, namespace: n, scope: Namespace, action: Deny, rules: }]",
        "line 1, column 73: there is nothing",
    );
}

/// Threads of tokio have so much stack, and files are read on them.
const STACK: usize = 2 << 20;

#[test]
fn nothing_is_too_deep_for_a_small_stack() {
    let refuse = || {
        for depth in [10, 50, 63, 64, 100, 10_000] {
            let lists = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            let objects = format!("{}1{}", "{a: ".repeat(depth), "}".repeat(depth));
            for deep in [lists, objects, format!("\n{}1", "- ".repeat(depth)), "[".repeat(depth)] {
                check(&deep, "line ");
                check(&format!("workloads: {deep}"), "line ");
                check(&format!("workloads: [{{name: {deep}"), "line ");
                check(&policy_with(&format!("{{namespaces: [!Presence {deep}]}}")), "line ");
                check(&policy_with(&format!("{{namespaces: {deep}}}")), "line ");
            }
        }
    };
    std::thread::Builder::new().stack_size(STACK).spawn(refuse).unwrap().join().unwrap();
}
