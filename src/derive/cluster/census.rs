//! How many pods each policy governs, which is what its status says.
//!
//! A pod that comes or goes is counted for those policies that govern it. Numbers are told in round figures, so hardly ever
//! is there anything new to say.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::Id;
use super::selecting::Selecting;
use crate::Kind;
use crate::pod::Pod;
use crate::policy::Governed;

/// How many pods each policy governs.
#[derive(Debug, Default)]
pub(crate) struct Census {
    mesh: Governed,
    namespaces: HashMap<Arc<str>, Governed>,
    /// By the policies that select some.
    selected: BTreeMap<Id, Governed>,
    /// The policies that govern whole namespaces, and those that govern the mesh (under the empty name).
    broad: HashMap<Arc<str>, BTreeSet<Id>>,
}

/// Whether a pod comes or goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    In,
    Out,
}

impl Census {
    /// Counts a pod, and gives the policies of which there is something new to say.
    pub(crate) fn count(&mut self, step: Step, id: &Id, pod: &Pod, selecting: &Selecting) -> Vec<Id> {
        let mut news = Vec::new();
        for policy in selecting.selecting(&id.namespace, &pod.shape.labels) {
            if is_policy(policy) && !self.selected.entry(policy.clone()).or_default().step(step, pod) {
                news.push(policy.clone());
            }
        }
        let here = self.namespaces.entry(id.namespace.clone()).or_default();
        let is_told = here.step(step, pod);
        if *here == Governed::default() {
            self.namespaces.remove(&id.namespace);
        }
        if !is_told {
            news.extend(self.broad(&id.namespace).cloned());
        }
        if !self.mesh.step(step, pod) {
            news.extend(self.broad("").cloned());
        }
        news
    }

    /// Takes note of a policy that selects these pods.
    pub(crate) fn begin<'a>(&mut self, policy: &Id, pods: impl Iterator<Item = &'a Pod>) {
        let mut governed = Governed::default();
        for pod in pods {
            governed.step(Step::In, pod);
        }
        self.selected.insert(policy.clone(), governed);
    }

    /// Takes note that a policy selects nothing any longer.
    pub(crate) fn end(&mut self, policy: &Id) {
        self.selected.remove(policy);
    }

    /// Takes note of a policy that governs a whole namespace, or the mesh (with the empty name).
    pub(crate) fn insert_broad(&mut self, place: &Arc<str>, policy: &Id) {
        self.broad.entry(place.clone()).or_default().insert(policy.clone());
    }

    pub(crate) fn remove_broad(&mut self, place: &str, policy: &Id) {
        if let Some(policies) = self.broad.get_mut(place) {
            policies.remove(policy);
            if policies.is_empty() {
                self.broad.remove(place);
            }
        }
    }

    /// The policies that govern a whole namespace, or the mesh.
    pub(crate) fn broad(&self, place: &str) -> impl Iterator<Item = &Id> {
        self.broad.get(place).into_iter().flatten()
    }

    pub(crate) fn of_selecting(&self, policy: &Id) -> Governed {
        self.selected.get(policy).copied().unwrap_or_default()
    }

    pub(crate) fn of_namespace(&self, namespace: &str) -> Governed {
        self.namespaces.get(namespace).copied().unwrap_or_default()
    }

    pub(crate) fn of_mesh(&self) -> Governed {
        self.mesh
    }
}

impl Governed {
    /// Counts a pod; tells whether the same is to be said as before.
    fn step(&mut self, step: Step, pod: &Pod) -> bool {
        let before = *self;
        let count = if pod.is_in_mesh() { &mut self.in_mesh } else { &mut self.outside };
        match step {
            Step::In => *count += 1,
            Step::Out => *count -= 1,
        }
        self.is_told_like(before)
    }
}

fn is_policy(id: &Id) -> bool {
    matches!(id.kind, Kind::AuthorizationPolicy | Kind::PeerAuthentication)
}
