//! All that is known of pods and namespaces, and the decision about each pod: changes in, views out.
//!
//! Keyed by UID: what is said of a pod never touches another one of the same name. A pod whose namespace nobody has told us of yet
//! is not in the view, because whether it is in the mesh cannot be said; a namespace that was deleted keeps its word for the pods
//! that are still in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use culvert_kubernetes::Delta;
use ebpf_free_iptables::Options;

use super::Change;
use crate::cluster::{PodView, View, Why, Wish};
use crate::kubernetes::decide::decide;
use crate::kubernetes::facts::{NamespaceFacts, PodFacts};
use crate::kubernetes::metered;
use crate::pod::Uid;

#[cfg(test)]
mod tests;

/// All that is known.
pub(super) struct Index {
    /// What the packet rules do, unless a pod says otherwise.
    rules: Options,
    /// `None` until the first list.
    pods: Option<BTreeMap<Uid, Pod>>,
    /// The same.
    namespaces: Option<BTreeMap<Arc<str>, Namespace>>,
}

struct Pod {
    facts: PodFacts,
    /// None while its namespace is not known.
    view: Option<Arc<PodView>>,
}

struct Namespace {
    facts: NamespaceFacts,
    /// It was deleted, and some of its pods are still there.
    gone: bool,
}

impl Index {
    pub(super) fn new(rules: Options) -> Self {
        Self { rules, pods: None, namespaces: None }
    }

    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Pods(delta) => self.pods(delta),
            Change::Namespaces(delta) => self.namespaces(delta),
        }
    }

    /// Nothing before both are complete.
    pub(super) fn view(&self) -> Option<View> {
        let (pods, namespaces) = (self.pods.as_ref()?, self.namespaces.as_ref()?);
        let decided =
            pods.iter().filter_map(|(uid, pod)| Some((uid.clone(), Arc::clone(pod.view.as_ref()?))));
        let there = namespaces.iter().filter(|(_, namespace)| !namespace.gone);
        Some(View {
            pods: decided.collect(),
            namespaces: there
                .map(|(name, namespace)| (Arc::clone(name), namespace.facts.includes_by_default))
                .collect(),
        })
    }

    fn pods(&mut self, delta: Delta<PodFacts>) {
        match delta {
            Delta::All(list) => {
                let mut before = self.pods.take().unwrap_or_default();
                let judged = list.into_iter().map(|facts| {
                    let last = before.remove(&facts.uid);
                    (facts.uid.clone(), self.judged(facts, last))
                });
                let after = judged.collect();
                self.pods = Some(after);
            }
            Delta::One(facts) => {
                let uid = facts.uid.clone();
                let last = self.pods.as_mut().and_then(|pods| pods.remove(&uid));
                let pod = self.judged(facts, last);
                self.pods.get_or_insert_default().insert(uid, pod);
            }
            Delta::Gone(facts) => {
                self.pods.get_or_insert_default().remove(&facts.uid);
            }
        }
        self.forget_namespaces();
    }

    fn namespaces(&mut self, delta: Delta<NamespaceFacts>) {
        let known = self.namespaces.get_or_insert_default();
        match delta {
            Delta::All(list) => {
                known.values_mut().for_each(|namespace| namespace.gone = true);
                known.extend(list.into_iter().map(there));
                self.judge_again(|_| true);
            }
            Delta::One(facts) => {
                let name = Arc::clone(&facts.name);
                known.extend([there(facts)]);
                self.judge_again(|pod| pod.workload.namespace == *name);
            }
            Delta::Gone(facts) => {
                // One that was made anew under this name is not meant.
                if let Some(namespace) = known.get_mut(&facts.name)
                    && namespace.facts.uid == facts.uid
                {
                    namespace.gone = true;
                }
            }
        }
        self.forget_namespaces();
    }

    fn judge_again(&mut self, concerns: impl Fn(&PodFacts) -> bool) {
        let Some(pods) = self.pods.take() else { return };
        let judged = pods.into_iter().map(|(uid, pod)| {
            if concerns(&pod.facts) {
                let again = self.judged(pod.facts.clone(), Some(pod));
                (uid, again)
            } else {
                (uid, pod)
            }
        });
        let after = judged.collect();
        self.pods = Some(after);
    }

    /// A pod with its decision; the very same one as before where nothing has changed.
    fn judged(&self, facts: PodFacts, last: Option<Pod>) -> Pod {
        let namespaces = self.namespaces.as_ref();
        let namespace = namespaces.and_then(|all| all.get(facts.workload.namespace.as_str()));
        let last = last.and_then(|pod| pod.view);
        let view = namespace.map(|namespace| {
            let view = view(&facts, &namespace.facts, &self.rules);
            last.filter(|last| **last == view).unwrap_or_else(|| Arc::new(view))
        });
        Pod { facts, view }
    }

    fn forget_namespaces(&mut self) {
        let (Some(pods), Some(namespaces)) = (&self.pods, &mut self.namespaces) else { return };
        if namespaces.values().any(|namespace| namespace.gone) {
            let in_use = |name: &str| pods.values().any(|pod| pod.facts.workload.namespace == name);
            namespaces.retain(|name, namespace| !namespace.gone || in_use(name));
        }
    }
}

/// Shows how many pods there are of each kind.
pub(super) fn count(view: &View) {
    let none = Why::ALL.map(Why::name).into_iter().chain([ENROL]).map(|wish| (wish, 0));
    let mut counts: BTreeMap<&'static str, usize> = none.collect();
    for pod in view.pods.values() {
        let wish = match &pod.wish {
            Wish::Enrol(_) => ENROL,
            Wish::Pass(why) => why.name(),
        };
        *counts.entry(wish).or_default() += 1;
    }
    for (wish, pods) in counts {
        metered::pods(wish, pods);
    }
}

/// What is counted of pods that shall be in the mesh.
const ENROL: &str = "enrol";

fn there(facts: NamespaceFacts) -> (Arc<str>, Namespace) {
    (Arc::clone(&facts.name), Namespace { facts, gone: false })
}

fn view(facts: &PodFacts, namespace: &NamespaceFacts, rules: &Options) -> PodView {
    let decision = decide(facts, namespace, rules);
    PodView {
        workload: facts.workload.clone(),
        addresses: Arc::clone(&facts.addresses),
        wish: decision.wish,
        claim: facts.claim,
        complaints: decision.complaints,
    }
}
