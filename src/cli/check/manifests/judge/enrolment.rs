//! Which pods are in the mesh, where that is not what was meant, or cannot be told.

use std::collections::BTreeSet;

use culvert_derive::Kind;
use culvert_membership::Why;

use crate::check::finding::{Check, Finding, Verdict};
use crate::check::manifests::known::What;
use crate::check::manifests::pods::{EXCLUDED, MODE, Membership, Pod, says};
use crate::check::manifests::world::{World, some};

pub(super) const KNOWN: Check = Check {
    name: "enrolment-known",
    why: "policies are enforced for pods in the mesh, and the label of their namespace decides",
};
pub(super) const NEVER: Check = Check {
    name: "never-in-mesh",
    why: "pods with the host's network, or a proxy of their own, cannot be captured",
};

pub(super) fn judge(world: &World<'_>) -> Vec<Finding> {
    let pods = world.pods.iter().filter_map(in_vain);
    let excluded = world.shelf.namespace(EXCLUDED).filter(|it| it.label(MODE) == Some("ambient"));
    let excluded = excluded.map(|namespace| {
        let verdict = Verdict::warning(
            "this namespace is never in the mesh",
            "remove the label, or take the namespace out of the agent's EXCLUDE_NAMESPACES",
        );
        NEVER.at(namespace.place(&path()), verdict, "the label has no effect")
    });
    unknown(world).into_iter().chain(pods).chain(excluded).collect()
}

fn path() -> String {
    format!("metadata.labels[{MODE}]")
}

/// A pod that asks to be in the mesh, and cannot be.
fn in_vain(pod: &Pod<'_>) -> Option<Finding> {
    let Membership::Out(why) = pod.membership else { return None };
    if pod.labels.get(MODE) != Some("ambient") {
        return None;
    }
    let remedy = match why {
        Why::HostNetwork => "remove hostNetwork, or the label",
        Why::Static => "run it as something the cluster makes pods for, or remove the label",
        Why::Sidecar => "remove the proxy, or the label",
        Why::ExcludedNamespace => "move it to another namespace, or remove the label",
        Why::OptedOut | Why::NotLabelled | Why::Finished => return None,
    };
    let verdict = Verdict::problem(format!("it is labelled to be in the mesh, and {}", says(why)), remedy);
    let effect = "it speaks plaintext, and nobody enforces policies for it";
    Some(NEVER.at(pod.place(&path()), verdict, effect))
}

/// Namespaces with something in them that depends on enrolment, and that are not among the manifests.
fn unknown(world: &World<'_>) -> Option<Finding> {
    let matters = |what: What| {
        matches!(
            what,
            What::Controller(..)
                | What::NetworkPolicy
                | What::Derived(Kind::Pod | Kind::AuthorizationPolicy | Kind::PeerAuthentication)
        )
    };
    let manifests = world.shelf.manifests().filter(|manifest| matters(manifest.what));
    let names: BTreeSet<&str> = manifests.map(|manifest| &*manifest.namespace).collect();
    // What governs the mesh is in force wherever the mesh is.
    let undecided = |name: &&str| {
        world.namespace(name) == Membership::Unknown && *world.settings.root_namespace != **name
    };
    let names: Vec<String> = names.into_iter().filter(undecided).map(str::to_owned).collect();
    let verdict = || {
        Verdict::unknown(
            format!(
                "whether these namespaces are in the mesh, as their labels are not here: {}",
                some(names.clone())
            ),
            "name the manifests of namespaces as well: culvert check --manifests DIR namespaces.yaml",
        )
    };
    (!names.is_empty()).then(|| KNOWN.finding(verdict()))
}
