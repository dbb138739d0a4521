//! What is written for others than Culvert, or is not for people to write.

use serde_json::Value;

use crate::check::finding::{Check, Finding, Verdict};
use crate::check::manifests::pods::{Pod, REDIRECTION};
use crate::check::manifests::world::World;

pub(super) const TRAFFIC: Check = Check {
    name: "sidecar-annotations",
    why: "annotations for the traffic of sidecars mean nothing to capture: what they were to exclude is captured",
};
pub(super) const BY_HAND: Check = Check {
    name: "redirection-by-hand",
    why: "by this annotation peers know that a pod is captured; only the agent knows",
};

const PREFIX: &str = "traffic.sidecar.istio.io/";
/// What says the same here.
const OURS: [(&str, &str); 4] = [
    ("excludeOutboundPorts", "culvert.dev/exclude-outbound-ports"),
    ("excludeInboundPorts", "culvert.dev/exclude-inbound-ports"),
    ("excludeOutboundIPRanges", "culvert.dev/exclude-outbound-cidrs"),
    ("kubevirtInterfaces", "istio.io/reroute-virtual-interfaces"),
];

pub(super) fn judge(world: &World<'_>) -> Vec<Finding> {
    let inside = world.pods.iter().filter(|pod| pod.may_be_in());
    inside.flat_map(|pod| traffic(pod).into_iter().chain(by_hand(pod))).collect()
}

fn annotations<'p>(pod: &'p Pod<'_>) -> impl Iterator<Item = (&'p String, &'p Value)> {
    pod.template()["metadata"]["annotations"].as_object().into_iter().flatten()
}

fn traffic(pod: &Pod<'_>) -> Vec<Finding> {
    let finding = |key: &String, name: &str| {
        let ours = OURS.iter().find(|(theirs, _)| *theirs == name);
        let remedy = match ours {
            Some((_, ours)) => format!("write {ours}"),
            None => "remove it".to_owned(),
        };
        let verdict = Verdict::warning("this annotation is for sidecars, and there is none", remedy);
        TRAFFIC.at(
            pod.place(&path(key)),
            verdict,
            "it has no effect: what it says of the pod's traffic does not hold",
        )
    };
    annotations(pod).filter_map(|(key, _)| Some(finding(key, key.strip_prefix(PREFIX)?))).collect()
}

/// What is written down from a cluster has it from the agent.
fn by_hand(pod: &Pod<'_>) -> Option<Finding> {
    let is_from_cluster = pod.manifest.value["metadata"]["uid"].is_string() && pod.path("").is_empty();
    let written = annotations(pod).any(|(key, _)| key == REDIRECTION);
    (written && !is_from_cluster).then(|| {
        let verdict = Verdict::warning("the agent writes this annotation, and nobody else", "remove it");
        let effect = "peers send tunnels to a pod nobody may serve, until the agent has taken it off";
        BY_HAND.at(pod.place(&path(REDIRECTION)), verdict, effect)
    })
}

fn path(annotation: &str) -> String {
    format!("metadata.annotations[{annotation}]")
}
