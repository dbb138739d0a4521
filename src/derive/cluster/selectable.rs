//! What can be selected, by its labels.
//!
//! Many pods have the same labels, so what is looked through are sets of labels, not pods.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::Id;
use super::selecting::Reach;
use crate::{Labels, Selector};

/// What can be selected, by namespace and labels.
#[derive(Debug, Default)]
pub(crate) struct Selectable {
    groups: BTreeMap<Group, BTreeSet<Id>>,
    /// The groups that have a label.
    by_label: HashMap<(Arc<str>, Arc<str>), BTreeSet<Group>>,
}

/// Namespace and labels.
type Group = (Arc<str>, Labels);

impl Selectable {
    pub(crate) fn insert(&mut self, id: &Id, labels: &Labels) {
        let group = (id.namespace.clone(), labels.clone());
        let members = self.groups.entry(group.clone()).or_default();
        if members.is_empty() {
            for (key, value) in labels.iter() {
                self.by_label.entry((key.clone(), value.clone())).or_default().insert(group.clone());
            }
        }
        members.insert(id.clone());
    }

    pub(crate) fn remove(&mut self, id: &Id, labels: &Labels) {
        let group = (id.namespace.clone(), labels.clone());
        let Some(members) = self.groups.get_mut(&group) else { return };
        members.remove(id);
        if !members.is_empty() {
            return;
        }
        self.groups.remove(&group);
        for (key, value) in labels.iter() {
            let pair = (key.clone(), value.clone());
            let Some(groups) = self.by_label.get_mut(&pair) else { continue };
            groups.remove(&group);
            if groups.is_empty() {
                self.by_label.remove(&pair);
            }
        }
    }

    /// Gives what a selector selects in a namespace.
    pub(crate) fn selected_in<'a>(
        &'a self,
        namespace: &Arc<str>,
        selector: &'a Selector,
    ) -> impl Iterator<Item = &'a Id> + use<'a> {
        let (first, namespace) = ((namespace.clone(), Labels::default()), namespace.clone());
        let groups: Box<dyn Iterator<Item = &Group>> = match self.rarest(selector) {
            Some(groups) => Box::new(groups.range(first..)),
            None if selector.is_empty() => Box::new(self.groups.range(first..).map(|(group, _)| group)),
            None => Box::new(std::iter::empty()),
        };
        let here = groups.take_while(move |(place, _)| *place == namespace);
        self.members(here, selector)
    }

    /// Gives what a selector of a namespace selects.
    pub(crate) fn selected_within<'a>(
        &'a self,
        reach: Reach,
        namespace: &Arc<str>,
        selector: &'a Selector,
    ) -> Box<dyn Iterator<Item = &'a Id> + 'a> {
        match reach {
            Reach::Namespace => Box::new(self.selected_in(namespace, selector)),
            Reach::Mesh => self.selected(selector),
        }
    }

    /// Gives what a selector selects anywhere.
    fn selected<'a>(&'a self, selector: &'a Selector) -> Box<dyn Iterator<Item = &'a Id> + 'a> {
        match self.rarest(selector) {
            Some(groups) => Box::new(self.members(groups.iter(), selector)),
            None if selector.is_empty() => Box::new(self.groups.values().flatten()),
            None => Box::new(std::iter::empty()),
        }
    }

    fn members<'a>(
        &'a self,
        groups: impl Iterator<Item = &'a Group> + 'a,
        selector: &'a Selector,
    ) -> impl Iterator<Item = &'a Id> {
        let selected = groups.filter(|(_, labels)| selector.matches(labels));
        selected.filter_map(|group| self.groups.get(group)).flatten()
    }

    /// The groups with the label of the selector that fewest have.
    fn rarest(&self, selector: &Selector) -> Option<&BTreeSet<Group>> {
        let pairs = selector.labels().iter().map(|(key, value)| (key.clone(), value.clone()));
        let groups: Option<Vec<_>> = pairs.map(|pair| self.by_label.get(&pair)).collect();
        groups?.into_iter().min_by_key(|groups| groups.len())
    }
}
