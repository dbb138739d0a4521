//! Policies: whether they are understood, whom they govern, and whether anybody enforces them.

use culvert_derive::policy::{AuthorizationPolicy, PeerAuthentication, Problem, Reach};
use culvert_derive::{Condition, Kind};
use culvert_membership::Why;

use crate::check::finding::{Check, Finding, Verdict};
use crate::check::manifests::known::What;
use crate::check::manifests::pods::{MODE, Membership, Pod, says};
use crate::check::manifests::shelf::{Manifest, labels};
use crate::check::manifests::world::{World, halves, some, some_pods};

pub(super) const UNDERSTOOD: Check = Check {
    name: "policy-understood",
    why: "a policy with a part that nodes cannot judge by is refused as a whole: it denies all that it governs",
};
pub(super) const SELECTS: Check = Check {
    name: "policy-selects",
    why: "a policy that selects no pod protects nobody, and looks as if it did",
};
pub(super) const ENFORCED: Check = Check {
    name: "policy-enforced",
    why: "nodes enforce policies for pods in the mesh; nobody does for the others",
};
pub(super) const OVERRULED: Check = Check {
    name: "policy-overruled",
    why: "of two PeerAuthentications for the same workloads only the older one counts",
};
pub(super) const PLAINTEXT: Check = Check {
    name: "policy-plaintext",
    why: "a rule that only excludes identities lets in who has none, in plaintext",
};

/// What pods of a Gateway are labelled with.
const GATEWAY: &str = "gateway.networking.k8s.io/gateway-name";

pub(super) fn judge(world: &World<'_>) -> Vec<Finding> {
    let of = |kind| world.shelf.of(What::Derived(kind));
    let authorizations = of(Kind::AuthorizationPolicy).flat_map(|manifest| authorization(world, manifest));
    let authentications = of(Kind::PeerAuthentication).flat_map(|manifest| authentication(world, manifest));
    authorizations.chain(authentications).collect()
}

fn authorization(world: &World<'_>, manifest: &Manifest) -> Vec<Finding> {
    let says = AuthorizationPolicy::read(&manifest.value);
    let reach = says.reach(&world.settings);
    let governed = world.governed(&reach);
    let accepted = says.accepted(&world.settings);
    let mut findings = refused(manifest, says.problems(), accepted.as_ref(), &governed);
    if says.problems().is_empty() {
        let idle = accepted.filter(|accepted| !accepted.holds);
        findings.extend(idle.map(|accepted| without_effect(manifest, &accepted)));
    }
    if says.lets_plaintext_in() {
        findings.push(plaintext(manifest));
    }
    if says.policy(&world.settings).is_some_and(|policy| !policy.dry_run) {
        findings.extend(enforced(world, manifest, &reach, &governed));
    }
    findings
}

fn authentication(world: &World<'_>, manifest: &Manifest) -> Vec<Finding> {
    let says = PeerAuthentication::read(&manifest.value);
    let reach = says.reach(&world.settings);
    let governed = world.governed(&reach);
    let accepted = says.accepted(&world.settings);
    let mut findings = refused(manifest, &says.problems(&world.settings), Some(&accepted), &governed);
    findings.extend(enforced(world, manifest, &reach, &governed));
    let conditions = manifest.key().and_then(|key| world.derived.conditions.get(&key));
    let overruled = conditions.into_iter().flatten().find(|condition| condition.reason == "Overruled");
    findings.extend(overruled.map(|condition| overruled_by(manifest, condition)));
    findings
}

