//! One copy of everything that repeats: namespaces, networks, accounts and templates do, a hundred thousand times.
//!
//! Goes in: a value. Comes out: the one shared copy of it. Copies nobody else holds are dropped again, at a cost that is
//! spread over the insertions.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use crate::workload::{Place, Template};

/// The texts, templates and places seen so far that are still in use.
#[derive(Debug, Default)]
pub struct Interner {
    texts: Pool<str>,
    templates: Pool<Template>,
    places: Pool<Place>,
}

impl Interner {
    /// Gives the one copy of `text`.
    pub fn text(&mut self, text: &str) -> Arc<str> {
        self.texts.find(text).unwrap_or_else(|| self.texts.add(text.into()))
    }

    /// Gives the one copy of `text`, or of `default` when there is none or an empty one.
    pub fn text_or(&mut self, text: Option<&str>, default: &str) -> Arc<str> {
        self.text(text.filter(|text| !text.is_empty()).unwrap_or(default))
    }

    /// Gives the one copy of `template`.
    pub fn template(&mut self, template: Template) -> Arc<Template> {
        self.templates.one(template)
    }

    /// Gives the one copy of `place`.
    pub fn place(&mut self, place: Place) -> Arc<Place> {
        self.places.one(place)
    }
}

/// The values of one type seen so far that are still in use.
#[derive(Debug)]
pub struct Pool<T: ?Sized> {
    values: HashSet<Arc<T>>,
    /// How many there may be before those out of use are looked for.
    sweep_at: usize,
}

/// No sweep below this.
const SMALL: usize = 1024;

impl<T: ?Sized + Hash + Eq> Pool<T> {
    fn find(&self, value: &T) -> Option<Arc<T>>
    where
        Arc<T>: Borrow<T>,
    {
        self.values.get(value).cloned()
    }

    fn add(&mut self, value: Arc<T>) -> Arc<T> {
        if self.values.len() >= self.sweep_at {
            self.values.retain(|value| Arc::strong_count(value) > 1);
            self.values.shrink_to(SMALL);
            self.sweep_at = (self.values.len() * 2).max(SMALL);
        }
        self.values.insert(Arc::clone(&value));
        value
    }
}

impl<T: Hash + Eq> Pool<T> {
    /// Gives the one copy of `value`.
    pub fn one(&mut self, value: T) -> Arc<T> {
        self.find(&value).unwrap_or_else(|| self.add(value.into()))
    }
}

impl<T: ?Sized> Default for Pool<T> {
    fn default() -> Self {
        Self { values: HashSet::new(), sweep_at: SMALL }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one() {
        let mut interner = Interner::default();
        assert!(Arc::ptr_eq(&interner.text("shop"), &interner.text("shop")));
        let template = || Template { namespace: "shop".into(), ..Template::default() };
        assert!(Arc::ptr_eq(&interner.template(template()), &interner.template(template())));
        assert_eq!(&*interner.text_or(Some(""), "default"), "default");
        assert_eq!(&*interner.text_or(Some("web"), "default"), "web");
    }

    #[test]
    fn what_is_out_of_use_goes() {
        let mut interner = Interner::default();
        let kept: Vec<_> = (0..100).map(|n| interner.text(&format!("kept {n}"))).collect();
        for n in 0..100_000 {
            interner.text(&format!("passing {n}"));
        }
        assert!(interner.texts.values.len() <= 2 * SMALL, "{}", interner.texts.values.len());
        assert!(kept.iter().all(|text| Arc::ptr_eq(text, &interner.text(text))));
    }
}
