//! A pod as somebody who is on a node: whose identity it needs, and what decides whether it gets that.
//!
//! Borrowed from what was read of the pod. Deliberately absent: the decision, which depends on the pod's namespace and on settings.

use std::sync::Arc;

use culvert_membership as membership;

use crate::facts::Facts;
use crate::uid::Uid;
use crate::{Labels, Object};

/// A pod, as far as it tells who is on a node.
#[derive(Debug)]
pub struct Resident<'a> {
    /// The node; empty while there is none.
    pub node: &'a Arc<str>,
    /// The service account it runs under.
    pub account: &'a Arc<str>,
    /// What decides whether it is in the mesh.
    pub says: membership::Pod<'a, Labels>,
    uid: &'a Uid,
}

impl Resident<'_> {
    /// Tells whether it is the pod with this uid, among all that had its name. Without a uid it is none of them.
    #[must_use]
    pub fn is(&self, uid: &str) -> bool {
        !self.uid.is_empty() && *self.uid == Uid::from(uid)
    }
}

impl Object {
    /// Gives what it says of who is on a node, if it is a pod.
    #[must_use]
    pub fn as_resident(&self) -> Option<Resident<'_>> {
        let pod = self.facts.as_pod()?;
        let shape = &pod.shape;
        let says = membership::Pod {
            namespace: &self.key.namespace,
            labels: &shape.labels,
            marks: shape.marks,
            host_network: shape.host_network,
            life: pod.life,
        };
        Some(Resident { node: &pod.node, account: &shape.service_account, says, uid: &pod.uid })
    }

    /// Gives its labels, if it is a namespace.
    #[must_use]
    pub fn as_namespace(&self) -> Option<&Labels> {
        if let Facts::Namespace(namespace) = &self.facts { Some(&namespace.meta.labels) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use culvert_membership::{Life, Marks};

    use super::*;
    use crate::Kind;

    fn read(json: &str) -> Object {
        Object::parse(Kind::Pod, json.as_bytes()).unwrap()
    }

    #[test]
    fn all_that_decides_is_read() {
        let object = read(
            r#"{"metadata": {"name": "web-1", "namespace": "shop", "uid": "one", "labels": {"app": "web"},
                "annotations": {"sidecar.istio.io/status": "{}", "kubernetes.io/config.mirror": "x"},
                "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"nodeName": "n1", "serviceAccountName": "web", "hostNetwork": true},
            "status": {"phase": "Running", "containerStatuses": [{"state": {"terminated": {"exitCode": 0}}}]}}"#,
        );
        let resident = object.as_resident().unwrap();
        assert_eq!((&**resident.node, &**resident.account), ("n1", "web"));
        assert!(resident.is("one") && !resident.is("two") && !resident.is(""));
        let membership::Pod { namespace, labels, marks, host_network, life } = resident.says;
        assert_eq!((namespace, labels.get("app"), host_network), ("shop", Some("web"), true));
        assert_eq!((marks, life), (Marks { is_static: true, has_proxy: true }, Life::Ended));
        assert!(object.as_namespace().is_none());
    }

    #[test]
    fn whatever_runs_beside_the_containers_counts() {
        for beside in ["initContainerStatuses", "ephemeralContainerStatuses"] {
            let object = read(&format!(
                r#"{{"metadata": {{"name": "web-1"}}, "status": {{"phase": "Failed", "{beside}": [{{"state": {{"running": {{}}}}}}]}}}}"#,
            ));
            assert_eq!(object.as_resident().unwrap().says.life, Life::Going, "{beside}");
        }
    }

    #[test]
    fn what_is_not_said_is_as_kubernetes_has_it() {
        let object = read(r#"{"metadata": {"name": "web-1"}, "spec": {"containers": null}, "status": null}"#);
        let resident = object.as_resident().unwrap();
        assert_eq!((&**resident.node, &**resident.account), ("", "default"));
        assert_eq!((resident.says.marks, resident.says.life), (Marks::default(), Life::Going));
        assert!(!resident.is(""), "two that have no uid are not one");
    }

    #[test]
    fn a_namespace_is_its_labels() {
        let json = br#"{"metadata": {"name": "shop", "labels": {"team": "payments"}}}"#;
        let object = Object::parse(Kind::Namespace, json).unwrap();
        assert_eq!(object.as_namespace().unwrap().get("team"), Some("payments"));
        assert!(object.as_resident().is_none());
    }
}
