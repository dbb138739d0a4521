//! What is wrong with the annotations of pods, told once for each pod and complaint.
//!
//! In go views, out come log lines and occurrences. What is wrong has no effect, and that is decided elsewhere.

use std::collections::BTreeMap;

use tracing::warn;

use crate::board::{Occurrence, Telling, What};
use crate::cluster::{View, Views};
use crate::pod::Uid;

/// Tells until there are no more views.
pub(crate) async fn tell(mut views: Views, telling: Telling) {
    let mut told = BTreeMap::new();
    loop {
        let view = views.borrow_and_update().clone();
        for news in view.iter().flat_map(|view| news(view, &mut told)) {
            telling.tell(news);
        }
        if views.changed().await.is_err() {
            return;
        }
    }
}

/// The complaints that were not there before. Pods that are gone are forgotten.
fn news(view: &View, told: &mut BTreeMap<Uid, Vec<String>>) -> Vec<Occurrence> {
    let mut news = Vec::new();
    for (uid, pod) in view.pods.iter().filter(|(_, pod)| !pod.complaints.is_empty()) {
        let known = told.get(uid).map_or(&[][..], Vec::as_slice);
        for complaint in pod.complaints.iter().filter(|complaint| !known.contains(complaint)) {
            warn!(pod = %pod.workload, %uid, complaint, "an annotation makes no sense and has no effect");
            let what = What::Misannotated { complaint: complaint.clone() };
            news.push(Occurrence { uid: uid.clone(), workload: pod.workload.clone(), what });
        }
    }
    *told = view.pods.iter().map(|(uid, pod)| (uid.clone(), pod.complaints.clone())).collect();
    told.retain(|_, complaints| !complaints.is_empty());
    news
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cluster::{Claim, PodView, Wish};
    use crate::pod::Workload;

    fn view(complaints: &[&str]) -> View {
        let workload =
            Workload { name: "web".into(), namespace: "shop".into(), service_account: "web".into() };
        let complaints = complaints.iter().map(|text| (*text).to_owned()).collect();
        let wish = Wish::Enrol(Arc::default());
        let pod = PodView { workload, addresses: Arc::default(), wish, claim: Claim::Absent, complaints };
        View { pods: [("u".into(), Arc::new(pod))].into(), ..View::default() }
    }

    #[test]
    fn a_complaint_is_told_when_it_comes_up_and_not_again() {
        let mut told = BTreeMap::new();
        let mut check = |view: &View, expected: usize| assert_eq!(news(view, &mut told).len(), expected);
        check(&view(&["one"]), 1);
        check(&view(&["one"]), 0);
        check(&view(&["one", "two"]), 1);
        check(&view(&[]), 0);
        check(&view(&["one"]), 1);
        check(&View::default(), 0);
        check(&view(&["one"]), 1);
    }
}
