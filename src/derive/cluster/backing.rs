//! Who is behind each service, to know when those who are about to go are still needed.
//!
//! Kubernetes sends connections to pods that are being deleted and still ready when a Service has no others. A workload here is
//! healthy or not for all its services together, so one that leaves is healthy while any of them has nobody else.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use culvert_core::workload::Health;

use super::Id;
use super::made::Endpoint;
use crate::pod::Standing;

/// Who is behind each service.
#[derive(Debug, Default)]
pub(crate) struct Backing {
    services: HashMap<Arc<str>, Backers>,
    /// Those who leave and may be needed, or no longer.
    reconsidered: BTreeSet<Id>,
}

#[derive(Debug, Default)]
struct Backers {
    /// How many are ready.
    ready: u32,
    leaving: BTreeSet<Id>,
}

impl Backing {
    /// Takes note of what an object makes in the place of what it made before.
    pub(crate) fn update(&mut self, id: &Id, before: &[Endpoint], after: &[Endpoint]) {
        if told(before).eq(told(after)) {
            return self.reconsider_leaving(id, after);
        }
        for (standing, services) in told(before) {
            services.for_each(|service| self.remove(id, service, standing));
        }
        for (standing, services) in told(after) {
            services.for_each(|service| self.add(id, service, standing));
        }
        self.reconsider_leaving(id, after);
    }

    /// Gives those whose health may be another, by what they make.
    pub(crate) fn take_reconsidered(&mut self) -> BTreeSet<Id> {
        std::mem::take(&mut self.reconsidered)
    }

    /// Decides the health of one that leaves.
    pub(crate) fn judge(&self, (workload, standing): &mut Endpoint) {
        let nobody_else = |service: &Arc<str>| self.services.get(service).is_none_or(|it| it.ready == 0);
        if *standing == Standing::Leaving {
            let needed = workload.services.keys().any(nobody_else);
            workload.status = if needed { Health::Healthy } else { Health::Unhealthy };
        }
    }

    fn reconsider_leaving(&mut self, id: &Id, made: &[Endpoint]) {
        if made.iter().any(|(_, standing)| *standing == Standing::Leaving) {
            self.reconsidered.insert(id.clone());
        }
    }

    fn add(&mut self, id: &Id, service: &Arc<str>, standing: Standing) {
        let backers = self.services.entry(service.clone()).or_default();
        match standing {
            Standing::Ready => {
                backers.ready += 1;
                if backers.ready == 1 {
                    self.reconsidered.extend(backers.leaving.iter().cloned());
                }
            }
            Standing::Leaving => {
                backers.leaving.insert(id.clone());
            }
            Standing::Unready => {}
        }
    }

    fn remove(&mut self, id: &Id, service: &Arc<str>, standing: Standing) {
        let Some(backers) = self.services.get_mut(service) else { return };
        match standing {
            Standing::Ready => {
                backers.ready -= 1;
                if backers.ready == 0 {
                    self.reconsidered.extend(backers.leaving.iter().cloned());
                }
            }
            Standing::Leaving => {
                backers.leaving.remove(id);
            }
            Standing::Unready => {}
        }
        if backers.ready == 0 && backers.leaving.is_empty() {
            self.services.remove(service);
        }
    }
}

/// What counts of endpoints.
fn told(made: &[Endpoint]) -> impl Iterator<Item = (Standing, Services<'_>)> {
    made.iter().map(|(workload, standing)| (*standing, Services(workload.services.keys().collect())))
}

#[derive(PartialEq)]
struct Services<'a>(Vec<&'a Arc<str>>);

impl Services<'_> {
    fn for_each(&self, act: impl FnMut(&Arc<str>)) {
        self.0.iter().copied().for_each(act);
    }
}
