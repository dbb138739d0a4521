//! `AuthorizationPolicy`: who may connect to what.
//!
//! Goes in: an object as the API server writes it. Comes out: the policy nodes judge by, which workloads it governs, and what its
//! status says. What each way to write it means, the empty ones above all, is in the table of the module above.

use std::sync::Arc;

use culvert_core::policy::{Action, Match, Policy, Rule};
use serde_json::{Value, json};

use crate::{Condition, Labels, Meta, Settings};

use super::head;
use super::place::Place;
use super::problem::{Clipped, Problem, Problems};
use super::reach::{Reach, Selection};
use super::status::{self, Governed, Standing};

pub(super) use value::port;

mod rule;
mod value;

/// An `AuthorizationPolicy`, as far as it can be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationPolicy {
    namespace: Arc<str>,
    name: Arc<str>,
    key: Arc<str>,
    selection: Selection,
    effect: Effect,
    rules: Vec<Rule>,
    dry_run: bool,
    problems: Problems,
}

/// What a policy is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// It decides who gets in.
    Decides(Action),
    /// It would have to be written down who comes, which nodes do anyway.
    Audits,
    /// It is attached to something that is not judged for by nodes.
    IsOfWaypoint,
}

/// With this annotation a policy is evaluated and not enforced.
const DRY_RUN: &str = "istio.io/dry-run";

impl AuthorizationPolicy {
    /// Reads an object. Whatever is wrong with it is one of its problems.
    #[must_use]
    pub fn read(object: &Value) -> Self {
        let mut problems = Problems::default();
        let meta = head::meta(object, &mut problems);
        let mut policy = Self {
            key: format!("{}/{}", meta.namespace, meta.name).into(),
            dry_run: dry_run(&meta, &mut problems),
            namespace: meta.namespace,
            name: meta.name,
            selection: Selection::All,
            effect: Effect::Decides(Action::Allow),
            rules: Vec::new(),
            problems,
        };
        if let Some(spec) = Place::top(object).field("spec") {
            policy.read_spec(&spec);
        }
        policy
    }

    /// Gives what counts in the place of an object that cannot be read at all.
    #[must_use]
    pub fn unreadable(namespace: &str, name: &str, why: &str) -> Self {
        let mut policy = Self::read(&json!({"metadata": {"namespace": namespace, "name": name}}));
        policy.selection = Selection::Unreadable;
        policy.problems.invalid("the object", format!("cannot be read: {}", Clipped(why)));
        policy
    }

    /// What workloads refer to it by: `<namespace>/<name>`.
    #[must_use]
    pub fn key(&self) -> &Arc<str> {
        &self.key
    }

    /// Why it cannot be enforced as it is written; nothing if it can.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        self.problems.as_slice()
    }

    /// Gives which workloads it governs. When it selects some, these have to refer to it by its key.
    #[must_use]
    pub fn reach<'a>(&'a self, settings: &Settings) -> Reach<'a> {
        // Nobody knows where something without a namespace is.
        let everywhere = self.namespace.is_empty() || self.namespace == settings.root_namespace;
        match &self.selection {
            Selection::Labelled(selector) => {
                Reach::Selected { namespace: (!everywhere).then_some(&*self.namespace), selector }
            }
            Selection::All | Selection::Unreadable if everywhere => Reach::Mesh,
            Selection::All | Selection::Unreadable => Reach::Namespace(&self.namespace),
        }
    }

    /// Tells whether it governs a workload.
    #[must_use]
    pub fn governs(&self, settings: &Settings, namespace: &str, labels: &Labels) -> bool {
        self.reach(settings).governs(namespace, labels)
    }

    /// Gives what nodes are told; nothing when it has no part in who gets in. With any problem it denies what it governs.
    #[must_use]
    pub fn policy(&self, settings: &Settings) -> Option<Policy> {
        let action = match self.effect {
            Effect::Decides(action) => action,
            Effect::Audits | Effect::IsOfWaypoint => return None,
        };
        let scope = self.reach(settings).scope();
        let (key, namespace, dry_run) = (self.key.clone(), self.namespace.clone(), self.dry_run);
        if !self.problems.is_empty() {
            let unusable = Policy::unusable(key, namespace, scope, self.problems.reason().into());
            return Some(Policy { dry_run, ..unusable });
        }
        let (name, rules) = (self.name.clone(), self.rules.clone());
        Some(Policy { key, name, namespace, scope, action, rules, dry_run, unusable: None })
    }

    /// Gives the condition `ZtunnelAccepted`; none for what is a waypoint's business.
    #[must_use]
    pub fn accepted(&self, settings: &Settings) -> Option<Condition> {
        let outcome = match self.effect {
            Effect::IsOfWaypoint => return None,
            Effect::Audits => "it is not published",
            Effect::Decides(_) if self.dry_run => {
                "if it were no dry run, nobody would get in where it governs"
            }
            Effect::Decides(_) => "nobody gets in where it governs",
        };
        Some(match self.effect {
            _ if !self.problems.is_empty() => status::refused(&self.problems, outcome),
            Effect::Audits => status::unsupported(
                "spec.action: AUDIT lets nobody in and keeps nobody out, and \
                 nodes log every connection anyway; the policy is not published, and can be removed",
            ),
            Effect::Decides(_) | Effect::IsOfWaypoint => status::accepted(self.remarks(settings)),
        })
    }

    /// Gives the condition `culvert.dev/Enforced`, with how many workloads it governs.
    #[must_use]
    pub fn enforced(&self, governed: Governed) -> Condition {
        let standing = match self.effect {
            Effect::IsOfWaypoint => Standing::OfWaypoint,
            Effect::Audits => Standing::Idle,
            Effect::Decides(_) if self.dry_run => Standing::DryRun,
            Effect::Decides(_) if !self.problems.is_empty() => Standing::Closed("nobody gets in to"),
            Effect::Decides(_) => Standing::AsWritten,
        };
        status::enforced(standing, governed)
    }

    /// Tells whether it lets in who has no identity, because all it does is exclude others by theirs: that is probably not meant.
    #[must_use]
    pub fn lets_plaintext_in(&self) -> bool {
        let allows = self.effect == Effect::Decides(Action::Allow) && self.problems.is_empty();
        allows && self.rules.iter().any(admits_anonymous)
    }

    fn read_spec(&mut self, spec: &Place<'_>) {
        let problems = &mut self.problems;
        self.selection = Selection::read(spec, problems);
        if is_of_waypoint(spec, self.selection == Selection::All, problems) {
            // The rest is for others to read, and may say what nodes do not understand.
            self.effect = Effect::IsOfWaypoint;
            return;
        }
        self.effect = effect(spec, problems);
        for field in spec.fields(problems) {
            match field.name() {
                "selector" | "action" | "targetRef" | "targetRefs" => {}
                "rules" => {
                    let rules = field.any_items(problems);
                    self.rules = rules.iter().map(|it| rule::rule(it, &self.namespace, problems)).collect();
                }
                "provider" => problems.unsupported(field.path(), "nodes ask no provider; remove it"),
                _ => field.is_unknown(problems),
            }
        }
        if self.rules.is_empty() && self.effect == Effect::Decides(Action::Deny) && problems.is_empty() {
            problems.invalid(
                "spec.rules",
                "a DENY without rules denies nobody; write the rule `{}` to deny everybody",
            );
        }
    }

    /// What is understood, and probably not meant.
    fn remarks(&self, settings: &Settings) -> Vec<String> {
        let matches = self.rules.iter().flat_map(|it| &it.clauses).flat_map(|it| &it.matches);
        let mut remarks = Vec::new();
        let principals = matches.flat_map(|it| it.principals.iter().chain(&it.not_principals));
        let mut domains = principals.filter_map(value::trust_domain);
        if let Some(other) = domains.find(|domain| **domain != *settings.trust_domain) {
            let (other, ours) = (Clipped(other), &settings.trust_domain);
            remarks
                .push(format!("no peer is of the trust domain `{other}`, as that of this mesh is `{ours}`"));
        }
        if self.lets_plaintext_in() {
            remarks.push(
                "who has no identity is none of those that are excluded, so plaintext gets in".to_owned(),
            );
        }
        remarks
    }
}

