//! Names that others choose, as labels of metrics: series are never forgotten, so only so many have series of their own.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// How many names have series of their own, of all there ever were.
const NAMED: usize = 1000;

/// A set of names that does not grow for ever.
#[derive(Debug)]
pub(super) struct Names(LazyLock<Mutex<HashSet<Arc<str>>>>);

impl Names {
    pub(super) const fn new() -> Self {
        Self(LazyLock::new(Mutex::default))
    }

    /// Whether this one is, or becomes, one of those with series of their own.
    pub(super) fn include(&self, name: &str) -> bool {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.contains(name) || names.len() < NAMED && names.insert(name.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_become_more_for_ever() {
        let names = Names::new();
        assert!((0..NAMED).all(|number| names.include(&format!("ns/{number}"))));
        assert!(!names.include(&format!("ns/{NAMED}")));
        assert!(names.include("ns/0"), "who has a name keeps it");
    }
}
