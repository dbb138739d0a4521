//! Which pods of this node run under which service account.
//!
//! In go the pods that are served; out come the UIDs of those of an identity, and word when they change. It does not decide which
//! identities are needed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use culvert_core::identity::SpiffeId;
use tokio::sync::watch;

/// UIDs by namespace and service account.
pub(super) type Pods = BTreeMap<(String, String), BTreeSet<String>>;

/// The pods. All clones see the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Residents(Arc<watch::Sender<Pods>>);

impl Residents {
    /// These are all, each as UID, namespace and service account.
    pub(crate) fn are<'a>(&self, pods: impl Iterator<Item = (&'a str, &'a str, &'a str)>) {
        let mut all = Pods::new();
        for (uid, namespace, account) in pods {
            all.entry((namespace.to_owned(), account.to_owned())).or_default().insert(uid.to_owned());
        }
        self.0.send_if_modified(|known| {
            let changed = *known != all;
            if changed {
                *known = all;
            }
            changed
        });
    }

    /// The UIDs of those that are an identity's.
    pub(super) fn of(&self, id: &SpiffeId) -> BTreeSet<String> {
        let account = (id.namespace().to_owned(), id.service_account().to_owned());
        self.0.borrow().get(&account).cloned().unwrap_or_default()
    }

    /// Hears of changes.
    pub(super) fn changes(&self) -> watch::Receiver<Pods> {
        self.0.subscribe()
    }
}
