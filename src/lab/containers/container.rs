//! A container as tests see it.

use std::sync::Arc;

use crate::pod::Pod;

use super::sandbox::Sandbox;

/// A container, the only one of its pod. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Container(Arc<Body>);

#[derive(Debug)]
struct Body {
    pod: Pod,
    id: String,
    pid: u32,
    kind: Kind,
}

/// Who has made it, and what is needed to take it down.
#[derive(Debug)]
pub(super) enum Kind {
    Podman,
    Sandbox(Sandbox),
}

impl Container {
    pub(super) fn new(pod: Pod, id: String, pid: u32, kind: Kind) -> Self {
        Self(Arc::new(Body { pod, id, pid, kind }))
    }

    /// It as a pod of the lab: its applications' point of view.
    #[must_use]
    pub fn pod(&self) -> &Pod {
        &self.0.pod
    }

    /// What the runtime calls it; plugins know it as `CNI_CONTAINERID`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Its first process, as everybody else on the machine sees it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.pid
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.0.kind
    }
}
