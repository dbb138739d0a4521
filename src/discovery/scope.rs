//! What the wildcard of a subscription stands for.

use std::collections::HashSet;
use std::sync::Arc;

use crate::catalog::{Entry, Governs, Kind};

/// Namespaces of workloads, and those of the policies they refer to.
pub(crate) type Namespaces = HashSet<Arc<str>>;

/// What a client gets that wants everything.
#[derive(Debug)]
pub(crate) enum Scope {
    Everything,
    /// What it may have: what is in these namespaces.
    Of(Arc<[String]>),
    /// What matters to the workloads it knows: policies of these namespaces, and those that govern everything.
    Around(Namespaces),
    /// It may not want that.
    Nothing,
}

impl Scope {
    pub(crate) fn includes(&self, entry: &Entry) -> bool {
        match self {
            Self::Everything => true,
            Self::Of(namespaces) => entry
                .name
                .split_once('/')
                .is_some_and(|(namespace, _)| namespaces.iter().any(|of| of == namespace)),
            Self::Around(namespaces) => match &entry.kind {
                Kind::Policy(Governs::Namespace(namespace)) => namespaces.contains(namespace),
                Kind::Policy(Governs::Everything) | Kind::Service(_) | Kind::Workload(_) => true,
            },
            Self::Nothing => false,
        }
    }

    /// Tells whether it follows what the client knows.
    pub(crate) fn is_around(&self) -> bool {
        matches!(self, Self::Around(_))
    }
}
