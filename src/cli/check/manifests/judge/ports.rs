//! Named ports of Services that pods do not have.

use std::collections::BTreeSet;

use culvert_derive::Kind;
use serde_json::Value;

use crate::check::finding::{Check, Finding, Verdict};
use crate::check::manifests::known::What;
use crate::check::manifests::pods::Pod;
use crate::check::manifests::shelf::Manifest;
use crate::check::manifests::world::{World, some_pods};

pub(super) const NAMED: Check = Check {
    name: "named-port",
    why: "a Service's port leads to the port that pods call by its name; a pod without that name does not serve it",
};

pub(super) fn judge(world: &World<'_>) -> Vec<Finding> {
    world.shelf.of(What::Derived(Kind::Service)).flat_map(|manifest| service(world, manifest)).collect()
}

fn service(world: &World<'_>, manifest: &Manifest) -> Vec<Finding> {
    let ports = manifest.value["spec"]["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    let named: Vec<(usize, u16, &str)> =
        ports.iter().enumerate().filter_map(|(at, port)| named(at, port)).collect();
    if named.is_empty() {
        return Vec::new();
    }
    let key = format!("{0}/{1}.{0}.svc.{2}", manifest.namespace, manifest.name, world.settings.domain);
    let pods = world.pods_of(&manifest.namespace).iter();
    let members: Vec<(&Pod<'_>, &BTreeSet<u16>)> =
        pods.filter_map(|pod| Some((*pod, world.derived.served(pod, &key)?))).collect();
    named.into_iter().filter_map(|port| judge_port(manifest, port, &members)).collect()
}

fn judge_port(
    manifest: &Manifest,
    (at, number, name): (usize, u16, &str),
    members: &[(&Pod<'_>, &BTreeSet<u16>)],
) -> Option<Finding> {
    let without = members.iter().filter(|(_, served)| !served.contains(&number)).map(|(pod, _)| *pod);
    let without: Vec<&Pod<'_>> = without.collect();
    if without.is_empty() {
        return None;
    }
    let names = some_pods(without.iter().copied());
    let remedy = format!("name a TCP port of the container {name}, or write its number as targetPort");
    let place = manifest.place(&format!("spec.ports[{at}].targetPort"));
    Some(if without.len() == members.len() {
        let verdict = Verdict::problem(format!("no pod has a TCP port called {name}: {names}"), remedy);
        NAMED.at(place, verdict, format!("connections to port {number} are refused"))
    } else {
        let verdict =
            Verdict::warning(format!("not all pods have a TCP port called {name}: {names}"), remedy);
        NAMED.at(place, verdict, format!("these get no connections to port {number}"))
    })
}

/// A TCP port that leads to a port by its name: its place, its number, the name.
fn named(at: usize, port: &Value) -> Option<(usize, u16, &str)> {
    let is_tcp = port["protocol"].as_str().is_none_or(|protocol| protocol == "TCP");
    let name = port["targetPort"].as_str().filter(|name| is_tcp && name.parse::<u16>().is_err())?;
    Some((at, u16::try_from(port["port"].as_u64()?).ok()?, name))
}
