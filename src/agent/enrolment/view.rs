//! The pods as nodes shall see them: a pure function of what the file wants and what is.

use std::sync::Arc;

use super::state::{Hold, Pod, Pods, Unserved};
use crate::namespaces::Wanted;
use crate::table::{Entry, Table};

/// Whether each wanted pod has been tried once.
pub(super) fn settled(wanted: &[Wanted], pods: &Pods) -> bool {
    let tried = |pod: &Pod| pod.trouble.is_some() || matches!(pod.hold, Hold::Enrolled(_));
    wanted.iter().all(|wish| pods.get(&wish.spec.uid).is_some_and(tried))
}

/// Enrolled pods are served, also when they are to leave, until what they begin passes without a node; from then on by nobody,
/// a node that comes just then included. Pods that could be served, but are not enrolled yet, are kept as they are.
pub(super) fn table(wanted: &[Wanted], pods: &Pods) -> Table {
    let omitted = |pod: &Pod| {
        matches!(pod.hold, Hold::Released(..))
            || pod.trouble.as_ref().is_some_and(|trouble| trouble.node == Unserved::Omit)
    };
    let kept = wanted.iter().map(|wish| &wish.spec.uid).filter(|uid| !pods.get(*uid).is_some_and(omitted));
    let mut table: Table = kept.map(|uid| (uid.clone(), Entry::Keep)).collect();
    for (uid, pod) in pods {
        if let Hold::Enrolled(enrolled) = &pod.hold {
            table.insert(uid.clone(), Entry::Serve(Arc::clone(enrolled)));
        }
    }
    table
}
