//! What is remembered of the most recent names, and of no more than so many.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// How many names are remembered; the oldest go first.
const MOST: usize = 4096;

/// The most recent names, with something known of each.
#[derive(Debug)]
pub(super) struct Recent<T> {
    entries: HashMap<Arc<str>, (u64, T)>,
    /// Also holds what was replaced since; its number tells.
    order: VecDeque<(u64, Arc<str>)>,
    next: u64,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new(), next: 0 }
    }
}

impl<T> Recent<T> {
    pub(super) fn insert(&mut self, name: Arc<str>, value: T) {
        while self.order.len() >= MOST {
            let Some((number, oldest)) = self.order.pop_front() else { break };
            if self.entries.get(&oldest).is_some_and(|(current, _)| *current == number) {
                self.entries.remove(&oldest);
            }
        }
        self.order.push_back((self.next, name.clone()));
        self.entries.insert(name, (self.next, value));
        self.next += 1;
    }

    pub(super) fn get(&self, name: &str) -> Option<&T> {
        self.entries.get(name).map(|(_, value)| value)
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.order.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first() {
        let mut recent = Recent::default();
        recent.insert("again".into(), 0);
        for n in 1..MOST {
            recent.insert(n.to_string().into(), n);
        }
        recent.insert("again".into(), MOST);
        assert_eq!((recent.get("again"), recent.get("1")), (Some(&MOST), Some(&1)));
        recent.insert("more".into(), 0);
        assert_eq!((recent.get("again"), recent.get("1")), (Some(&MOST), None));
    }

    #[test]
    fn one_name_again_and_again_does_not_add_up() {
        let mut recent = Recent::default();
        (0..10 * MOST).for_each(|n| recent.insert("same".into(), n));
        assert!(recent.order.len() <= MOST);
        assert_eq!(recent.get("same"), Some(&(10 * MOST - 1)));
    }
}
