//! Which objects define which hostname, and which of them count.
//!
//! Services have names nobody else has, unless a `ServiceEntry` takes one of these: only the names of `ServiceEntries` are kept.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use culvert_core::service::Visibility;

use super::Id;
use crate::Key;
use crate::entry::{Claim, Winners, winners};

/// Who defines which hostname.
#[derive(Debug, Default)]
pub(crate) struct Hosts(HashMap<Arc<str>, Host>);

#[derive(Debug, Default)]
struct Host {
    claims: BTreeMap<Id, Claimed>,
    winners: Winners,
}

/// What decides between those who define one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claimed {
    pub(crate) created: Option<Arc<str>>,
    pub(crate) visibility: Visibility,
}

impl Claimed {
    /// A Service: nothing is before it but another one, and no two have one name.
    pub(crate) const SERVICE: Self = Self { created: None, visibility: Visibility::Public };
}

impl Hosts {
    /// Tells whether the name is one of those that several may define.
    pub(crate) fn knows(&self, host: &str) -> bool {
        self.0.contains_key(host)
    }

    /// Takes note that an object defines a name, or no longer does; gives those who count for more or for less than before.
    pub(crate) fn set(&mut self, host: &Arc<str>, id: &Id, claimed: Option<Claimed>) -> Vec<Key> {
        let known = self.0.entry(host.clone()).or_default();
        match claimed {
            Some(claimed) => known.claims.insert(id.clone(), claimed),
            None => known.claims.remove(id),
        };
        let claims = known.claims.iter().map(|(key, claimed)| Claim {
            key,
            created: claimed.created.as_deref(),
            visibility: claimed.visibility,
        });
        let after = winners(claims);
        let before = std::mem::replace(&mut known.winners, after);
        let moved = moved(&before, &known.winners);
        if known.claims.is_empty() {
            self.0.remove(host);
        }
        moved
    }

    /// Tells whether an object is the one that defines a name in its namespace.
    pub(crate) fn is_won(&self, host: &str, id: &Key) -> bool {
        self.0.get(host).is_some_and(|host| host.winners.by_namespace.get(&id.namespace) == Some(id))
    }

    /// Tells whether an object is the one that defines a name for all namespaces that do not.
    pub(crate) fn is_canonical(&self, host: &str, id: &Key) -> bool {
        self.0.get(host).is_some_and(|host| host.winners.canonical.as_ref() == Some(id))
    }
}

fn moved(before: &Winners, after: &Winners) -> Vec<Key> {
    let mut moved = Vec::new();
    for (one, other) in [(before, after), (after, before)] {
        let winners = one
            .by_namespace
            .iter()
            .filter(|(namespace, key)| other.by_namespace.get(*namespace) != Some(key));
        moved.extend(winners.map(|(_, key)| key.clone()));
        moved.extend(one.canonical.clone().filter(|_| one.canonical != other.canonical));
    }
    moved
}
