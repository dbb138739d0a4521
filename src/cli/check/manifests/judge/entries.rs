//! What is written in entries and Gateways that makes no sense.

use culvert_derive::entry::{ServiceEntry, WorkloadEntry};
use culvert_derive::gateway::{Gateway, GatewayClass};
use culvert_derive::{Kind, Meta, Problem};
use serde::Deserialize as _;

use crate::check::finding::{Check, Finding, Verdict};
use crate::check::manifests::known::What;
use crate::check::manifests::shelf::Manifest;
use crate::check::manifests::world::{World, halves};

pub(super) const UNDERSTOOD: Check = Check {
    name: "entry-understood",
    why: "what makes no sense in a ServiceEntry, WorkloadEntry, Gateway or GatewayClass is left out, and the rest counts",
};

pub(super) fn judge(world: &World<'_>) -> Vec<Finding> {
    let kinds = [Kind::ServiceEntry, Kind::WorkloadEntry, Kind::Gateway, Kind::GatewayClass];
    let manifests = kinds
        .into_iter()
        .flat_map(|kind| world.shelf.of(What::Derived(kind)).map(move |manifest| (kind, manifest)));
    manifests.flat_map(|(kind, manifest)| entry(kind, manifest)).collect()
}

fn entry(kind: Kind, manifest: &Manifest) -> Vec<Finding> {
    let finding = |problem: &Problem| {
        let (found, remedy) = halves(&problem.what);
        let verdict = Verdict::problem(found, remedy);
        UNDERSTOOD.at(manifest.place(&problem.path), verdict, "it is left out, and the rest counts")
    };
    let mut problems = problems(kind, manifest);
    // What follows from one that is told already needs no words.
    problems.dedup_by(|one, before| one.path == before.path);
    problems.iter().map(finding).collect()
}

fn problems(kind: Kind, manifest: &Manifest) -> Vec<Problem> {
    // What cannot be read at all is another judge's business.
    let Ok(meta) = Meta::deserialize(&manifest.value["metadata"]) else { return Vec::new() };
    let value = &manifest.value;
    match kind {
        Kind::ServiceEntry => ServiceEntry::read(meta, value).problems,
        Kind::WorkloadEntry => WorkloadEntry::read(meta, value).problems,
        Kind::Gateway => Gateway::read(meta, value).problems,
        Kind::GatewayClass => GatewayClass::read(meta, value).problems,
        Kind::Namespace
        | Kind::Node
        | Kind::Pod
        | Kind::Service
        | Kind::EndpointSlice
        | Kind::AuthorizationPolicy
        | Kind::PeerAuthentication => Vec::new(),
    }
}
