//! Endpoints of services nobody knows (yet): they count as soon as somebody does.

use std::collections::BTreeMap;
use std::sync::Arc;

use culvert_core::snapshot::Snapshot;
use culvert_core::workload::Workload;

use super::service::EndpointView;
use super::stream::{Content, entry};

/// Services by key, with the endpoints that wait for them by uid.
pub(super) fn content(snapshot: &Snapshot) -> Content {
    let mut staged: BTreeMap<Arc<str>, Vec<Arc<Workload>>> = BTreeMap::new();
    for workload in snapshot.workloads() {
        for key in workload.services.keys().filter(|key| snapshot.service(key).is_none()) {
            staged.entry(Arc::clone(key)).or_default().push(Arc::clone(workload));
        }
    }
    Content::Map(Box::new(staged.into_iter().map(|(key, workloads)| {
        let endpoints: BTreeMap<&str, EndpointView<'_>> =
            workloads.iter().map(|workload| (&*workload.uid, EndpointView::new(workload, &key))).collect();
        entry(&key, &endpoints)
    })))
}
