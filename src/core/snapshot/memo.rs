//! Values made when they are first asked for: a few, which are never changed or taken away.
//!
//! Goes in: which value is wanted, and how it is made. Comes out: the value everybody shares, or nothing when too many others
//! were asked for before. Nobody locks: a reader waits at most for somebody else who is making a value.

use std::sync::OnceLock;

/// Some values.
#[derive(Debug)]
pub(crate) struct Memo<T>(OnceLock<Box<Entry<T>>>);

#[derive(Debug)]
struct Entry<T> {
    value: T,
    next: Memo<T>,
}

/// How many values are kept.
const MOST: usize = 8;

impl<T> Memo<T> {
    /// Gives the value that `is` wanted, which `make` makes if there is none.
    pub(crate) fn find_or_make(&self, is: impl Fn(&T) -> bool, make: impl Fn() -> T) -> Option<&T> {
        let mut at = self;
        for _ in 0..MOST {
            let entry = at.0.get_or_init(|| Box::new(Entry { value: make(), next: Self::default() }));
            if is(&entry.value) {
                return Some(&entry.value);
            }
            at = &entry.next;
        }
        None
    }
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

/// A clone starts with nothing: what contains it is cloned to be changed, and then other values are right.
impl<T> Clone for Memo<T> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Asks for a number; says whether it is shared and how many were made.
    fn ask(memo: &Memo<usize>, number: usize) -> (Option<usize>, u32) {
        let made = Cell::new(0);
        let make = || {
            made.set(made.get() + 1);
            number
        };
        (memo.find_or_make(|&known| known == number, make).copied(), made.get())
    }

    #[test]
    fn a_value_is_made_once_and_only_a_few_are_kept() {
        let memo = Memo::default();
        for number in 0..MOST {
            assert_eq!(ask(&memo, number), (Some(number), 1));
            assert_eq!(ask(&memo, number), (Some(number), 0));
        }
        assert_eq!(ask(&memo, MOST), (None, 0));
        assert_eq!(ask(&memo, 0), (Some(0), 0));
        assert_eq!(ask(&memo.clone(), 0), (Some(0), 1));
    }

    #[test]
    fn all_threads_get_the_same_value() {
        let memo = Memo::default();
        let addresses: Vec<usize> = std::thread::scope(|scope| {
            let one = |number: usize| {
                let found = memo.find_or_make(|&known| known == number % 4, || number % 4);
                std::ptr::from_ref(found.unwrap()).addr()
            };
            let threads: Vec<_> = (0..16).map(|number| scope.spawn(move || one(number))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for (number, address) in addresses.iter().enumerate() {
            assert_eq!(*address, addresses[number % 4]);
        }
    }
}
