//! A persistent multimap: cloning it costs nothing, and a change copies the path to what changed and nothing else.
//!
//! Items are found by a key they contain, and several may have the same. A hash trie: each node looks at six bits of the
//! key's hash and keeps a slot for each value that occurs.
//!
//! ```text
//! Node ── slot ─▶ One(item)            a single item below here
//!      ── slot ─▶ Few([item, …])       up to four items, or more if their keys have one hash (nearly always one key)
//!      ── slot ─▶ Branch(Node)         look at the next six bits
//! ```
//! **Invariant:** below a branch there were once more items than a slot takes.

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;

/// Something with a key.
pub(crate) trait Keyed {
    /// What it is found by.
    type Key: Hash + Eq + ?Sized;

    /// Gives the key.
    fn key(&self) -> &Self::Key;
}

/// Items by key.
#[derive(Debug, Clone)]
pub(crate) struct Index<T> {
    root: Arc<Node<T>>,
    len: usize,
}

#[derive(Debug, Clone)]
struct Node<T> {
    /// Which of the 64 values have a slot; the slots are in their order.
    occupied: u64,
    slots: Vec<Slot<T>>,
}

#[derive(Debug, Clone)]
enum Slot<T> {
    One(T),
    Few(Arc<[T]>),
    Branch(Arc<Node<T>>),
}

const BITS: u32 = 6;

/// Items of different hashes a slot takes: so few are found faster by looking at each than by another step down.
const FEW: usize = 4;

impl<T> Index<T> {
    /// How many items there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Gives all items, in an order that depends on their keys alone, items of one key in the order of insertion.
    pub(crate) fn iter(&self) -> Iter<'_, T> {
        Iter { path: vec![self.root.slots.iter()], few: [].iter(), left: self.len }
    }
}

impl<T: Keyed> Index<T> {
    /// Gives the items with this key, in the order of insertion.
    pub(crate) fn find<'a, 'k>(&'a self, key: &'k T::Key) -> impl Iterator<Item = &'a T> + use<'a, 'k, T> {
        self.with_hash(hash(key)).iter().filter(move |item| item.key() == key)
    }

    /// Gives the first item with this key.
    pub(crate) fn get(&self, key: &T::Key) -> Option<&T> {
        self.with_hash(hash(key)).iter().find(|item| item.key() == key)
    }

    /// Gives the items with this key, which need not outlive the answer.
    pub(crate) fn with_key(&self, key: T::Key) -> impl Iterator<Item = &T> + use<'_, T>
    where
        T::Key: Sized,
    {
        self.with_hash(hash(&key)).iter().filter(move |item| *item.key() == key)
    }

    /// The items below the slot for a hash: all that have it, and perhaps a few others.
    fn with_hash(&self, hash: u64) -> &[T] {
        let (mut node, mut rest) = (&*self.root, hash);
        loop {
            let Some(at) = node.position(rest) else { return &[] };
            match &node.slots[at] {
                Slot::One(item) => return std::slice::from_ref(item),
                Slot::Few(items) => return items,
                Slot::Branch(next) => (node, rest) = (next, rest >> BITS),
            }
        }
    }
}

impl<T: Keyed + Clone> Index<T> {
    /// Adds an item beside those that have its key.
    pub(crate) fn insert(&mut self, item: T) {
        let hash = hash(item.key());
        Arc::make_mut(&mut self.root).insert(item, hash, 0);
        self.len += 1;
    }

    /// Takes the first item with this key that `is` it out.
    pub(crate) fn remove(&mut self, key: &T::Key, is: impl Fn(&T) -> bool) -> Option<T> {
        let hash = hash(key);
        let at = self.with_hash(hash).iter().position(|item| item.key() == key && is(item))?;
        self.len -= 1;
        Some(Arc::make_mut(&mut self.root).remove(hash, at))
    }

