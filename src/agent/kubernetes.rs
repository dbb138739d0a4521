//! The node's pods and the namespaces as Kubernetes knows them, and what Kubernetes is told of the pods.
//!
//! In go lists and watches of the API server; out come whole [`View`]s, with the decision about each pod in them. The other way:
//! in go boards, out come annotations and events. What a decision leads to in the pods is not done here.
//!
//! ```text
//! API server ─▶ source: follow ─▶ facts ─▶ index ─▶ View ─▶ enrolment
//!                                            │                 │
//!                                          decide            Board, Occurrence
//!                                                              ▼
//! API server ◀────────────────── report: claims (annotation), events
//! ```

use std::sync::Arc;

use crate::cluster::{View, Wish};
use crate::pod::{NetnsSource, PodSpec};
use crate::pods_file::Desired;

mod call;
mod decide;
mod facts;
mod list;
mod pause;
pub(crate) mod report;
pub(crate) mod settings;
pub(crate) mod source;
mod wire;

/// The pods of a view that shall be in the mesh.
pub(crate) fn desired(view: &View) -> Desired {
    let enrolled = view.pods.iter().filter_map(|(uid, pod)| match &pod.wish {
        Wish::Enrol(capture) => Some(PodSpec {
            uid: uid.clone(),
            workload: pod.workload.clone(),
            netns: NetnsSource::Found(Arc::clone(&pod.addresses)),
            capture: Arc::clone(capture),
        }),
        Wish::Pass(_) => None,
    });
    enrolled.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Claim, PodView, Why};
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
        let pods = [pod("in", Wish::Enrol(Arc::default())), pod("out", Wish::Pass(Why::NotLabelled))].into();
        let list = desired(&View { pods, ..View::default() });
        assert_eq!(list.len(), 1);
        assert_eq!(list[0].uid.as_str(), "in");
        assert_eq!(list[0].netns, NetnsSource::Found(["10.0.0.7".parse().unwrap()].into()));
    }
}
