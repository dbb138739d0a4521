//! All that judges look at.

use std::collections::BTreeMap;

use culvert_derive::Settings;
use culvert_derive::policy::Reach;

use super::derived::Derived;
use super::pods::{self, Membership, Pod};
use super::shelf::Shelf;

/// All that judges look at.
#[derive(Debug)]
pub(super) struct World<'m> {
    pub(super) settings: Settings,
    pub(super) shelf: &'m Shelf,
    pub(super) pods: &'m [Pod<'m>],
    pub(super) derived: Derived<'m>,
    by_namespace: BTreeMap<&'m str, Vec<&'m Pod<'m>>>,
}

/// So many are told by name.
const NAMED: usize = 3;

impl<'m> World<'m> {
    pub(super) fn new(settings: Settings, shelf: &'m Shelf, pods: &'m [Pod<'m>]) -> Self {
        let derived = Derived::new(settings.clone(), shelf, pods);
        Self { settings, shelf, pods, derived, by_namespace: pods::by_namespace(pods) }
    }

    /// Gives the pods of a namespace.
    pub(super) fn pods_of(&self, namespace: &str) -> &[&'m Pod<'m>] {
        self.by_namespace.get(namespace).map(Vec::as_slice).unwrap_or_default()
    }

    /// Tells whether pods of a namespace are in the mesh that say nothing themselves.
    pub(super) fn namespace(&self, name: &str) -> Membership {
        pods::of_namespace(self.shelf, name)
    }

    /// Gives the pods that something governs.
    pub(super) fn governed(&self, reach: &Reach<'_>) -> Vec<&'m Pod<'m>> {
        let governs = |pod: &&Pod<'_>| reach.governs(&pod.key.namespace, &pod.labels);
        match *reach {
            Reach::Namespace(namespace) | Reach::Selected { namespace: Some(namespace), .. } => {
                self.pods_of(namespace).iter().copied().filter(governs).collect()
            }
            Reach::Mesh | Reach::Selected { namespace: None, .. } => {
                self.pods.iter().filter(governs).collect()
            }
        }
    }
}

/// Names some, and counts the rest.
pub(super) fn some(names: impl IntoIterator<Item = String>) -> String {
    let all: Vec<String> = names.into_iter().collect();
    let named = all.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// Names some pods by what they are written in.
pub(super) fn some_pods<'a, 'm: 'a>(pods: impl IntoIterator<Item = &'a Pod<'m>>) -> String {
    some(pods.into_iter().map(|pod| pod.manifest.title()))
}

/// Takes what is said of a mistake apart: what it is, and what to write in its place.
pub(super) fn halves(text: &str) -> (String, String) {
    let is_quoted = |at: usize| text[..at].matches('`').count() % 2 == 1;
    let cut = text.match_indices("; ").map(|(at, _)| at).find(|at| !is_quoted(*at));
    match cut {
        Some(at) => (text[..at].to_owned(), text[at + 2..].to_owned()),
        None => (text.to_owned(), "correct or remove it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_and_its_remedy_are_told_apart_whatever_is_quoted() {
        let pair = |one: &str, two: &str| (one.to_owned(), two.to_owned());
        assert_eq!(halves("`a; b` is none; write c; or d"), pair("`a; b` is none", "write c; or d"));
        assert_eq!(halves("is no text"), pair("is no text", "correct or remove it"));
        assert_eq!(halves("`é; "), pair("`é; ", "correct or remove it"));
    }

    #[test]
    fn of_many_some_are_named_and_the_rest_is_counted() {
        let names = |count: usize| some((0..count).map(|number| number.to_string()));
        assert_eq!(
            (names(0), names(3), names(12)),
            (String::new(), "0, 1, 2".into(), "0, 1, 2 and 9 more".into())
        );
    }
}
