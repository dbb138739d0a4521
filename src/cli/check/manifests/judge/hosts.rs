//! Hostnames that several objects of a namespace define, of which one counts.

use std::collections::BTreeMap;

use culvert_derive::Kind;

use crate::check::finding::{Check, Finding, Verdict};
use crate::check::manifests::known::What;
use crate::check::manifests::shelf::Manifest;
use crate::check::manifests::world::World;

pub(super) const ONCE: Check = Check {
    name: "host-once",
    why: "of the objects of a namespace that define one hostname one counts: the Service, or else the oldest ServiceEntry",
};

/// What defines a hostname, and where it says so.
struct Claim<'m> {
    manifest: &'m Manifest,
    path: String,
}

pub(super) fn judge(world: &World<'_>) -> Vec<Finding> {
    let mut claims: BTreeMap<(&str, String), Vec<Claim<'_>>> = BTreeMap::new();
    for manifest in world.shelf.of(What::Derived(Kind::Service)) {
        let host = format!("{}.{}.svc.{}", manifest.name, manifest.namespace, world.settings.domain);
        claims.entry((&manifest.namespace, host)).or_default().push(Claim { manifest, path: String::new() });
    }
    for manifest in world.shelf.of(What::Derived(Kind::ServiceEntry)) {
        let hosts = manifest.at("spec.hosts").as_array().into_iter().flatten().enumerate();
        for (at, host) in hosts.filter_map(|(at, host)| Some((at, host.as_str()?))) {
            let claim = Claim { manifest, path: format!("spec.hosts[{at}]") };
            claims.entry((&manifest.namespace, host.to_ascii_lowercase())).or_default().push(claim);
        }
    }
    claims.values().flat_map(|claims| claims.iter().skip(1).map(|later| twice(&claims[0], later))).collect()
}

/// The Service is first, if there is one.
fn twice(first: &Claim<'_>, later: &Claim<'_>) -> Finding {
    let other = first.manifest.title();
    let (found, effect) = if matches!(first.manifest.what, What::Derived(Kind::Service)) {
        (
            format!("{other} has this hostname"),
            "the Service counts, and what is said of the host here does not",
        )
    } else if std::ptr::eq(first.manifest, later.manifest) {
        ("this hostname is there twice".to_owned(), "it counts once")
    } else {
        (
            format!("{other} defines this hostname as well"),
            "the one that was made first counts as a whole, ports and endpoints of the other do not",
        )
    };
    let verdict = Verdict::warning(found, "make one of both, or give one of them another hostname");
    ONCE.at(later.manifest.place(&later.path), verdict, effect)
}
