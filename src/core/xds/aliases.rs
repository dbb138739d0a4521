//! The other names of what is known.
//!
//! An alias is known while a resource has it; several can, as the pods of a host's network have one address. An address that is
//! taken for known although nothing has it any more would never be asked for again. What was asked for by an alias stays
//! with the resource all the same, so that the subscription goes when the resource does.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

#[derive(Debug, Default)]
pub(super) struct Aliases {
    owners: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// By resource: its aliases, and former ones that are subscribed to.
    of: HashMap<Arc<str>, Vec<Arc<str>>>,
}

impl Aliases {
    /// Whether a name is another name of something.
    pub(super) fn contains(&self, alias: &str) -> bool {
        self.owners.contains_key(alias)
    }

    /// A resource has these other names, and none else; says whether it lost one that is subscribed to.
    pub(super) fn set(
        &mut self,
        name: &Arc<str>,
        aliases: &[Arc<str>],
        subscribed: &HashSet<Arc<str>>,
    ) -> bool {
        let former = self.of.remove(name).unwrap_or_default();
        let current: HashSet<&Arc<str>> = aliases.iter().collect();
        let mut kept = aliases.to_vec();
        for alias in former.into_iter().filter(|alias| !current.contains(alias)) {
            self.disown(name, &alias);
            if subscribed.contains(&alias) {
                kept.push(alias);
            }
        }
        for alias in aliases {
            self.owners.entry(alias.clone()).or_default().insert(name.clone());
        }
        let lost = kept.len() > aliases.len();
        if !kept.is_empty() {
            self.of.insert(name.clone(), kept);
        }
        lost
    }

    /// A resource is gone: gives the other names it had and that nothing else has.
    pub(super) fn remove(&mut self, name: &Arc<str>) -> Vec<Arc<str>> {
        let mut aliases = self.of.remove(name).unwrap_or_default();
        aliases.iter().for_each(|alias| self.disown(name, alias));
        aliases.retain(|alias| !self.contains(alias));
        aliases
    }

    fn disown(&mut self, name: &Arc<str>, alias: &Arc<str>) {
        let Some(owners) = self.owners.get_mut(alias) else { return };
        owners.remove(name);
        if owners.is_empty() {
            self.owners.remove(alias);
        }
    }
}
