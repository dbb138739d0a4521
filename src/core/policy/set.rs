//! The policies that apply to one workload, sorted by what they are there for.
//!
//! Goes in: policies, once for each state of the mesh. Comes out: lists that a connection is judged by without sorting or
//! copying anything. Which policies apply is not decided here: the snapshot knows.

use std::sync::Arc;

use super::rule::{Action, Policy};

/// The policies that apply to one workload, each once.
#[derive(Debug, Clone, Default)]
pub struct PolicySet {
    /// Enforced.
    pub(super) deny: Vec<Arc<Policy>>,
    /// Enforced.
    pub(super) allow: Vec<Arc<Policy>>,
    /// To be enforced, had they been understood.
    pub(super) unusable: Vec<Arc<Policy>>,
    pub(super) dry_run: Vec<Arc<Policy>>,
    /// What the workload refers to and no policy is called.
    unknown: Vec<Arc<str>>,
}

impl PolicySet {
    /// Puts a set together from the policies that govern where the workload is, and those it refers to.
    pub(crate) fn new<'a>(
        governing: impl Iterator<Item = &'a Arc<Policy>>,
        references: impl Iterator<Item = (&'a Arc<str>, Option<&'a Arc<Policy>>)>,
    ) -> Self {
        let mut set = Self::default();
        governing.for_each(|policy| set.list_for(policy).push(policy.clone()));
        for (key, policy) in references {
            match policy {
                Some(policy) => set.refer_to(policy),
                None => set.unknown.push(key.clone()),
            }
        }
        set
    }

    fn refer_to(&mut self, policy: &Arc<Policy>) {
        let list = self.list_for(policy);
        // It may govern the workload anyway.
        if !list.iter().any(|known| Arc::ptr_eq(known, policy)) {
            list.push(policy.clone());
        }
    }

    fn list_for(&mut self, policy: &Policy) -> &mut Vec<Arc<Policy>> {
        if policy.dry_run {
            return &mut self.dry_run;
        }
        match (&policy.unusable, policy.action) {
            (Some(_), _) => &mut self.unusable,
            (None, Action::Deny) => &mut self.deny,
            (None, Action::Allow) => &mut self.allow,
        }
    }

    /// Gives the policies.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.lists().into_iter().flatten()
    }

    /// Gives the keys the workload refers to that no policy has.
    pub fn unknown(&self) -> impl Iterator<Item = &Arc<str>> {
        self.unknown.iter()
    }

    /// Tells whether both consist of the very same policies, so that no verdict can differ.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        let same = |(one, other): (&Vec<Arc<Policy>>, &Vec<Arc<Policy>>)| {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| Arc::ptr_eq(one, other))
        };
        self.unknown == other.unknown && self.lists().into_iter().zip(other.lists()).all(same)
    }

    fn lists(&self) -> [&Vec<Arc<Policy>>; 4] {
        let Self { deny, allow, unusable, dry_run, unknown: _ } = self;
        [deny, unusable, allow, dry_run]
    }
}
