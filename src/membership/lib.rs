//! Whether a pod is in the mesh: the one definition, for the agent that captures pods and the control plane that gives out their
//! identities.
//!
//! In go a pod's labels and annotations, whether it has the host's network and whether anything runs in it; the name and the labels
//! of its namespace; and the [`Settings`] of the mesh. Out comes a [`Membership`]: in, or why not. Deliberately absent: whether a pod
//! is captured at this moment, which its agent alone knows and claims ([`Claim`]); what of it is captured; and where any of this is
//! kept.
//!
//! ```text
//! pod ───────▶ Standing ─┐
//!   settings             ├─▶ within ─▶ Membership
//! namespace ─▶ Backing ──┘
//! ```
//!
//! The two halves are small, and each is made when its object is read, so that nobody has to keep labels: a pod's change costs
//! that pod, and a namespace's change no pod at all.

use std::collections::BTreeMap;

pub mod selectors;
pub mod settings;

mod annotations;
mod life;

#[cfg(test)]
mod tests;

pub use annotations::{Annotations, Claim, MIRROR, Marks, REDIRECTION, SIDECAR};
pub use life::{Container, Life, Status};
pub use settings::{EXCLUDED, Settings};

use selectors::Which;

/// The label of pods and namespaces that says whether they are in the mesh.
pub const MODE: &str = "istio.io/dataplane-mode";

/// Labels, or annotations, by key.
pub trait Labels {
    /// Gives the value of a key.
    fn value(&self, key: &str) -> Option<&str>;
}

impl Labels for BTreeMap<String, String> {
    fn value(&self, key: &str) -> Option<&str> {
        self.get(key).map(String::as_str)
    }
}

/// What of a pod decides.
#[derive(Debug)]
pub struct Pod<'a, L> {
    /// The namespace it is in.
    pub namespace: &'a str,
    /// Its labels.
    pub labels: &'a L,
    /// What its annotations say of what cannot be captured.
    pub marks: Marks,
    /// Whether it has the network of its node.
    pub host_network: bool,
    /// Whether something may still run in it.
    pub life: Life,
}

/// Whether a pod is in the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Membership {
    /// It is not, for this reason.
    Out(Why),
    /// It is, or shall be.
    In,
}

/// Why a pod is not in the mesh. The first that holds; so the later one is, the nearer the pod is to being in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// Pods of its namespace never are.
    ExcludedNamespace,
    /// It has the network of its node.
    HostNetwork,
    /// It is a static pod: the runtime knows it by another UID than the cluster.
    Static,
    /// It has a proxy of its own.
    Sidecar,
    /// It says so itself.
    OptedOut,
    /// No selector selects it.
    NotLabelled,
    /// All its containers have ended for good, or it is being deleted and none is left.
    Finished,
}

/// What a pod comes to by itself. What it does not say is its namespace's to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing(Own);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Own {
    Out(Why),
    /// These select it if they select its namespace as well.
    Selected(Which, Life),
}

/// What a namespace says for its pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backing(Which);

impl Settings {
    /// Tells what a pod comes to by itself.
    #[must_use]
    pub fn of_pod<L: Labels>(&self, pod: &Pod<'_, L>) -> Standing {
        let excluded = self.excluded().contains(pod.namespace).then_some(Why::ExcludedNamespace);
        let never = excluded.or_else(|| never(pod.host_network, pod.marks));
        // Whatever the selectors are: this is how our own pods keep out of a labelled namespace.
        let opted_out = || (pod.labels.value(MODE) == Some("none")).then_some(Why::OptedOut);
        Standing(match never.or_else(opted_out) {
            Some(why) => Own::Out(why),
            None => Own::Selected(self.selectors.of_pod(pod.labels), pod.life),
        })
    }

    /// Tells what a namespace says for its pods.
    #[must_use]
    pub fn of_namespace(&self, labels: &impl Labels) -> Backing {
        Backing(self.selectors.of_namespace(labels))
    }

    /// Tells whether pods of a namespace are in the mesh that say nothing about it.
    #[must_use]
    pub fn includes_by_default(&self, namespace: &str, labels: &impl Labels) -> bool {
        let (marks, none) = (Marks::default(), BTreeMap::new());
        let silent = Pod { namespace, labels: &none, marks, host_network: false, life: Life::Going };
        self.decide(&silent, labels) == Membership::In
    }

    /// Tells whether a pod of a namespace with these labels is in the mesh.
    #[must_use]
    pub fn decide<L: Labels>(&self, pod: &Pod<'_, L>, namespace: &impl Labels) -> Membership {
        self.of_pod(pod).within(self.of_namespace(namespace))
    }
}

impl Standing {
    /// Tells whether the pod is in the mesh.
    #[must_use]
    pub fn within(self, namespace: Backing) -> Membership {
        match self.0 {
            Own::Out(why) => Membership::Out(why),
            Own::Selected(by, _) if !by.meets(namespace.0) => Membership::Out(Why::NotLabelled),
            Own::Selected(_, Life::Ended) => Membership::Out(Why::Finished),
            Own::Selected(_, Life::Going) => Membership::In,
        }
    }
}

/// Why nobody could capture a pod, whatever it and the mesh wish for.
fn never(host_network: bool, marks: Marks) -> Option<Why> {
    if host_network {
        Some(Why::HostNetwork)
    } else if marks.is_static {
        Some(Why::Static)
    } else {
        marks.has_proxy.then_some(Why::Sidecar)
    }
}

impl Why {
    /// Every reason, in the order in which they are looked for.
    pub const ALL: [Self; 7] = [
        Self::ExcludedNamespace,
        Self::HostNetwork,
        Self::Static,
        Self::Sidecar,
        Self::OptedOut,
        Self::NotLabelled,
        Self::Finished,
    ];

    /// Says it to people.
    #[must_use]
    pub fn says(self) -> &'static str {
        match self {
            Self::ExcludedNamespace => "its namespace is excluded from the mesh",
            Self::HostNetwork => "it has the host's network",
            Self::Static => "it is a static pod",
            Self::Sidecar => "it has a proxy of its own",
            Self::OptedOut => "its own label keeps it out",
            Self::NotLabelled => "neither it nor its namespace is labelled for the mesh",
            Self::Finished => "it has ended",
        }
    }

    /// Its stable name, for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ExcludedNamespace => "excluded_namespace",
            Self::HostNetwork => "host_network",
            Self::Static => "static",
            Self::Sidecar => "sidecar",
            Self::OptedOut => "opted_out",
            Self::NotLabelled => "not_labelled",
            Self::Finished => "finished",
        }
    }
}
