//! Which pods should have been captured when they are first looked at.
//!
//! In go views, out come wishes in which that is noted: pods others believe to be in the mesh, and where the CNI plugin is installed
//! all that were to be in the mesh when they were first heard of. One that is found with nothing of ours in it ran in plaintext.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cluster::{View, Wish};
use crate::kubernetes::desired;
use crate::pod::{Desired, Uid};

/// What is remembered of pods.
#[derive(Debug)]
pub(crate) struct Expectations {
    /// Whether pods are captured before they start.
    plugin: bool,
    /// Whether a pod was to be in the mesh when it was first heard of.
    at_first: BTreeMap<Uid, bool>,
}

impl Expectations {
    pub(crate) fn new(plugin: bool) -> Self {
        Self { plugin, at_first: BTreeMap::new() }
    }

    /// What a view means for the enrolment.
    pub(crate) fn wishes(&mut self, view: &View) -> Desired {
        self.at_first.retain(|uid, _| view.pods.contains_key(uid));
        for (uid, pod) in &view.pods {
            let is_wished = matches!(pod.wish, Wish::Enrol(_));
            self.at_first.entry(uid.clone()).or_insert(is_wished);
        }
        let mut wishes = desired(view);
        for spec in &mut wishes.pods {
            spec.expected |= self.plugin && self.at_first.get(&spec.uid) == Some(&true);
        }
        Arc::new(wishes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Claim, PodView, Why};
    use crate::pod::Workload;

    fn view(wish: Wish, claim: Claim) -> View {
        let workload =
            Workload { name: "web".into(), namespace: "shop".into(), service_account: "web".into() };
        let pod = PodView { workload, addresses: Arc::default(), wish, claim, complaints: Vec::new() };
        View { pods: [("u".into(), Arc::new(pod))].into(), ..View::default() }
    }

    fn enrolled(claim: Claim) -> View {
        view(Wish::Enrol(Arc::default()), claim)
    }

    fn is_expected(expectations: &mut Expectations, view: &View) -> bool {
        expectations.wishes(view).pods[0].expected
    }

    #[test]
    fn a_pod_that_was_to_be_in_the_mesh_from_the_first_is_expected_where_the_plugin_is() {
        for plugin in [true, false] {
            let mut all = Expectations::new(plugin);
            assert_eq!(is_expected(&mut all, &enrolled(Claim::Absent)), plugin);
            all.wishes(&View::default());
            all.wishes(&view(Wish::Pass(Why::NotLabelled), Claim::Absent));
            assert!(!is_expected(&mut all, &enrolled(Claim::Absent)), "it was labelled later");
            assert!(is_expected(&mut all, &enrolled(Claim::Enabled)), "others believe it");
        }
    }
}
