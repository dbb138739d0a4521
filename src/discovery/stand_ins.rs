//! Services that answer for a name nothing has: who asks for a hostname in one namespace is told of the service that is canonical for
//! it, wherever that is.
//!
//! In go the names a client asks for; out comes who answers for each, and whether that is somebody else than before.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::catalog::{Catalog, Collection, hostname};

/// Of one client.
#[derive(Debug, Default)]
pub(crate) struct StandIns {
    /// Names that were asked for, by their hostnames.
    asked: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// The services that answer for those that nothing has.
    answering: HashMap<Arc<str>, Arc<str>>,
}

/// Who answers for a name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Whoever did before, or what has the name itself.
    Same,
    /// This service, from now on.
    By(Arc<str>),
    /// Nobody any more.
    Nobody,
}

impl StandIns {
    /// Finds out who answers for a name that is asked for.
    pub(crate) fn look(&mut self, catalog: &Catalog, name: &Arc<str>) -> Answer {
        let Some(hostname) = hostname(name) else { return Answer::Same };
        self.asked.entry(hostname.into()).or_default().insert(name.clone());
        match catalog.stand_in(name).map(|entry| &entry.name) {
            Some(by) if self.answering.get(name) == Some(by) => Answer::Same,
            Some(by) => {
                self.answering.insert(name.clone(), by.clone());
                Answer::By(by.clone())
            }
            None => match self.answering.remove(name) {
                Some(_) if catalog.find(Collection::Addresses, name).is_none() => Answer::Nobody,
                Some(_) | None => Answer::Same,
            },
        }
    }

    /// A name is not asked for any more.
    pub(crate) fn forget(&mut self, name: &str) {
        self.answering.remove(name);
        let Some(hostname) = hostname(name) else { return };
        let Some(names) = self.asked.get_mut(hostname) else { return };
        names.remove(name);
        if names.is_empty() {
            self.asked.remove(hostname);
        }
    }

    /// The names that were asked for and have the hostname of a service.
    pub(crate) fn asked_like(&self, service: &str) -> Vec<Arc<str>> {
        let names = hostname(service).and_then(|hostname| self.asked.get(hostname));
        names.into_iter().flatten().cloned().collect()
    }

    /// Tells whether a service answers for another name.
    pub(crate) fn is_one(&self, service: &str) -> bool {
        let mut names = hostname(service).and_then(|hostname| self.asked.get(hostname)).into_iter().flatten();
        names.any(|name| self.answering.get(name).is_some_and(|by| **by == *service))
    }

    /// The names each service answers for.
    pub(crate) fn names(&self) -> HashMap<Arc<str>, Vec<Arc<str>>> {
        let mut names: HashMap<_, Vec<_>> = HashMap::new();
        for (name, by) in &self.answering {
            names.entry(by.clone()).or_default().push(name.clone());
        }
        names
    }
}
