//! Labels and annotations that are written where nobody looks, or with words that mean nothing.
//!
//! What derivation itself has to say about words (of Gateways, policies, waypoints' shares) is said by other judges.

use culvert_derive::Kind;
use serde_json::Value;

use crate::check::finding::{Check, Finding, State, Verdict};
use crate::check::manifests::known::What;
use crate::check::manifests::pods::MODE;
use crate::check::manifests::shelf::Manifest;
use crate::check::manifests::world::World;

pub(super) const VALUE: Check = Check {
    name: "label-value",
    why: "a label or annotation with a word nobody knows has no effect, and nobody refuses it",
};
pub(super) const MISPLACED: Check = Check {
    name: "label-place",
    why: "labels count on namespaces, pods and services; elsewhere, or as annotations, nobody looks at them",
};

/// A label or annotation, and what may be written as its value.
struct Word {
    key: &'static str,
    field: &'static str,
    on: &'static [On],
    means: fn(&str) -> bool,
    write: &'static str,
    state: State,
    effect: &'static str,
}

/// What a label is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    Namespace,
    Pod,
    Service,
}

const USE: &str = "istio.io/use-waypoint";
const USE_NAMESPACE: &str = "istio.io/use-waypoint-namespace";
const INGRESS: &str = "istio.io/ingress-use-waypoint";

const WORDS: [Word; 6] = [
    Word {
        key: MODE,
        field: "labels",
        on: &[On::Namespace],
        means: is_mode,
        write: "write ambient, or none",
        state: State::Problem,
        effect: "the namespace is not in the mesh: its pods speak plaintext, and nobody enforces policies for them",
    },
    Word {
        key: MODE,
        field: "labels",
        on: &[On::Pod],
        means: is_mode,
        write: "write ambient, or none",
        state: State::Problem,
        effect: "it has no effect: the pod is in the mesh if its namespace is, and else not",
    },
    Word {
        key: INGRESS,
        field: "labels",
        on: &[On::Namespace, On::Service],
        means: |word| matches!(word, "true" | "false"),
        write: "write true, or false",
        state: State::Warning,
        effect: "it is taken for false: gateways go past the waypoint",
    },
    Word {
        key: "networking.istio.io/traffic-distribution",
        field: "annotations",
        on: &[On::Namespace, On::Service],
        means: |word| DISTRIBUTIONS.iter().any(|known| known.eq_ignore_ascii_case(word)),
        write: "write PreferClose, PreferSameZone or PreferSameNode",
        state: State::Warning,
        effect: "no endpoint is preferred, whatever else is said",
    },
    Word {
        key: "ambient.istio.io/dns-capture",
        field: "annotations",
        on: &[On::Pod],
        means: is_switch,
        write: "write true, or false",
        state: State::Warning,
        effect: "it has no effect: DNS of the pod is captured as that of all others",
    },
    Word {
        key: "ambient.istio.io/bypass-inbound-capture",
        field: "annotations",
        on: &[On::Pod],
        means: is_switch,
        write: "write true, or false",
        state: State::Warning,
        effect: "it has no effect: what comes in is captured",
    },
];

const DISTRIBUTIONS: [&str; 3] = ["PreferClose", "PreferSameZone", "PreferSameNode"];

fn is_mode(word: &str) -> bool {
    matches!(word, "ambient" | "none")
}

/// As programs in Go read booleans.
fn is_switch(word: &str) -> bool {
    matches!(word, "1" | "t" | "T" | "true" | "TRUE" | "True" | "0" | "f" | "F" | "false" | "FALSE" | "False")
}

pub(super) fn judge(world: &World<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = world.shelf.manifests().flat_map(of_manifest).collect();
    let pods = world.pods.iter().filter(|pod| matches!(pod.manifest.what, What::Controller(..)));
    for pod in pods {
        findings.extend(of_metadata(pod.manifest, &pod.path("metadata"), On::Pod));
        findings.extend(beside_template(pod.manifest, &pod.template()["metadata"]["labels"]));
    }
    findings
}

fn of_manifest(manifest: &Manifest) -> Vec<Finding> {
    let on = match manifest.what {
        What::Derived(Kind::Namespace) => On::Namespace,
        What::Derived(Kind::Pod | Kind::WorkloadEntry) => On::Pod,
        What::Derived(Kind::Service | Kind::ServiceEntry) => On::Service,
        What::Derived(
            Kind::Node
            | Kind::EndpointSlice
            | Kind::Gateway
            | Kind::GatewayClass
            | Kind::AuthorizationPolicy
            | Kind::PeerAuthentication,
        )
        | What::Controller(..)
        | What::NetworkPolicy
        | What::ServiceAccount => return Vec::new(),
    };
    of_metadata(manifest, "metadata", on)
}

/// Judges the labels and annotations that are written in one place.
fn of_metadata(manifest: &Manifest, at: &str, on: On) -> Vec<Finding> {
    let meta = manifest.at(at);
    let known = WORDS.iter().filter(|word| word.on.contains(&on));
    let mut findings: Vec<Finding> = known.filter_map(|word| meaningless(manifest, at, word)).collect();
    findings.extend(as_annotations(manifest, at, on));
    if !meta["labels"][USE_NAMESPACE].is_null() && meta["labels"][USE].is_null() {
        let verdict = Verdict::warning(
            format!("{USE_NAMESPACE} says where a waypoint is, and nothing says which"),
            format!("label it {USE} as well, with the name of the waypoint"),
        );
        let place = manifest.place(&format!("{at}.labels[{USE_NAMESPACE}]"));
        findings.push(VALUE.at(place, verdict, "it has no effect: this is behind no waypoint of its own"));
    }
    findings
}

fn meaningless(manifest: &Manifest, at: &str, word: &Word) -> Option<Finding> {
    let Word { key, field, means, write, state, effect, .. } = word;
    let value = manifest.at(at)[field][key].as_str().filter(|value| !means(value))?;
    let verdict = Verdict {
        state: *state,
        found: format!("`{value}` means nothing here"),
        remedy: Some((*write).to_owned()),
    };
    Some(VALUE.at(manifest.place(&format!("{at}.{field}[{key}]")), verdict, *effect))
}

/// Labels that are written as annotations.
fn as_annotations(manifest: &Manifest, at: &str, on: On) -> Vec<Finding> {
    let meta = manifest.at(at);
    let labels = [MODE, USE, USE_NAMESPACE, INGRESS].into_iter();
    let labels = labels.filter(|key| *key != MODE || on != On::Service);
    let misplaced = labels.filter(|key| !meta["annotations"][key].is_null() && meta["labels"][key].is_null());
    let finding = |key: &str| {
        let verdict = Verdict::problem(
            "this is a label, and it is written as an annotation",
            format!("move it to {at}.labels"),
        );
        let place = manifest.place(&format!("{at}.annotations[{key}]"));
        MISPLACED.at(place, verdict, "it has no effect: nobody looks at it there")
    };
    misplaced.map(finding).collect()
}

/// Labels of what makes pods that the pods do not have.
fn beside_template(manifest: &Manifest, template: &Value) -> Vec<Finding> {
    let misplaced =
        [MODE, USE].into_iter().filter(|key| manifest.label(key).is_some() && template[key].is_null());
    let finding = |key: &str| {
        let verdict = Verdict::warning(
            "the pods have not got this label, and what makes them is not looked at",
            "move it to the labels of the template",
        );
        let place = manifest.place(&format!("metadata.labels[{key}]"));
        MISPLACED.at(place, verdict, "it has no effect: nobody looks at it there")
    };
    misplaced.map(finding).collect()
}