    /// Gives the first item with this key to be changed; its key must stay the same.
    pub(crate) fn get_mut(&mut self, key: &T::Key) -> Option<&mut T> {
        let mut rest = hash(key);
        let at = self.with_hash(rest).iter().position(|item| item.key() == key)?;
        let mut node = Arc::make_mut(&mut self.root);
        loop {
            let slot = node.rank(rest);
            match &mut node.slots[slot] {
                Slot::One(item) => return Some(item),
                Slot::Few(items) => return Arc::make_mut(items).get_mut(at),
                Slot::Branch(next) => (node, rest) = (Arc::make_mut(next), rest >> BITS),
            }
        }
    }

    /// Puts an item in the place of the one with its key, and gives that.
    pub(crate) fn replace(&mut self, item: T) -> Option<T> {
        let before = self.remove(item.key(), |_| true);
        self.insert(item);
        before
    }
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self { root: Arc::new(Node { occupied: 0, slots: Vec::new() }), len: 0 }
    }
}

impl<T> Node<T> {
    /// Where the slot for the lowest bits of `rest` is, if there is one.
    fn position(&self, rest: u64) -> Option<usize> {
        (self.occupied & bit(rest) != 0).then(|| self.rank(rest))
    }

    /// How many slots come before the one for the lowest bits of `rest`.
    fn rank(&self, rest: u64) -> usize {
        (self.occupied & (bit(rest) - 1)).count_ones() as usize
    }
}

impl<T: Keyed + Clone> Node<T> {
    fn insert(&mut self, item: T, hash: u64, shift: u32) {
        let rest = hash >> shift;
        let at = self.rank(rest);
        if self.position(rest).is_none() {
            self.slots.reserve_exact(1);
            self.slots.insert(at, Slot::One(item));
            self.occupied |= bit(rest);
            return;
        }
        let slot = &mut self.slots[at];
        let items: &[T] = match slot {
            Slot::Branch(next) => return Arc::make_mut(next).insert(item, hash, shift + BITS),
            Slot::One(other) => std::slice::from_ref(other),
            Slot::Few(items) => items,
        };
        let all = items.iter().cloned();
        if items.len() < FEW || items.iter().all(|it| self::hash(it.key()) == hash) {
            *slot = Slot::Few(all.chain([item]).collect());
            return;
        }
        let mut below = Self { occupied: 0, slots: Vec::new() };
        for item in all.chain([item]) {
            let hash = self::hash(item.key());
            below.insert(item, hash, shift + BITS);
        }
        *slot = Slot::Branch(Arc::new(below));
    }

    /// Takes out the item at a place among those below the slot for this hash; there is one.
    fn remove(&mut self, rest: u64, place: usize) -> T {
        let at = self.rank(rest);
        match &mut self.slots[at] {
            Slot::One(item) => {
                let item = item.clone();
                self.slots.remove(at);
                self.slots.shrink_to_fit();
                self.occupied &= !bit(rest);
                item
            }
            Slot::Few(items) => {
                let item = items[place].clone();
                let left: Vec<T> = (0..)
                    .zip(items.iter())
                    .filter(|(at, _)| *at != place)
                    .map(|(_, it)| it.clone())
                    .collect();
                self.slots[at] = match <[T; 1]>::try_from(left) {
                    Ok([last]) => Slot::One(last),
                    Err(left) => Slot::Few(left.into()),
                };
                item
            }
            Slot::Branch(next) => {
                let next = Arc::make_mut(next);
                let item = next.remove(rest >> BITS, place);
                if let [last @ (Slot::One(_) | Slot::Few(_))] = &next.slots[..] {
                    self.slots[at] = last.clone();
                }
                item
            }
        }
    }
}