/// One finding for each problem of a policy; each of them closes it as a whole.
fn refused(
    manifest: &Manifest,
    problems: &[Problem],
    accepted: Option<&Condition>,
    governed: &[&Pod<'_>],
) -> Vec<Finding> {
    let outcome = accepted.and_then(|it| it.message.strip_prefix("not understood, so ")?.split_once(": "));
    let outcome = outcome.map_or("it denies what it governs", |(outcome, _)| outcome);
    let mut effect = format!("it is refused as a whole: {outcome}");
    if !governed.is_empty() {
        effect += &format!(" ({})", some_pods(governed.iter().copied()));
    }
    let finding = |problem: &Problem| {
        let (found, remedy) = halves(&problem.text);
        let path = if problem.path == "the object" { "" } else { &problem.path };
        UNDERSTOOD.at(manifest.place(path), Verdict::problem(found, remedy), effect.clone())
    };
    problems.iter().map(finding).collect()
}

/// A policy that makes sense to others.
fn without_effect(manifest: &Manifest, accepted: &Condition) -> Finding {
    let (path, said) = accepted.message.split_once(": ").unwrap_or(("spec", &accepted.message));
    let (found, effect) = halves(said);
    UNDERSTOOD.at(manifest.place(path), Verdict::warning(found, "remove the policy"), effect)
}

fn plaintext(manifest: &Manifest) -> Finding {
    let verdict = Verdict::warning(
        "who has no identity is none of those that are excluded",
        "add principals: [\"*\"] beside what is excluded",
    );
    PLAINTEXT.at(manifest.place("spec.rules"), verdict, "plaintext gets in")
}

fn overruled_by(manifest: &Manifest, condition: &Condition) -> Finding {
    let other = condition.message.split_once(" says").map_or("another one", |(other, _)| other);
    let verdict = Verdict::warning(
        format!("{other} says something about the same workloads"),
        "remove one of them, or make one of both",
    );
    OVERRULED.at(
        manifest.place(""),
        verdict,
        "the one that was applied first decides, and the other has no effect",
    )
}

fn enforced(
    world: &World<'_>,
    manifest: &Manifest,
    reach: &Reach<'_>,
    governed: &[&Pod<'_>],
) -> Option<Finding> {
    let (namespace, selects) = match reach {
        Reach::Mesh => return None,
        Reach::Namespace(namespace) => (Some(*namespace), false),
        Reach::Selected { namespace, .. } => (*namespace, true),
    };
    if governed.is_empty() {
        let candidates = namespace.map_or(world.pods.len(), |namespace| world.pods_of(namespace).len());
        return match namespace {
            _ if selects && candidates > 0 && may_be_elsewhere(world, reach) => None,
            _ if selects && candidates > 0 => Some(selects_nobody(manifest, namespace)),
            Some(namespace) if matches!(world.namespace(namespace), Membership::Out(_)) => {
                Some(in_vain(manifest, format!("namespace {namespace} is not in the mesh"), label(namespace)))
            }
            Some(_) | None => None,
        };
    }
    let outside: Vec<&&Pod<'_>> = governed.iter().filter(|pod| !pod.may_be_in()).collect();
    if outside.is_empty() || (!selects && outside.len() < governed.len()) {
        return None;
    }
    let found = some(outside.iter().map(|pod| is_outside(pod)));
    let remedy = remedy(&outside);
    if outside.len() == governed.len() {
        return Some(in_vain(manifest, format!("nothing it governs is in the mesh: {found}"), remedy));
    }
    let verdict = Verdict::warning(format!("not all that it governs is in the mesh: {found}"), remedy);
    Some(ENFORCED.at(manifest.place("spec.selector"), verdict, "nobody enforces it for these"))
}

/// Tells whether a selector is for what no template here makes: pods somebody makes for a Gateway, or endpoints that are no pods.
fn may_be_elsewhere(world: &World<'_>, reach: &Reach<'_>) -> bool {
    let Reach::Selected { selector, .. } = reach else { return false };
    let entries = [(Kind::WorkloadEntry, "spec.labels"), (Kind::ServiceEntry, "metadata.labels")];
    let governs = |(kind, at): (Kind, &str)| {
        let mut manifests = world.shelf.of(What::Derived(kind));
        manifests.any(|entry| reach.governs(&entry.namespace, &labels(entry.at(at))))
    };
    selector.labels().get(GATEWAY).is_some() || entries.into_iter().any(governs)
}

fn in_vain(manifest: &Manifest, found: String, remedy: String) -> Finding {
    ENFORCED.at(manifest.place(""), Verdict::problem(found, remedy), "nobody enforces it")
}

fn selects_nobody(manifest: &Manifest, namespace: Option<&str>) -> Finding {
    let place = namespace.map_or_else(|| "any namespace".to_owned(), |name| format!("namespace {name}"));
    let verdict = Verdict::warning(
        format!("no pod or template in {place} has these labels"),
        "compare spec.selector.matchLabels with the labels of the pods' template",
    );
    SELECTS.at(manifest.place("spec.selector"), verdict, "it protects nothing that is in the manifests")
}

fn is_outside(pod: &Pod<'_>) -> String {
    let why = match pod.membership {
        Membership::Out(why) => says(why),
        Membership::In | Membership::Unknown => "is in the mesh",
    };
    format!("{} {why}", pod.manifest.title())
}

/// What to do about the first pod that is outside.
fn remedy(outside: &[&&Pod<'_>]) -> String {
    let first = outside.first().map(|pod| (pod.membership, &*pod.key.namespace));
    match first {
        Some((Membership::Out(Why::NotLabelled), namespace)) => label(namespace),
        Some((Membership::Out(Why::OptedOut), _)) => format!("remove {MODE}=none from the pods"),
        Some((Membership::Out(Why::HostNetwork), _)) => {
            "leave the policy away where the host's network is used: nothing can enforce it there".to_owned()
        }
        Some(_) | None => "leave the policy away where pods cannot be in the mesh".to_owned(),
    }
}

fn label(namespace: &str) -> String {
    format!("label namespace {namespace} {MODE}=ambient")
}
