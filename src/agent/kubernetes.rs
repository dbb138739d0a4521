//! The node's pods and the namespaces as Kubernetes knows them, and what Kubernetes is told of the pods.
//!
//! In go what `culvert-kubernetes` follows; out come whole [`View`]s, with the decision about each pod in them. The other way:
//! in go boards, out come annotations and events. What a decision leads to in the pods is not done here.
//!
//! ```text
//! API server ─▶ source: Follow ─▶ facts ─▶ index ─▶ View ─▶ enrolment
//!                                            │                 │
//!                                          decide            Board, Occurrence
//!                                                              ▼
//! API server ◀────────────────── report: claims (annotation), events
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::cluster::{Claim, View, Why, Wish};
use crate::pod::{NetnsSource, Others, PodSpec, Wishes};

mod decide;
mod facts;
pub(crate) mod metered;
mod registry;
pub(crate) mod report;
pub(crate) mod settings;
pub(crate) mod source;
mod wire;

pub(crate) use registry::ApiServer;

#[cfg(test)]
mod rig;

/// What a view means for the enrolment. Pods that have ended, and those that share the host's network, have nothing to be taken out.
pub(crate) fn desired(view: &View) -> Wishes {
    let mut wishes = Wishes::default();
    let mut there = BTreeSet::new();
    for (uid, pod) in &view.pods {
        match &pod.wish {
            Wish::Enrol(capture) => wishes.pods.push(PodSpec {
                uid: uid.clone(),
                workload: pod.workload.clone(),
                netns: NetnsSource::Found(Arc::clone(&pod.addresses)),
                capture: Arc::clone(capture),
                expected: pod.claim == Claim::Enabled,
            }),
            Wish::Pass(Why::Finished | Why::HostNetwork | Why::Static) => {}
            Wish::Pass(Why::ExcludedNamespace | Why::Sidecar | Why::OptedOut | Why::NotLabelled) => {
                there.insert(uid.clone());
            }
        }
    }
    wishes.others = Others::Known(there);
    wishes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::PodView;
    use crate::pod::{Uid, Workload};

    #[test]
    fn those_that_shall_be_in_are_looked_for_by_their_addresses() {
        let pod = |name: &str, wish| {
            let workload =
                Workload { name: name.into(), namespace: "ns".into(), service_account: "sa".into() };
            let addresses = ["10.0.0.7".parse().unwrap()].into();
            let view = PodView { workload, addresses, wish, claim: Claim::Absent, complaints: Vec::new() };
            (Uid::from(name), Arc::new(view))
        };
        let passing = |name: &str, why| pod(name, Wish::Pass(why));
        let pods = [
            pod("in", Wish::Enrol(Arc::default())),
            passing("out", Why::NotLabelled),
            passing("host", Why::HostNetwork),
            passing("done", Why::Finished),
        ];
        let wishes = desired(&View { pods: pods.into(), ..View::default() });
        let [wish] = &wishes.pods[..] else { panic!("{wishes:?}") };
        assert_eq!(wish.uid.as_str(), "in");
        assert_eq!(wish.netns, NetnsSource::Found(["10.0.0.7".parse().unwrap()].into()));
        assert_eq!(wishes.others, Others::Known(["out".into()].into()));
    }
}
