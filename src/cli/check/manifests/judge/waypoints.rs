//! Waypoints that are named and cannot be had, as far as the manifests tell.
//!
//! A waypoint that is missing here may be in the cluster. What many objects have from one label is told once.

use std::collections::BTreeMap;

use culvert_derive::{Condition, Key};

use crate::check::finding::{Check, Finding, Place, State, Verdict};
use crate::check::manifests::pods::Pod;
use crate::check::manifests::shelf::Manifest;
use crate::check::manifests::world::{World, some};

pub(super) const WAYPOINT: Check = Check {
    name: "waypoint",
    why: "traffic for a waypoint that cannot be had is refused: nobody else checks what the waypoint would have checked",
};

const BOUND: &str = "istio.io/WaypointBound";
const LABEL: &str = "istio.io/use-waypoint";

/// What is said of waypoints, by where it is written.
type Said = BTreeMap<(Place, &'static str), (Verdict, String, Vec<String>)>;

pub(super) fn judge(world: &World<'_>) -> Vec<Finding> {
    let pods: BTreeMap<&Key, &Pod<'_>> = world.pods.iter().map(|pod| (&pod.key, pod)).collect();
    let mut said = Said::new();
    for (key, conditions) in &world.derived.conditions {
        let troubles = conditions.iter().filter(|it| it.kind == BOUND && it.reason != "WaypointAccepted");
        for condition in troubles {
            let Some((place, name)) = written(world, key, pods.get(key).copied()) else { continue };
            let (verdict, effect) = verdict(world, key, condition);
            let about =
                said.entry((place, condition.reason)).or_insert_with(|| (verdict, effect, Vec::new()));
            about.2.push(name);
        }
    }
    let finding = |((place, _), (verdict, effect, names)): ((Place, _), (Verdict, String, Vec<String>))| {
        WAYPOINT.at(place, verdict, format!("{effect}: {}", some(names)))
    };
    said.into_iter().map(finding).collect()
}

/// Where the waypoint of an object is named, and what the object is called.
fn written(world: &World<'_>, key: &Key, pod: Option<&Pod<'_>>) -> Option<(Place, String)> {
    let path = format!("metadata.labels[{LABEL}]");
    let (manifest, own) = match pod {
        Some(pod) => (pod.manifest, pod.labels.filled(LABEL).map(|_| pod.path(&path))),
        None => {
            let manifest = world.shelf.called(key)?;
            (manifest, own_label(manifest, &path))
        }
    };
    let place = match own {
        Some(path) => manifest.place(&path),
        None => world.shelf.namespace(&key.namespace)?.place(&path),
    };
    Some((place, manifest.title()))
}

fn own_label(manifest: &Manifest, path: &str) -> Option<String> {
    let filled = |value: &serde_json::Value| value[LABEL].as_str().is_some_and(|name| !name.is_empty());
    let of_entry = format!("spec.labels[{LABEL}]");
    if filled(manifest.at("metadata.labels")) {
        Some(path.to_owned())
    } else {
        filled(manifest.at("spec.labels")).then_some(of_entry)
    }
}

/// What the condition means before anything is applied.
fn verdict(world: &World<'_>, key: &Key, condition: &Condition) -> (Verdict, String) {
    let Condition { holds, reason, message, .. } = condition;
    if *holds {
        let (_, trouble) = message.split_once(" alone: ").unwrap_or(("", message));
        let verdict = Verdict::warning(trouble, "see to the labels of the canary");
        return (verdict, "all goes through the first waypoint".to_owned());
    }
    let (said, advice) = message.split_once(". ").unwrap_or((message, "name another waypoint"));
    let (found, effect) = said.rsplit_once("; ").unwrap_or((said, "its traffic is refused"));
    let is_missing = *reason == "WaypointMissing";
    // Whom a waypoint lets in may depend on labels of a namespace that is not here.
    let is_unsure =
        is_missing || (*reason == "AttachmentDenied" && world.shelf.namespace(&key.namespace).is_none());
    let found = if is_missing { format!("{found} in these manifests") } else { found.to_owned() };
    let effect =
        if is_missing { format!("unless it is in the cluster, {effect}") } else { effect.to_owned() };
    let state = if is_unsure { State::Warning } else { State::Problem };
    (Verdict { state, found, remedy: Some(advice.to_owned()) }, effect)
}
