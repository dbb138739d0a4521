//! What changed when: a chain that is held by those who have not gone along it yet.
//!
//! Nothing is forgotten while somebody is behind, and nothing is kept that nobody will look at: how long the chain is follows the one
//! who is furthest behind. Whoever holds a [`Moment`] for long makes it long; streams go along within their settling time, whether or
//! not their clients read.

use std::iter::successors;
use std::sync::{Arc, OnceLock};

use super::{Collection, Entry, Slot, Version};

/// The newest moment, to which changes are added.
#[derive(Debug, Default)]
pub(super) struct Log {
    newest: Moment,
}

/// A moment in the life of a catalog. What has changed since then can be had from it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Moment(Arc<Link>);

#[derive(Debug, Default)]
struct Link {
    generation: u64,
    next: OnceLock<(Box<[Touched]>, Arc<Self>)>,
}

/// A resource that came, changed or went.
#[derive(Debug)]
pub(crate) struct Touched {
    pub(crate) collection: Collection,
    pub(crate) name: Arc<str>,
    pub(crate) slot: Slot,
    /// What it was before, if it was there.
    pub(crate) before: Option<Version>,
    pub(crate) now: Now,
    /// The addresses it answered to before, and those it answers to after.
    pub(crate) aliases: Box<[Arc<str>]>,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Now {
    There,
    Gone,
}

impl Touched {
    pub(super) fn new(slot: Slot, before: Option<&Entry>, after: Option<&Entry>) -> Option<Self> {
        let newest = after.or(before)?;
        let states = [before, after].into_iter().flatten();
        let mut aliases: Vec<_> = states.flat_map(|entry| entry.aliases.iter().cloned()).collect();
        aliases.sort();
        aliases.dedup();
        Some(Self {
            collection: newest.collection(),
            name: newest.name.clone(),
            slot,
            before: before.map(|entry| entry.version),
            now: if after.is_some() { Now::There } else { Now::Gone },
            aliases: aliases.into(),
        })
    }
}

impl Log {
    /// The newest moment.
    pub(super) fn newest(&self) -> &Moment {
        &self.newest
    }

    /// Adds the changes of one new generation; none make none.
    pub(super) fn append(&mut self, touched: Vec<Touched>) {
        if touched.is_empty() {
            return;
        }
        let link = Arc::new(Link { generation: self.newest.generation() + 1, next: OnceLock::new() });
        self.newest.0.next.set((touched.into(), Arc::clone(&link))).expect("only the newest is added to");
        self.newest = Moment(link);
    }
}

impl Moment {
    pub(crate) fn generation(&self) -> u64 {
        self.0.generation
    }

    /// What has changed since, oldest first.
    pub(crate) fn later(&self) -> impl Iterator<Item = &Touched> {
        successors(self.0.next.get(), |(_, link)| link.next.get()).flat_map(|(touched, _)| touched)
    }
}

/// Link by link: one inside the other would need a stack as deep as the chain is long.
impl Drop for Link {
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some((_, link)) = next {
            next = Arc::into_inner(link).and_then(|mut link| link.next.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use culvert_core::service::Service;

    use super::*;

    fn touched(count: usize) -> Vec<Touched> {
        let entry =
            |n: usize| Entry::service(&Service { hostname: n.to_string().into(), ..Service::default() });
        (0..count).filter_map(|n| Touched::new(Slot::of_index(n), None, Some(&entry(n)))).collect()
    }

    #[test]
    fn changes_are_known_from_a_moment_on() {
        let mut log = Log::default();
        log.append(Vec::new());
        let start = log.newest().clone();
        assert_eq!(start.generation(), 0);
        log.append(touched(2));
        let middle = log.newest().clone();
        log.append(touched(3));
        let count = |moment: &Moment| moment.later().count();
        assert_eq!([count(&start), count(&middle), count(log.newest())], [5, 3, 0]);
        assert_eq!(log.newest().generation(), 2);
    }

    #[test]
    fn what_nobody_will_look_at_is_not_kept() {
        let mut log = Log::default();
        let links: Vec<Weak<Link>> = (0..4)
            .map(|_| {
                log.append(touched(1));
                Arc::downgrade(&log.newest().0)
            })
            .collect();
        let alive = |links: &[Weak<Link>]| links.iter().filter(|link| link.strong_count() > 0).count();
        assert_eq!(alive(&links), 1, "the newest");
        let behind = log.newest().clone();
        (0..3).for_each(|_| log.append(touched(1)));
        assert_eq!(behind.later().count(), 3);
        assert_eq!(alive(&links), 1);
        drop(behind);
        assert_eq!(alive(&links), 0);
    }

    #[test]
    fn a_long_chain_goes_without_a_deep_stack() {
        let mut log = Log::default();
        let behind = log.newest().clone();
        (0..300_000).for_each(|_| log.append(touched(1)));
        assert_eq!(behind.later().count(), 300_000);
        drop(behind);
    }
}
