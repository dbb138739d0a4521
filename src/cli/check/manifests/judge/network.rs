//! Network policies that keep tunnels away from pods of the mesh.
//!
//! What pods of the mesh say to each other is TCP to port 15008, whatever port was meant. A network policy that admits other ports
//! alone denies it, unless another one for the same pods admits it.

use std::collections::{BTreeMap, BTreeSet};

use culvert_derive::Key;
use ebpf_free_iptables::TUNNEL_PORT;
use serde_json::Value;

use crate::check::finding::{Check, Finding, State, Verdict};
use crate::check::manifests::known::What;
use crate::check::manifests::pods::{Membership, Pod};
use crate::check::manifests::shelf::Manifest;
use crate::check::manifests::world::{World, some_pods};
use crate::check::policies::admits;

pub(super) const TUNNELS: Check = Check {
    name: "network-policy-tunnels",
    why: "a network policy that admits some ports denies all others: without 15008 no tunnel passes, and connections time out",
};

/// One direction of a network policy, as far as it is about ports.
struct Policy<'m> {
    manifest: &'m Manifest,
    direction: Direction,
    selector: &'m Value,
    /// The number of the first rule that admits certain ports, if there is one.
    first: Option<usize>,
    admits_tunnels: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    Ingress,
    Egress,
}

/// The port of DNS.
const DNS: u64 = 53;

/// The policies of one namespace for one direction, and the pods to which one of them admits tunnels.
struct Group<'p, 'm> {
    policies: Vec<&'p Policy<'m>>,
    open: BTreeSet<&'m Key>,
}

pub(super) fn judge(world: &World<'_>) -> Vec<Finding> {
    let directions = [Direction::Ingress, Direction::Egress];
    let policies = world.shelf.of(What::NetworkPolicy);
    let policies: Vec<Policy<'_>> =
        policies.flat_map(|manifest| directions.map(|direction| Policy::read(manifest, direction))).collect();
    let mut groups: BTreeMap<(&str, Direction), Vec<&Policy<'_>>> = BTreeMap::new();
    for policy in &policies {
        groups.entry((&policy.manifest.namespace, policy.direction)).or_default().push(policy);
    }
    let groups = groups.into_iter().map(|((namespace, _), policies)| Group::new(world, namespace, policies));
    groups.flat_map(|group| group.judge(world)).collect()
}

impl<'p, 'm> Group<'p, 'm> {
    fn new(world: &World<'m>, namespace: &str, policies: Vec<&'p Policy<'m>>) -> Self {
        let opening: Vec<&Policy<'m>> = policies.iter().copied().filter(|it| it.admits_tunnels).collect();
        let pods = world.pods_of(namespace).iter();
        let open = pods.filter(|pod| opening.iter().any(|policy| policy.selects(pod)));
        Self { open: open.map(|pod| &pod.key).collect(), policies }
    }

    fn judge(&self, world: &World<'_>) -> Vec<Finding> {
        let forgetful =
            self.policies.iter().filter(|policy| policy.first.is_some() && !policy.admits_tunnels);
        forgetful.filter_map(|policy| self.keeps_out(world, policy)).collect()
    }

    /// What a policy without tunnels keeps them away from, if that is anything.
    fn keeps_out(&self, world: &World<'_>, policy: &Policy<'_>) -> Option<Finding> {
        let namespace = &*policy.manifest.namespace;
        let pods = world.pods_of(namespace).iter().copied();
        let selected: Vec<&Pod<'_>> = pods.filter(|pod| policy.selects(pod)).collect();
        let is_shut = |pod: &&Pod<'_>| pod.may_be_in() && !self.open.contains(&pod.key);
        let shut: Vec<&Pod<'_>> = selected.iter().copied().filter(is_shut).collect();
        if !shut.is_empty() {
            let is_sure = shut.iter().any(|pod| pod.membership == Membership::In);
            return Some(policy.finding(&format!(" of {}", some_pods(shut)), is_sure));
        }
        let is_open = || self.policies.iter().any(|it| it.admits_tunnels && it.is_for_all_of(policy));
        if !selected.is_empty() || is_open() {
            return None;
        }
        // It is for pods that are not here.
        match world.namespace(namespace) {
            Membership::Out(_) => None,
            Membership::In => Some(policy.finding("", true)),
            Membership::Unknown => Some(policy.finding("", false)),
        }
    }
}

