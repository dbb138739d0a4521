//! Several objects may define one hostname: which of them holds.
//!
//! Goes in: everything that defines the name, in any order. Comes out: one for each namespace, and the one among all of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use culvert_core::service::Visibility;

use crate::{Key, Kind};

/// Something that defines a hostname: a Service, or a `ServiceEntry` that somebody may see.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// Which object.
    pub key: &'a Key,
    /// When it was made.
    pub created: Option<&'a str>,
    /// Who may see it.
    pub visibility: Visibility,
}

/// Who defines a hostname.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Winners {
    /// In each namespace; the others there do not count.
    pub by_namespace: BTreeMap<Arc<str>, Key>,
    /// For namespaces that do not define it.
    pub canonical: Option<Key>,
}

/// Gives who defines a hostname that all of `claims` define. In a namespace a Service wins, else the oldest `ServiceEntry`. Of those
/// winners one is canonical: the Service, else the oldest everybody may see. Of two of one age it is the first by name.
#[must_use]
pub fn winners<'a>(claims: impl IntoIterator<Item = Claim<'a>>) -> Winners {
    let mut best: BTreeMap<&Arc<str>, Claim<'_>> = BTreeMap::new();
    for claim in claims {
        let winner = best.entry(&claim.key.namespace).or_insert(claim);
        if claim.rank() < winner.rank() {
            *winner = claim;
        }
    }
    let public = best.values().filter(|claim| claim.visibility == Visibility::Public);
    let canonical = public.min_by_key(|claim| claim.rank()).map(|claim| claim.key.clone());
    let by_namespace =
        best.into_iter().map(|(namespace, claim)| (namespace.clone(), claim.key.clone())).collect();
    Winners { by_namespace, canonical }
}

impl<'a> Claim<'a> {
    /// Who is less wins. Nobody is younger than who was made at no time.
    fn rank(&self) -> impl Ord + use<'a> {
        let Key { kind, namespace, name } = self.key;
        (*kind != Kind::Service, self.created.is_none(), self.created, namespace, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kind, namespace, name, made, seen by everybody.
    type Written = (Kind, &'static str, &'static str, Option<&'static str>, bool);

    fn check(written: &[Written], by_namespace: &[(&str, &str)], canonical: Option<(&str, &str)>) {
        let key = |(kind, namespace, name, ..): &Written| Key {
            kind: *kind,
            namespace: (*namespace).into(),
            name: (*name).into(),
        };
        let keys: Vec<Key> = written.iter().map(key).collect();
        let mut claims: Vec<Claim<'_>> = written
            .iter()
            .zip(&keys)
            .map(|(&(.., created, public), key)| {
                let visibility = if public { Visibility::Public } else { Visibility::Namespace };
                Claim { key, created, visibility }
            })
            .collect();
        // Heap's way through all orders.
        let mut counters = vec![0; claims.len()];
        let mut at = 0;
        loop {
            let found = winners(claims.iter().copied());
            let names: Vec<(&str, &str)> =
                found.by_namespace.values().map(|key| (&*key.namespace, &*key.name)).collect();
            assert_eq!(names, by_namespace, "{written:?}");
            assert_eq!(
                found.canonical.as_ref().map(|key| (&*key.namespace, &*key.name)),
                canonical,
                "{written:?}"
            );
            while at < claims.len() && counters[at] >= at {
                counters[at] = 0;
                at += 1;
            }
            if at >= claims.len() {
                break;
            }
            let with = if at % 2 == 0 { 0 } else { counters[at] };
            claims.swap(at, with);
            counters[at] += 1;
            at = 0;
        }
    }

    #[test]
    fn one_definition_of_a_name_holds_in_a_namespace_and_one_among_all_in_whatever_order_they_come() {
        use Kind::{Service, ServiceEntry};
        let (old, new) = (Some("2026-01-01T00:00:00Z"), Some("2026-02-01T00:00:00Z"));
        check(&[], &[], None);
        check(&[(ServiceEntry, "a", "one", new, true)], &[("a", "one")], Some(("a", "one")));
        // A Service wins over an older ServiceEntry, in its namespace and among all.
        check(
            &[
                (Service, "a", "svc", new, true),
                (ServiceEntry, "a", "e", old, true),
                (ServiceEntry, "b", "f", old, true),
            ],
            &[("a", "svc"), ("b", "f")],
            Some(("a", "svc")),
        );
        // The oldest; of one age by name; no age is the youngest.
        check(
            &[
                (ServiceEntry, "a", "z", old, true),
                (ServiceEntry, "a", "y", new, true),
                (ServiceEntry, "b", "q", old, true),
                (ServiceEntry, "b", "p", old, true),
                (ServiceEntry, "c", "k", None, true),
                (ServiceEntry, "c", "l", new, true),
            ],
            &[("a", "z"), ("b", "p"), ("c", "l")],
            Some(("a", "z")),
        );
        // What only its namespace may see is not there for others, and who lost there does not step in.
        check(
            &[
                (ServiceEntry, "a", "private", old, false),
                (ServiceEntry, "a", "public", new, true),
                (ServiceEntry, "b", "public", new, true),
            ],
            &[("a", "private"), ("b", "public")],
            Some(("b", "public")),
        );
        check(&[(ServiceEntry, "a", "private", old, false)], &[("a", "private")], None);
    }

    #[test]
    fn the_next_one_is_promoted_when_the_winner_goes() {
        use Kind::{Service, ServiceEntry};
        let all: [Written; 3] = [
            (Service, "a", "svc", Some("2026-03-01T00:00:00Z"), true),
            (ServiceEntry, "a", "old", Some("2026-01-01T00:00:00Z"), true),
            (ServiceEntry, "a", "new", Some("2026-02-01T00:00:00Z"), true),
        ];
        for (gone, winner) in [(0, "svc"), (1, "old"), (2, "new")] {
            check(&all[gone..], &[("a", winner)], Some(("a", winner)));
        }
    }
}