/// All items of an index.
#[derive(Debug)]
pub(crate) struct Iter<'a, T> {
    path: Vec<std::slice::Iter<'a, Slot<T>>>,
    few: std::slice::Iter<'a, T>,
    left: usize,
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        self.left = self.left.saturating_sub(1);
        if let Some(item) = self.few.next() {
            return Some(item);
        }
        loop {
            match self.path.last_mut()?.next() {
                Some(Slot::One(item)) => return Some(item),
                Some(Slot::Few(items)) => {
                    self.few = items.iter();
                    return self.few.next();
                }
                Some(Slot::Branch(next)) => self.path.push(next.slots.iter()),
                None => drop(self.path.pop()),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for Iter<'_, T> {}

fn bit(rest: u64) -> u64 {
    1 << (rest & ((1 << BITS) - 1))
}

/// The same in every process, so that two nodes with one state list it in one order.
fn hash<K: Hash + ?Sized>(key: &K) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// A key that chooses its own hash to a degree, and a value.
    #[derive(Debug, Clone, PartialEq, Eq)]
    struct Item(Key, u32);

    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    struct Key(u32);

    impl Hash for Key {
        /// Ten keys share each hash.
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            (self.0 / 10).hash(state);
        }
    }

    impl Keyed for Item {
        type Key = Key;

        fn key(&self) -> &Key {
            &self.0
        }
    }

    type Model = BTreeMap<Key, Vec<u32>>;

    fn check(index: &Index<Item>, model: &Model) {
        assert_eq!(index.len(), model.values().map(Vec::len).sum::<usize>());
        assert_eq!(index.iter().len(), index.iter().count());
        let mut all: Vec<(Key, u32)> = index.iter().map(|item| (item.0, item.1)).collect();
        all.sort_unstable();
        let mut expected: Vec<(Key, u32)> =
            model.iter().flat_map(|(key, values)| values.iter().map(|value| (*key, *value))).collect();
        expected.sort_unstable();
        assert_eq!(all, expected);
    }

    #[test]
    fn behaves_like_a_map_of_lists_and_leaves_older_clones_alone() {
        let mut rng = SmallRng::seed_from_u64(7);
        let (mut index, mut model) = (Index::default(), Model::new());
        let mut older: Option<(Index<Item>, Model)> = None;
        for step in 0..20_000u32 {
            let key = Key(rng.random_range(0..900));
            let values = model.entry(key).or_default();
            if rng.random_bool(0.5) {
                index.insert(Item(key, step));
                values.push(step);
            } else {
                let wanted = values.get(rng.random_range(0..3)).copied();
                let removed = index.remove(&key, |item| Some(item.1) == wanted);
                assert_eq!(removed.map(|item| item.1), wanted);
                values.retain(|value| Some(*value) != wanted);
            }
            let found: Vec<u32> = index.find(&key).map(|item| item.1).collect();
            assert_eq!(found, model[&key]);
            assert_eq!(index.get(&key).map(|item| item.1), model[&key].first().copied());
            if step % 1000 == 0 {
                check(&index, &model);
                if let Some((index, model)) = older.replace((index.clone(), model.clone())) {
                    check(&index, &model);
                }
            }
        }
        for (key, values) in &model {
            for value in values {
                index.remove(key, |item| item.1 == *value).unwrap();
            }
        }
        assert_eq!((index.len(), index.root.slots.len()), (0, 0));
    }

    #[test]
    fn a_replaced_item_is_given_back() {
        let mut index = Index::default();
        assert_eq!(index.replace(Item(Key(1), 1)), None);
        assert_eq!(index.replace(Item(Key(1), 2)), Some(Item(Key(1), 1)));
        assert_eq!((index.len(), index.get(&Key(1))), (1, Some(&Item(Key(1), 2))));
    }

    #[test]
    fn a_change_copies_a_path_and_no_more() {
        let mut index = Index::default();
        for n in 0..100_000 {
            index.insert(Item(Key(n * 10), n));
        }
        let before = index.clone();
        index.insert(Item(Key(1_000_001), 0));
        let shared = |slot: &Slot<Item>| matches!(slot, Slot::Branch(node) if Arc::strong_count(node) == 2);
        let kept = before.root.slots.iter().filter(|slot| shared(slot)).count();
        assert_eq!(kept, before.root.slots.len() - 1);
    }
}
