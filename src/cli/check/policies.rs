//! Network policies of Kubernetes that admit a pod's ports and forget the one tunnels come in at.
//!
//! Asked of the API server through `kubectl`, and only when that is wished for.

use std::collections::{BTreeMap, BTreeSet};

use ebpf_free_iptables::TUNNEL_PORT;
use serde_json::Value;

use super::Context;
use super::catalogue::Family;
use super::finding::{Check, Finding, Verdict};

pub(crate) const FAMILY: Family = Family { name: "policies", checks: &[&POLICIES], look };

const POLICIES: Check = Check {
    name: "network-policies",
    why: "a policy that admits some ports denies all others: without 15008 no tunnel comes in, and nobody says why",
};

/// A policy, as far as it is about ports in one direction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Policy {
    namespace: String,
    name: String,
    direction: &'static str,
    /// Which pods it is for, as JSON.
    pods: String,
    admits_tunnels: bool,
}

fn look(context: &Context<'_>) -> Vec<Finding> {
    let Some(kubectl) = &context.options.kubectl else {
        return vec![
            POLICIES.finding(Verdict::unknown(
                "not asked for",
                "culvert check --kubectl --only network-policies",
            )),
        ];
    };
    let asked = context.here.run(&[
        kubectl,
        "get",
        "networkpolicies,namespaces",
        "--all-namespaces",
        "--output",
        "json",
    ]);
    let document = asked.and_then(|text| Ok(serde_json::from_str::<Value>(&text)?));
    match document {
        Ok(document) => judge(&document).into_iter().map(|verdict| POLICIES.finding(verdict)).collect(),
        Err(error) => vec![POLICIES.finding(Verdict::unseen(&error))],
    }
}

/// One verdict for each policy that keeps tunnels out, or one that none does.
fn judge(document: &Value) -> Vec<Verdict> {
    let items = document["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of_kind = |kind: &'static str| items.iter().filter(move |item| item["kind"] == kind);
    let enrolled: BTreeSet<&str> =
        of_kind("Namespace").filter(|it| is_enrolled(it)).filter_map(name).collect();
    let policies: Vec<Policy> = of_kind("NetworkPolicy").flat_map(about_ports).collect();
    let closed = closed(&policies);
    if closed.is_empty() {
        let count = of_kind("NetworkPolicy").count();
        return vec![Verdict::ok(format!(
            "none of {count} network policies admits ports without {TUNNEL_PORT}"
        ))];
    }
    closed.into_iter().map(|policy| verdict(policy, enrolled.contains(policy.namespace.as_str()))).collect()
}

fn verdict(policy: &Policy, is_enrolled: bool) -> Verdict {
    let Policy { namespace, name, direction, .. } = policy;
    let found =
        format!("policy {namespace}/{name} admits {direction} ports, and {TUNNEL_PORT} is not among them");
    let rule = format!(
        r#"[{{"op":"add","path":"/spec/{direction}/-","value":{{"ports":[{{"port":{TUNNEL_PORT},"protocol":"TCP"}}]}}}}]"#
    );
    let remedy = format!("kubectl -n {namespace} patch networkpolicy {name} --type=json -p '{rule}'");
    if is_enrolled {
        return Verdict::problem(found, remedy);
    }
    Verdict::warning(format!("{found}; its namespace is not enrolled as a whole"), remedy)
}

fn name(object: &Value) -> Option<&str> {
    object["metadata"]["name"].as_str()
}

fn is_enrolled(namespace: &Value) -> bool {
    namespace["metadata"]["labels"]["istio.io/dataplane-mode"] == "ambient"
}

/// A policy's two directions, where it admits particular ports.
fn about_ports(policy: &Value) -> Vec<Policy> {
    let (namespace, name) = (policy["metadata"]["namespace"].as_str(), name(policy));
    let (Some(namespace), Some(name)) = (namespace, name) else { return Vec::new() };
    let direction = |direction: &'static str| {
        let rules = policy["spec"][direction].as_array()?;
        let with_ports = |rule: &Value| rule["ports"].as_array().is_some_and(|ports| !ports.is_empty());
        rules.iter().any(with_ports).then(|| Policy {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            direction,
            pods: policy["spec"]["podSelector"].to_string(),
            // A rule without ports is for all of them.
            admits_tunnels: rules.iter().any(|rule| !with_ports(rule) || ports(rule).any(admits)),
        })
    };
    ["ingress", "egress"].into_iter().filter_map(direction).collect()
}