/// Tells whether a rule excludes some peers by identity, and asks for none of those it does not.
fn admits_anonymous(rule: &Rule) -> bool {
    let wants = |it: &Match| {
        !(it.principals.is_empty() && it.namespaces.is_empty() && it.service_accounts.is_empty())
    };
    let excludes = |it: &Match| {
        !(it.not_principals.is_empty() && it.not_namespaces.is_empty() && it.not_service_accounts.is_empty())
    };
    rule.clauses.iter().all(|clause| !clause.matches.iter().all(wants))
        && rule.clauses.iter().flat_map(|clause| &clause.matches).any(|it| excludes(it) && !wants(it))
}

/// Reads the action; what is none of ours is a problem, and denies meanwhile.
fn effect(spec: &Place<'_>, problems: &mut Problems) -> Effect {
    let Some(action) = spec.field("action") else { return Effect::Decides(Action::Allow) };
    match action.text(problems) {
        Some("ALLOW") => return Effect::Decides(Action::Allow),
        Some("AUDIT") => return Effect::Audits,
        Some("DENY") | None => {}
        Some("CUSTOM") => {
            problems.unsupported(
                action.path(),
                "nodes ask no external authorizer; attach the policy to a waypoint \
                 with targetRefs, or write ALLOW or DENY",
            );
        }
        Some(other) => {
            problems
                .invalid(action.path(), format!("`{}` is no action; write ALLOW or DENY", Clipped(other)));
        }
    }
    Effect::Decides(Action::Deny)
}

/// Tells whether a policy is attached to something, and so no business of nodes.
fn is_of_waypoint(spec: &Place<'_>, selects_nothing: bool, problems: &mut Problems) -> bool {
    let (one, several) = (spec.field("targetRef"), spec.field("targetRefs"));
    if one.is_none() && several.is_none() {
        return false;
    }
    let mut found = Problems::default();
    if !selects_nothing {
        found.invalid(
            "spec",
            "has a selector and targetRefs; nobody can tell which counts, remove one of them",
        );
    }
    let targets = several.iter().flat_map(|list| list.items(&mut found));
    let targets: Vec<Place<'_>> = targets.collect();
    for target in one.iter().chain(&targets) {
        let named = |field| target.field(field).is_some_and(|it| it.is_filled_text());
        if !(named("kind") && named("name")) {
            found.invalid(target.path(), "does not name what the policy is attached to; write kind and name");
        }
    }
    let attached = found.is_empty();
    problems.take(found);
    attached
}

/// Reads the annotation of a dry run, which says true or false as programs in Go do.
fn dry_run(meta: &Meta, problems: &mut Problems) -> bool {
    match meta.annotations.get(DRY_RUN) {
        Some("true" | "True" | "TRUE" | "t" | "T" | "1") => true,
        None | Some("false" | "False" | "FALSE" | "f" | "F" | "0") => false,
        Some(other) => {
            let text = format!("`{}` is neither true nor false; write one of them", Clipped(other));
            problems.invalid(format_args!("metadata.annotations[{DRY_RUN}]"), text);
            false
        }
    }
}

#[cfg(test)]
mod tests;
