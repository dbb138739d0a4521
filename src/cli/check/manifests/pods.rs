//! The pods there will be: one for each manifest of a pod, and for each template of something that makes pods.
//!
//! Whether they will be in the mesh is decided by the one definition of it (`culvert-membership`) as the mesh has it unless told
//! otherwise, and as far as manifests tell.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::sync::Arc;

use culvert_derive::{Key, Kind, Labels};
use culvert_membership::{Annotations, Life, Settings, Why};
use serde_json::{Map, Value, json};

use super::known::What;
use super::shelf::{Manifest, Shelf, labels};
use crate::check::finding::Place;

/// A pod that will be there.
#[derive(Debug)]
pub(super) struct Pod<'m> {
    /// What it is written in.
    pub(super) manifest: &'m Manifest,
    /// Where in that; empty for a pod that is written as such.
    at: &'static str,
    pub(super) labels: Labels,
    pub(super) membership: Membership,
    /// What stands for it, as nobody knows what it will be called.
    pub(super) key: Key,
}

/// Whether a pod will be in the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Membership {
    In,
    Out(Why),
    /// Its namespace decides, and is not in the manifests.
    Unknown,
}

pub(super) use culvert_membership::{EXCLUDED, MODE, REDIRECTION};

/// Gives all pods there will be.
pub(super) fn all(shelf: &Shelf) -> Vec<Pod<'_>> {
    let mut taken = BTreeSet::new();
    let made = shelf.manifests().filter_map(|manifest| match manifest.what {
        What::Controller("ReplicaSet" | "Job", _) if manifest.is_owned() => None,
        What::Controller(_, at) => Some((manifest, at)),
        What::Derived(Kind::Pod) => Some((manifest, "")),
        What::Derived(_) | What::NetworkPolicy | What::ServiceAccount => None,
    });
    let there = made.filter(|(manifest, _)| !is_finished(manifest));
    there.map(|(manifest, at)| Pod::new(manifest, at, shelf, &mut taken)).collect()
}

/// Gives pods by their namespaces.
pub(super) fn by_namespace<'p, 'm>(pods: &'p [Pod<'m>]) -> BTreeMap<&'p str, Vec<&'p Pod<'m>>> {
    let mut found: BTreeMap<&str, Vec<&Pod<'m>>> = BTreeMap::new();
    for pod in pods {
        found.entry(&pod.key.namespace).or_default().push(pod);
    }
    found
}

/// Tells whether pods of a namespace are in the mesh that say nothing themselves.
pub(super) fn of_namespace(shelf: &Shelf, name: &str) -> Membership {
    let silent = (Labels::default(), Annotations::default());
    within(shelf, name, (&silent.0, silent.1), false)
}

/// Decides about a pod of a namespace. What depends on labels of the namespace is not known where it is not in the manifests.
fn within(
    shelf: &Shelf,
    namespace: &str,
    (pod, annotations): (&Labels, Annotations),
    host_network: bool,
) -> Membership {
    let there = shelf.namespace(namespace).map(|it| labels(&it.value["metadata"]["labels"]));
    let pod = culvert_membership::Pod {
        namespace,
        labels: pod,
        marks: annotations.marks,
        host_network,
        life: Life::Going,
    };
    match Settings::default().decide(&pod, there.as_ref().unwrap_or(&Labels::default())) {
        culvert_membership::Membership::In => Membership::In,
        culvert_membership::Membership::Out(Why::NotLabelled) if there.is_none() => Membership::Unknown,
        culvert_membership::Membership::Out(why) => Membership::Out(why),
    }
}

impl<'m> Pod<'m> {
    fn new(manifest: &'m Manifest, at: &'static str, shelf: &Shelf, taken: &mut BTreeSet<Key>) -> Self {
        let namespace = manifest.namespace.clone();
        let mut key = Key { kind: Kind::Pod, namespace, name: manifest.name.clone() };
        if !taken.insert(key.clone()) {
            key.name = format!("{} of {}", manifest.name, manifest.title()).into();
            taken.insert(key.clone());
        }
        let labels = labels(&manifest.at(at)["metadata"]["labels"]);
        let mut pod = Self { manifest, at, labels, membership: Membership::Unknown, key };
        pod.membership = pod.membership(shelf);
        pod
    }

    fn membership(&self, shelf: &Shelf) -> Membership {
        let template = self.template();
        let annotations = Annotations::of(&labels(&template["metadata"]["annotations"]));
        let host_network = template["spec"]["hostNetwork"] == true;
        within(shelf, &self.key.namespace, (&self.labels, annotations), host_network)
    }

    /// What is written of it.
    pub(super) fn template(&self) -> &'m Value {
        self.manifest.at(self.at)
    }

    /// Gives the way to something in it, in the manifest.
    pub(super) fn path(&self, path: &str) -> String {
        match (self.at, path) {
            ("", path) => path.to_owned(),
            (at, "") => at.to_owned(),
            (at, path) => format!("{at}.{path}"),
        }
    }

    /// Gives the place of something in it.
    pub(super) fn place(&self, path: &str) -> Place {
        self.manifest.place(&self.path(path))
    }

    /// Gives the service account it runs as.
    pub(super) fn account(&self) -> &'m str {
        let spec = &self.template()["spec"];
        let named = |field: &str| spec[field].as_str().filter(|name| !name.is_empty());
        named("serviceAccountName").or_else(|| named("serviceAccount")).unwrap_or("default")
    }

    /// Tells whether it may be in the mesh.
    pub(super) fn may_be_in(&self) -> bool {
        !matches!(self.membership, Membership::Out(_))
    }

    /// Gives what the API server would say of it once it runs. Whether it is captured by then is nothing that is judged by this.
    pub(super) fn running(&self, number: usize) -> Value {
        let template = self.template();
        let written: Map<String, Value> =
            self.labels.iter().map(|(key, value)| (key.to_string(), (&**value).into())).collect();
        let address = Ipv6Addr::from((0xfd00_u128 << 112) + number as u128 + 1);
        json!({
            "metadata": {
                "name": &*self.key.name,
                "namespace": &*self.key.namespace,
                "labels": written,
            },
            "spec": template["spec"],
            "status": {
                "phase": "Running",
                "podIP": address.to_string(),
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        })
    }

    /// Gives the end of the uid of its workload.
    pub(super) fn uid(&self, cluster: &str) -> Arc<str> {
        format!("{cluster}//Pod/{}/{}", self.key.namespace, self.key.name).into()
    }
}

/// What a pod is that is not in the mesh for this reason.
pub(super) fn says(why: Why) -> &'static str {
    match why {
        Why::ExcludedNamespace => "is in namespace kube-system, which is never in the mesh",
        Why::HostNetwork => "has the host's network (hostNetwork: true), so that it cannot be in the mesh",
        Why::Static => "is a static pod, which the mesh does not take in",
        Why::Sidecar => "has a proxy of its own (annotation sidecar.istio.io/status)",
        Why::OptedOut => "has said that it will not be in the mesh (istio.io/dataplane-mode=none)",
        Why::NotLabelled => "is not in the mesh, nor is its namespace",
        Why::Finished => "has ended",
    }
}

/// A pod that has ended, in what was written down from a cluster.
fn is_finished(manifest: &Manifest) -> bool {
    matches!(manifest.value["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}