fn ports(rule: &Value) -> impl Iterator<Item = &Value> {
    rule["ports"].as_array().into_iter().flatten()
}

/// Tells whether tunnels come in by this.
pub(super) fn admits(port: &Value) -> bool {
    let tunnel = u64::from(TUNNEL_PORT);
    let first = port["port"].as_u64();
    let tcp = port["protocol"].is_null() || port["protocol"] == "TCP";
    let last = port["endPort"].as_u64().or(first);
    let holds = first.is_some_and(|first| first <= tunnel) && last.is_some_and(|last| last >= tunnel);
    // Names stand for ports of the pod's own, which 15008 is not.
    tcp && (port["port"].is_null() || holds)
}

/// The policies that keep tunnels out: what one admits for a pod, no other can deny.
fn closed(policies: &[Policy]) -> Vec<&Policy> {
    let everybody = |pods: &str| pods == "{}" || pods == "null";
    let mut open: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for policy in policies.iter().filter(|policy| policy.admits_tunnels) {
        open.entry((&policy.namespace, policy.direction)).or_default().push(&policy.pods);
    }
    let is_open = |policy: &Policy| {
        let by_others = open.get(&(policy.namespace.as_str(), policy.direction));
        by_others.is_some_and(|all| all.iter().any(|pods| everybody(pods) || *pods == policy.pods))
    };
    policies.iter().filter(|policy| !policy.admits_tunnels && !is_open(policy)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::check::finding::State;

    fn policy(name: &str, pods: &Value, spec: &Value) -> Value {
        let mut policy =
            json!({"kind": "NetworkPolicy", "metadata": {"namespace": "shop", "name": name}, "spec": spec});
        policy["spec"]["podSelector"] = pods.clone();
        policy
    }

    fn namespace(mode: &str) -> Value {
        json!({"kind": "Namespace", "metadata": {"name": "shop", "labels": {"istio.io/dataplane-mode": mode}}})
    }

    fn ingress(ports: &Value) -> Value {
        json!({"ingress": [{"ports": ports}]})
    }

    #[test]
    fn a_policy_that_admits_ports_without_the_tunnels_is_named() {
        let web = json!({"matchLabels": {"app": "web"}});
        for (spec, state) in [
            (ingress(&json!([{"port": 8080}])), State::Problem),
            (ingress(&json!([{"port": 8080}, {"port": 15008, "protocol": "TCP"}])), State::Ok),
            (ingress(&json!([{"port": 15008, "protocol": "UDP"}])), State::Problem),
            (ingress(&json!([{"port": 15000, "endPort": 15010}])), State::Ok),
            (ingress(&json!([{"port": "http"}])), State::Problem),
            (ingress(&json!([{"protocol": "TCP"}])), State::Ok),
            (json!({"ingress": [{"ports": [{"port": 80}]}, {"from": []}]}), State::Ok),
            (json!({"ingress": []}), State::Ok),
            (json!({"policyTypes": ["Ingress"]}), State::Ok),
            (json!({"egress": [{"ports": [{"port": 53, "protocol": "UDP"}]}]}), State::Problem),
        ] {
            let verdicts = judge(&json!({"items": [namespace("ambient"), policy("web", &web, &spec)]}));
            assert_eq!(verdicts[0].state, state, "{spec}");
        }
        let closed = ingress(&json!([{"port": 8080}]));
        let verdict =
            judge(&json!({"items": [namespace("ambient"), policy("web", &web, &closed)]})).remove(0);
        assert!(verdict.found.contains("shop/web"), "{verdict:?}");
        assert!(verdict.remedy.unwrap().starts_with("kubectl -n shop patch networkpolicy web --type=json"));
        let elsewhere = judge(&json!({"items": [namespace("none"), policy("web", &web, &closed)]}));
        assert_eq!(elsewhere[0].state, State::Warning);
    }

    #[test]
    fn what_one_policy_admits_no_other_denies() {
        let web = json!({"matchLabels": {"app": "web"}});
        let closed = policy("web", &web, &ingress(&json!([{"port": 8080}])));
        let tunnels = ingress(&json!([{"port": 15008}]));
        for (pods, state) in
            [(json!({}), State::Ok), (web.clone(), State::Ok), (json!({"a": 1}), State::Problem)]
        {
            let items = json!({"items": [namespace("ambient"), closed, policy("tunnels", &pods, &tunnels)]});
            assert_eq!(judge(&items)[0].state, state, "{pods}");
        }
    }
}
