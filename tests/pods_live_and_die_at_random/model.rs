//! What there should be: namespaces, pods, their labels, and which programs run. Plain values; time and the kernel have no part in it.

use std::collections::{BTreeMap, BTreeSet};

/// The namespaces of the cluster, by index.
pub(super) const NAMESPACES: [&str; 4] = ["shop", "bank", "farm", "mine"];

/// Pods are numbered as they are made, and never again.
pub(super) type Number = u32;

/// What the label `istio.io/dataplane-mode` of a pod says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    Absent,
    Ambient,
    /// `none`.
    OptOut,
}

/// What makes a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Runtime {
    Podman,
    Sandbox,
}

/// A pod that should be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) namespace: usize,
    pub(super) label: Label,
    pub(super) runtime: Runtime,
}

/// What can be wrong with an API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Watches break off.
    Watches,
    /// All connections do.
    Connections,
    /// What happened until here is forgotten, and watches break off.
    History,
    /// It answers a few times that it cannot.
    Answers,
}

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Add(Number, Wanted),
    Remove(Number),
    LabelPod(Number, Label),
    /// Whether the pods of a namespace are in the mesh unless they say otherwise.
    LabelNamespace(usize, bool),
    KillAgent,
    KillNode,
    /// What tells the agent of pods has trouble for a moment.
    Disturb(Trouble),
    /// Starts what was killed.
    Revive,
    /// Everything comes to rest, and is looked at.
    Quiet,
}

/// The cluster as it should be.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) namespaces: [bool; NAMESPACES.len()],
    /// Those whose label has not changed since the last quiet moment.
    steady: [bool; NAMESPACES.len()],
    /// Pods whose own label has changed since they were made.
    relabelled: BTreeSet<Number>,
    pub(super) pods: BTreeMap<Number, Wanted>,
    pub(super) agent_runs: bool,
    pub(super) node_runs: bool,
    pub(super) next: Number,
}

impl Model {
    /// No pods, the first namespace in the mesh, all programs running.
    pub(super) fn new() -> Self {
        let mut namespaces = [false; NAMESPACES.len()];
        namespaces[0] = true;
        Self {
            namespaces,
            steady: [false; NAMESPACES.len()],
            relabelled: BTreeSet::new(),
            pods: BTreeMap::new(),
            agent_runs: true,
            node_runs: true,
            next: 0,
        }
    }

    /// Whether a pod should be in the mesh; one that should not be there at all is not.
    pub(super) fn is_enrolled(&self, number: Number) -> bool {
        self.pods.get(&number).is_some_and(|pod| match pod.label {
            Label::Ambient => true,
            Label::OptOut => false,
            Label::Absent => self.namespaces[pod.namespace],
        })
    }

    /// Whether a pod has to be captured from its first moment: everybody has known for long that those of its namespace are, and it has
    /// never said anything else.
    pub(super) fn is_born_enrolled(&self, number: Number) -> bool {
        let is_silent = |pod: &Wanted| pod.label == Label::Absent && !self.relabelled.contains(&number);
        let steady = |pod: &Wanted| self.steady[pod.namespace] && is_silent(pod);
        self.is_enrolled(number) && self.pods.get(&number).is_some_and(steady)
    }

    /// Everything has come to rest.
    pub(super) fn rest(&mut self) {
        self.steady = [true; NAMESPACES.len()];
    }

    /// Whether some pod that stays is in the mesh, and is not after a step.
    pub(super) fn has_pods_leave(&self, step: Step) -> bool {
        let mut after = self.clone();
        after.take(step);
        after.pods.keys().any(|number| self.is_enrolled(*number) && !after.is_enrolled(*number))
    }

    pub(super) fn take(&mut self, step: Step) {
        match step {
            Step::Add(number, wanted) => {
                self.next = number + 1;
                self.pods.insert(number, wanted);
            }
            Step::Remove(number) => {
                self.pods.remove(&number);
                self.relabelled.remove(&number);
            }
            Step::LabelPod(number, label) => {
                if let Some(pod) = self.pods.get_mut(&number) {
                    pod.label = label;
                    self.relabelled.insert(number);
                }
            }
            Step::LabelNamespace(index, in_mesh) => {
                (self.namespaces[index], self.steady[index]) = (in_mesh, false);
            }
            Step::KillAgent => self.agent_runs = false,
            Step::KillNode => self.node_runs = false,
            Step::Disturb(_) => {}
            Step::Revive | Step::Quiet => (self.agent_runs, self.node_runs) = (true, true),
        }
    }
}

#[test]
fn a_pod_says_more_than_its_namespace() {
    let mut model = Model::new();
    for (namespace, label, enrolled) in [
        (0, Label::Absent, true),
        (0, Label::OptOut, false),
        (1, Label::Absent, false),
        (1, Label::Ambient, true),
    ] {
        let number = model.next;
        model.take(Step::Add(number, Wanted { namespace, label, runtime: Runtime::Sandbox }));
        assert_eq!(model.is_enrolled(number), enrolled);
    }
    assert!(model.has_pods_leave(Step::LabelNamespace(0, false)));
    assert!(!model.has_pods_leave(Step::LabelNamespace(1, true)));
    assert!(!model.has_pods_leave(Step::Remove(0)));
}

#[test]
fn a_pod_is_born_enrolled_in_a_namespace_that_has_rested() {
    let mut model = Model::new();
    let wanted = Wanted { namespace: 0, label: Label::Absent, runtime: Runtime::Sandbox };
    model.take(Step::Add(0, wanted));
    assert!(model.is_enrolled(0) && !model.is_born_enrolled(0));
    model.rest();
    model.take(Step::Add(1, wanted));
    assert!(model.is_born_enrolled(0) && model.is_born_enrolled(1));
    model.take(Step::LabelPod(1, Label::OptOut));
    model.take(Step::LabelPod(1, Label::Absent));
    assert!(model.is_enrolled(1) && !model.is_born_enrolled(1));
    model.take(Step::LabelNamespace(0, false));
    model.take(Step::LabelNamespace(0, true));
    assert!(model.is_enrolled(0) && !model.is_born_enrolled(0));
}
