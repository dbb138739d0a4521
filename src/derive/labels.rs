//! Labels and annotations, and what selects by them.

use std::collections::BTreeMap;
use std::sync::Arc;

use culvert_core::intern::Interner;
use serde::{Deserialize, Deserializer};

/// Labels, or annotations, of an object. Most objects have few, there are many objects, and pods of one owner have the same ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Labels(Arc<[(Arc<str>, Arc<str>)]>);

/// Labels an object must have. One without any selects everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Selector(Labels);

impl Labels {
    /// Gives the value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let at = self.0.binary_search_by_key(&key, |(key, _)| key).ok()?;
        Some(&self.0[at].1)
    }

    /// Gives the value of a key, unless it is empty.
    #[must_use]
    pub fn filled(&self, key: &str) -> Option<&str> {
        self.get(key).filter(|value| !value.is_empty())
    }

    /// Gives all pairs, by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Arc<str>)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// Tells whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives those with one of these keys.
    #[must_use]
    pub(crate) fn only(&self, keys: &[&str]) -> Self {
        Self(self.0.iter().filter(|(key, _)| keys.contains(&&**key)).cloned().collect())
    }

    /// Gives the same labels, made of texts that are shared.
    #[must_use]
    pub(crate) fn shared(&self, names: &mut Interner) -> Self {
        Self(self.0.iter().map(|(key, value)| (names.text(key), names.text(value))).collect())
    }
}

impl culvert_membership::Labels for Labels {
    fn value(&self, key: &str) -> Option<&str> {
        self.get(key)
    }
}

impl<T: Into<Arc<str>>> FromIterator<(T, T)> for Labels {
    /// Collects pairs; of two pairs with one key the last counts.
    fn from_iter<I: IntoIterator<Item = (T, T)>>(pairs: I) -> Self {
        let sorted: BTreeMap<Arc<str>, Arc<str>> =
            pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        Self(sorted.into_iter().collect())
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let pairs = Option::<BTreeMap<String, String>>::deserialize(from)?;
        Ok(pairs.unwrap_or_default().into_iter().collect())
    }
}

impl Selector {
    /// Selects what has all these labels.
    #[must_use]
    pub fn new(labels: Labels) -> Self {
        Self(labels)
    }

    /// Tells whether an object with these labels is selected.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|(key, value)| labels.get(key) == Some(value))
    }

    /// Tells whether it selects everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives the labels it wants.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.0
    }

    /// Gives a label that whatever is selected has, to look objects up by; none when everything is selected.
    #[must_use]
    pub fn one(&self) -> Option<(&Arc<str>, &Arc<str>)> {
        self.0.iter().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_wants_all_of_its_labels_and_nothing_else() {
        let labels: Labels = [("app", "web"), ("version", "1"), ("empty", "")].into_iter().collect();
        let selects =
            |pairs: &[(&str, &str)]| Selector::new(pairs.iter().copied().collect()).matches(&labels);
        assert!(selects(&[]));
        assert!(selects(&[("app", "web")]));
        assert!(selects(&[("app", "web"), ("empty", "")]));
        assert!(!selects(&[("app", "web"), ("version", "2")]));
        assert!(!selects(&[("absent", "")]));
        assert_eq!((labels.get("empty"), labels.filled("empty")), (Some(""), None));
    }
}
