//! What each object makes, and how it differs from before.

use std::collections::BTreeMap;
use std::sync::Arc;

use culvert_core::policy::Policy;
use culvert_core::service::Service;
use culvert_core::workload::Workload;

use super::{Change, Collection, Id, Outcome};
use crate::pod::Standing;
use crate::uid::Uid;
use crate::{Condition, Key};

/// A workload, and whether it takes connections.
pub(crate) type Endpoint = (Workload, Standing);

/// What an object makes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Output {
    pub(crate) workloads: Vec<Endpoint>,
    pub(crate) services: Vec<Service>,
    pub(crate) policies: Vec<Policy>,
    /// What is said in the status of the object.
    pub(crate) conditions: Vec<Condition>,
    /// The object that is about, of those that had its name one after the other, and its generation.
    pub(crate) uid: Uid,
    pub(crate) generation: i64,
    /// What was looked at on the way to its waypoint.
    pub(crate) used: Vec<Key>,
}

/// What an object makes, as it is kept: most objects are pods, and make one workload.
#[derive(Debug)]
pub(crate) enum Made {
    One(Endpoint),
    Several(Box<Output>),
}

/// What differs, by name.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// None for what is gone, unless another object makes it in this round.
    resources: BTreeMap<(Collection, Arc<str>), Option<Change>>,
    conditions: Vec<(Key, i64, Vec<Condition>)>,
}

impl Output {
    /// Tells whether somebody here is about to go.
    pub(crate) fn is_leaving(&self) -> bool {
        self.workloads.iter().any(|(_, standing)| *standing == Standing::Leaving)
    }

    fn is_empty(&self) -> bool {
        let Self { workloads, services, policies, conditions, uid: _, generation: _, used: _ } = self;
        workloads.is_empty() && services.is_empty() && policies.is_empty() && conditions.is_empty()
    }
}

impl Made {
    /// Gives what is kept of something; nothing is not kept.
    pub(crate) fn from_output(mut output: Output) -> Option<Self> {
        let is_one = output.workloads.len() == 1;
        let rest = Output { workloads: Vec::new(), ..output };
        match output.workloads.pop() {
            Some(endpoint) if is_one && rest.is_empty() => Some(Self::One(endpoint)),
            last => {
                output.workloads.extend(last);
                let output = Output { workloads: output.workloads, ..rest };
                (!output.is_empty()).then(|| Self::Several(output.into()))
            }
        }
    }

    pub(crate) fn output(&self) -> Output {
        match self {
            Self::One(endpoint) => Output { workloads: vec![endpoint.clone()], ..Output::default() },
            Self::Several(output) => (**output).clone(),
        }
    }
}

/// Gives the workloads of what has been made.
pub(crate) fn workloads(made: Option<&Made>) -> &[Endpoint] {
    match made {
        None => &[],
        Some(Made::One(endpoint)) => std::slice::from_ref(endpoint),
        Some(Made::Several(output)) => &output.workloads,
    }
}

fn several(made: Option<&Made>) -> Option<&Output> {
    match made {
        None | Some(Made::One(_)) => None,
        Some(Made::Several(output)) => Some(output),
    }
}

impl News {
    /// Takes note of how what an object makes differs from what it made before; `exists` tells whether the object is still there.
    pub(crate) fn compare(&mut self, id: &Id, before: Option<&Made>, after: &Output, exists: bool) {
        let was = several(before);
        self.all(workloads(before), &after.workloads);
        self.all(was.map_or(&[], |it| &it.services), &after.services);
        self.all(was.map_or(&[], |it| &it.policies), &after.policies);
        let same = |it: &Output| {
            (&it.uid, it.generation, &it.conditions) == (&after.uid, after.generation, &after.conditions)
        };
        let is_silent = after.conditions.is_empty() && was.is_none_or(|it| it.conditions.is_empty());
        if exists && !is_silent && !was.is_some_and(same) {
            self.conditions.push(((**id).clone(), after.generation, after.conditions.clone()));
        }
    }

    /// Gives everything, policies first: what refers to something comes after it, and nothing is taken away before what takes its
    /// place.
    pub(crate) fn into_outcome(self) -> Outcome {
        let (mut changes, mut gone) = (Vec::new(), Vec::new());
        for ((collection, name), change) in self.resources {
            match change {
                Some(change) => changes.push(change),
                None => gone.push(Change::Gone(collection, name)),
            }
        }
        changes.append(&mut gone);
        Outcome { changes, conditions: self.conditions }
    }

    fn all<T: Resource>(&mut self, before: &[T], after: &[T]) {
        let known: BTreeMap<Arc<str>, &T> = before.iter().map(|it| (it.name(), it)).collect();
        let mut missing: BTreeMap<Arc<str>, &T> = known.clone();
        for resource in after {
            let name = resource.name();
            missing.remove(&name);
            if known.get(&name).is_none_or(|known| !known.is_same(resource)) {
                self.resources.insert((T::COLLECTION, name), Some(resource.change()));
            }
        }
        for name in missing.into_keys() {
            self.resources.entry((T::COLLECTION, name)).or_insert(None);
        }
    }
}

/// What has a name.
trait Resource {
    const COLLECTION: Collection;
    fn name(&self) -> Arc<str>;
    fn is_same(&self, other: &Self) -> bool;
    fn change(&self) -> Change;
}

impl Resource for Endpoint {
    const COLLECTION: Collection = Collection::Workloads;

    fn name(&self) -> Arc<str> {
        self.0.uid.clone()
    }

    fn is_same(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    fn change(&self) -> Change {
        Change::Workload(self.0.clone())
    }
}

impl Resource for Service {
    const COLLECTION: Collection = Collection::Services;

    fn name(&self) -> Arc<str> {
        self.key()
    }

    fn is_same(&self, other: &Self) -> bool {
        self == other
    }

    fn change(&self) -> Change {
        Change::Service(self.clone().into())
    }
}

impl Resource for Policy {
    const COLLECTION: Collection = Collection::Policies;

    fn name(&self) -> Arc<str> {
        self.key.clone()
    }

    fn is_same(&self, other: &Self) -> bool {
        self == other
    }

    fn change(&self) -> Change {
        Change::Policy(self.clone().into())
    }
}
