//! Namespaces, and in which of them the roots have to be.

use k8s_openapi::api::core::v1::Namespace;

/// Namespaces of the cluster itself, in which nothing of the mesh runs.
const LEFT_OUT: [&str; 2] = ["kube-public", "kube-node-lease"];

/// A namespace, and whether the roots are to be in it: not where nothing can be made any more.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) is_open: bool,
}

impl Place {
    pub(super) fn read(namespace: Namespace) -> Option<Self> {
        let name = namespace.metadata.name?;
        let is_open = namespace.metadata.deletion_timestamp.is_none() && !LEFT_OUT.contains(&name.as_str());
        Some(Self { name, is_open })
    }
}
