//! What changed when, as far back as the last [`LONGEST`] changes.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Collection, Entry};

/// Changes that are remembered. Whoever is further behind is compared in full.
const LONGEST: usize = 16 * 1024;

/// The changes, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Log {
    generation: u64,
    /// The newest generation of which a change was forgotten.
    forgotten: u64,
    changes: VecDeque<(u64, Touched)>,
}

/// A resource that came, changed or went.
#[derive(Debug)]
pub(crate) struct Touched {
    pub(crate) collection: Collection,
    pub(crate) name: Arc<str>,
    /// The addresses it answered to before, and those it answers to after.
    pub(crate) aliases: Box<[Arc<str>]>,
}

impl Touched {
    pub(super) fn new(collection: Collection, name: &Arc<str>, states: [Option<&Entry>; 2]) -> Self {
        let mut aliases: Vec<_> =
            states.into_iter().flatten().flat_map(|entry| entry.aliases.iter().cloned()).collect();
        aliases.sort();
        aliases.dedup();
        Self { collection, name: name.clone(), aliases: aliases.into() }
    }
}

impl Log {
    /// The newest generation.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Adds the changes of one new generation; none make none.
    pub(super) fn append(&mut self, touched: Vec<Touched>) {
        if touched.is_empty() {
            return;
        }
        self.generation += 1;
        self.changes.extend(touched.into_iter().map(|touched| (self.generation, touched)));
        let excess = self.changes.len().saturating_sub(LONGEST);
        if let Some((generation, _)) = self.changes.drain(..excess).next_back() {
            self.forgotten = generation;
        }
        self.changes.shrink_to(LONGEST);
    }

    /// The changes after a generation; none when one of them was forgotten.
    pub(super) fn since(&self, generation: u64) -> Option<impl Iterator<Item = &Touched>> {
        if generation < self.forgotten {
            return None;
        }
        let first = self.changes.partition_point(|(of, _)| *of <= generation);
        Some(self.changes.range(first..).map(|(_, touched)| touched))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touched(count: usize) -> Vec<Touched> {
        let one = |n: usize| Touched::new(Collection::Policies, &n.to_string().into(), [None, None]);
        (0..count).map(one).collect()
    }

    #[test]
    fn changes_are_known_from_a_generation_on() {
        let mut log = Log::default();
        log.append(Vec::new());
        assert_eq!(log.generation(), 0);
        log.append(touched(2));
        log.append(touched(3));
        let count = |generation| log.since(generation).map(Iterator::count);
        assert_eq!([count(0), count(1), count(2), count(7)], [Some(5), Some(3), Some(0), Some(0)]);
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut log = Log::default();
        log.append(touched(10));
        log.append(touched(LONGEST));
        assert!(log.since(0).is_none());
        assert_eq!(log.since(1).map(Iterator::count), Some(LONGEST));
        log.append(touched(1));
        assert!(log.since(1).is_none(), "a part of generation 2 is forgotten");
        assert_eq!(log.since(2).map(Iterator::count), Some(1));
        assert_eq!(log.changes.len(), LONGEST);
    }
}
