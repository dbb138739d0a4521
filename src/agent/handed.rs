//! The network namespaces the container runtime has named for pods, as it started them.
//!
//! In go calls of the CNI plugin, out come open namespaces by pod. Whether a pod shall be in the mesh, and whether the namespace
//! is still its own, is decided elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use culvert_sys::netns::Netns;
use tokio::sync::watch;

use crate::pod::Uid;

/// Shared by those who are told and those who look. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Handed(Arc<watch::Sender<BTreeMap<Uid, Sandbox>>>);

/// What the runtime said of a pod.
#[derive(Debug, Clone)]
pub(crate) struct Sandbox {
    /// `CNI_CONTAINERID`: which attempt to start the pod this is.
    pub(crate) container: Arc<str>,
    pub(crate) netns: Arc<Netns>,
}

impl Handed {
    /// Notes the pod's namespace. A newer attempt to start the pod replaces an older one.
    pub(crate) fn put(&self, uid: Uid, sandbox: Sandbox) {
        self.0.send_modify(|all| {
            all.insert(uid, sandbox);
        });
    }

    /// Forgets a sandbox that was taken down; one that has replaced it stays.
    pub(crate) fn withdraw(&self, uid: &Uid, container: &str) {
        self.0.send_if_modified(|all| {
            let same = all.get(uid).is_some_and(|sandbox| *sandbox.container == *container);
            same && all.remove(uid).is_some()
        });
    }

    /// Forgets all pods but these.
    pub(crate) fn retain(&self, wanted: impl Fn(&Uid) -> bool) {
        self.0.send_if_modified(|all| {
            let before = all.len();
            all.retain(|uid, _| wanted(uid));
            all.len() != before
        });
    }

    /// The namespace the runtime has named last for the pod.
    pub(crate) fn of(&self, uid: &Uid) -> Option<Arc<Netns>> {
        self.0.borrow().get(uid).map(|sandbox| Arc::clone(&sandbox.netns))
    }

    /// Notifies whenever something was noted or forgotten.
    pub(crate) fn changes(&self) -> watch::Receiver<BTreeMap<Uid, Sandbox>> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox(container: &str) -> Sandbox {
        Sandbox { container: container.into(), netns: Arc::new(Netns::create().unwrap()) }
    }

    #[test]
    fn a_late_farewell_does_not_take_the_next_sandbox() {
        let handed = Handed::default();
        let uid = Uid::from("u");
        let (old, new) = (sandbox("c1"), sandbox("c2"));
        handed.put(uid.clone(), old);
        handed.put(uid.clone(), new.clone());
        handed.withdraw(&uid, "c1");
        assert_eq!(handed.of(&uid).unwrap().id(), new.netns.id());
        handed.withdraw(&uid, "c2");
        assert!(handed.of(&uid).is_none());
    }
}