impl<'m> Policy<'m> {
    fn read(manifest: &'m Manifest, direction: Direction) -> Self {
        let spec = &manifest.value["spec"];
        let rules = Some(&spec[direction.field()]).filter(|_| direction.is_meant_by(spec));
        let rules = rules.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let about_ports = |rule: &Value| !ports(rule).is_empty();
        let first = rules
            .iter()
            .position(|rule| about_ports(rule) && !(direction == Direction::Egress && is_elsewhere(rule)));
        Self {
            manifest,
            direction,
            selector: &spec["podSelector"],
            first,
            // A rule without ports is for all of them.
            admits_tunnels: rules.iter().any(|rule| !about_ports(rule) || ports(rule).iter().any(admits)),
        }
    }

    fn selects(&self, pod: &Pod<'_>) -> bool {
        let labels = &pod.labels;
        let wanted = self.selector["matchLabels"].as_object().into_iter().flatten();
        let expressions = self.selector["matchExpressions"].as_array().into_iter().flatten();
        wanted.into_iter().all(|(key, value)| labels.get(key) == value.as_str())
            && expressions
                .into_iter()
                .all(|it| is_met(it, labels.get(it["key"].as_str().unwrap_or_default())))
    }

    /// Tells whether it is for all pods another one is for, without knowing these.
    fn is_for_all_of(&self, other: &Self) -> bool {
        is_everything(self.selector) || self.selector == other.selector
    }

    fn finding(&self, pods: &str, is_sure: bool) -> Finding {
        let field = self.direction.field();
        let mut found = format!("it admits {field} ports{pods}, and {TUNNEL_PORT} is not among them");
        if !is_sure {
            found += "; whether the pods are in the mesh is not known";
        }
        let path = format!("spec.{field}[{}].ports", self.first.unwrap_or_default());
        let remedy = format!(
            "add `- port: {TUNNEL_PORT}` to the ports, and let an AuthorizationPolicy say who may come to which port"
        );
        let (state, effect) = match self.direction {
            Direction::Ingress if is_sure => {
                (State::Problem, "no pod of the mesh reaches it: connections time out")
            }
            Direction::Ingress => {
                (State::Warning, "if the pods are in the mesh, no other pod of it reaches them")
            }
            Direction::Egress => (State::Warning, "it reaches no pod of the mesh: connections time out"),
        };
        TUNNELS.at(self.manifest.place(&path), Verdict { state, found, remedy: Some(remedy) }, effect)
    }
}

impl Direction {
    /// Tells whether rules of this direction count; without a list of types they do.
    fn is_meant_by(self, spec: &Value) -> bool {
        let word = match self {
            Self::Ingress => "Ingress",
            Self::Egress => "Egress",
        };
        let types = spec["policyTypes"].as_array().filter(|types| !types.is_empty());
        types.is_none_or(|types| types.iter().any(|it| it == word))
    }

    fn field(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

fn ports(rule: &Value) -> &[Value] {
    rule["ports"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Tells whether a rule is about what never goes through tunnels: DNS, and addresses outside.
fn is_elsewhere(rule: &Value) -> bool {
    let peers = rule["to"].as_array().filter(|peers| !peers.is_empty());
    let is_outside = peers.is_some_and(|peers| peers.iter().all(|peer| peer["ipBlock"].is_object()));
    is_outside || ports(rule).iter().all(|port| port["port"] == DNS)
}

/// Tells whether a selector is for all pods.
fn is_everything(selector: &Value) -> bool {
    let nothing = |value: &Value| {
        value.as_object().is_none_or(|it| it.is_empty()) && value.as_array().is_none_or(Vec::is_empty)
    };
    nothing(&selector["matchLabels"]) && nothing(&selector["matchExpressions"])
}

/// Tells whether a value of a label is as an expression wants it.
fn is_met(expression: &Value, label: Option<&str>) -> bool {
    let among = || expression["values"].as_array().into_iter().flatten().any(|value| value.as_str() == label);
    match expression["operator"].as_str() {
        Some("In") => label.is_some() && among(),
        Some("NotIn") => label.is_none() || !among(),
        Some("Exists") => label.is_some(),
        Some("DoesNotExist") => label.is_none(),
        Some(_) | None => false,
    }
}
