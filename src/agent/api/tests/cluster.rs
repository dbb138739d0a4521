//! Hand-made views and boards.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cluster::{Claim, PodView, View, Why, Wish};
use crate::pod::{Uid, Workload};

/// A pod by its UID, `namespace/name`, and whether it shall be in the mesh.
pub(crate) fn pod(uid: &str, name: &str, enrolled: bool) -> (Uid, Arc<PodView>) {
    let (namespace, name) = name.split_once('/').unwrap();
    let workload =
        Workload { name: name.into(), namespace: namespace.into(), service_account: "default".into() };
    let wish = if enrolled { Wish::Enrol(Arc::default()) } else { Wish::Pass(Why::NotLabelled) };
    let view = PodView { workload, addresses: [].into(), wish, claim: Claim::Absent, complaints: Vec::new() };
    (uid.into(), Arc::new(view))
}

/// A cluster of these namespaces and pods.
pub(crate) fn view<const N: usize>(namespaces: &[(&str, bool)], pods: [(Uid, Arc<PodView>); N]) -> View {
    let namespaces: BTreeMap<Arc<str>, bool> =
        namespaces.iter().map(|(name, enrolled)| (Arc::from(*name), *enrolled)).collect();
    View { pods: pods.into(), namespaces }
}
