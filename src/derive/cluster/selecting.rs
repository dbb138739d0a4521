//! What selects, by one of the labels it wants.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::Id;
use crate::{Labels, Selector};

/// What selects by labels, in its own namespace or everywhere.
#[derive(Debug, Default)]
pub(crate) struct Selecting(HashMap<Wanted, BTreeMap<Id, Selector>>);

/// In which namespace (empty: in all), and a label.
type Wanted = (Arc<str>, Arc<str>, Arc<str>);

/// Where something selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// In its own namespace.
    Namespace,
    /// In all of them.
    Mesh,
}

impl Selecting {
    /// Takes note of a selector; one that wants nothing is nobody's business here.
    pub(crate) fn insert(&mut self, id: &Id, selector: &Selector, reach: Reach) {
        if let Some(wanted) = wanted(id, selector, reach) {
            self.0.entry(wanted).or_default().insert(id.clone(), selector.clone());
        }
    }

    pub(crate) fn remove(&mut self, id: &Id, selector: &Selector, reach: Reach) {
        let Some(wanted) = wanted(id, selector, reach) else { return };
        let Some(ids) = self.0.get_mut(&wanted) else { return };
        ids.remove(id);
        if ids.is_empty() {
            self.0.remove(&wanted);
        }
    }

    /// Gives all that select what has these labels in a namespace.
    pub(crate) fn selecting(&self, namespace: &Arc<str>, labels: &Labels) -> BTreeSet<&Id> {
        let mut found = BTreeSet::new();
        for (key, value) in labels.iter() {
            for place in [namespace.clone(), Arc::default()] {
                let ids = self.0.get(&(place, key.clone(), value.clone())).into_iter().flatten();
                found.extend(ids.filter(|(_, selector)| selector.matches(labels)).map(|(id, _)| id));
            }
        }
        found
    }
}

fn wanted(id: &Id, selector: &Selector, reach: Reach) -> Option<Wanted> {
    let (key, value) = selector.one()?;
    let place = match reach {
        Reach::Namespace => id.namespace.clone(),
        Reach::Mesh => Arc::default(),
    };
    Some((place, key.clone(), value.clone()))
}
