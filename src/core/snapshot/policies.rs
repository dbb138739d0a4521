//! Policies as the indexes know them.

use std::sync::Arc;

use crate::policy::{Policy, Scope};

use super::index::Keyed;

/// A policy by what it governs: a namespace, or with the empty text everything.
#[derive(Debug, Clone)]
pub(crate) struct Governing(Arc<Policy>);

/// What policies that govern everything are found by.
pub(crate) const EVERYTHING: &str = "";

impl Governing {
    /// Gives nothing for a policy that governs only what refers to it.
    pub(crate) fn of(policy: &Arc<Policy>) -> Option<Self> {
        (policy.scope != Scope::WorkloadSelector).then(|| Self(policy.clone()))
    }

    pub(crate) fn is_global(&self) -> bool {
        self.0.scope == Scope::Global
    }

    pub(crate) fn policy(&self) -> &Arc<Policy> {
        &self.0
    }
}

impl Keyed for Arc<Policy> {
    type Key = str;

    fn key(&self) -> &str {
        &self.key
    }
}

impl Keyed for Governing {
    type Key = str;

    fn key(&self) -> &str {
        match self.0.scope {
            Scope::Global | Scope::WorkloadSelector => EVERYTHING,
            Scope::Namespace => &self.0.namespace,
        }
    }
}
