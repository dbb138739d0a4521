//! One page of a list that may be long.
//!
//! In go all items in any order, their order, and where the page begins; out come the few that are on it. A list of a hundred
//! thousand is looked at once and never sorted: no more than a page of it is held at a time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use culvert_api::Page;

use super::cursor;
use super::problem::Refusal;
use super::query::Query;

/// The items of one page, and where it ends if another one follows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part<T> {
    pub(super) items: Vec<T>,
    pub(super) next: Option<String>,
}

/// An item, which counts for what its key is.
struct Entry<K, T> {
    key: K,
    item: T,
}

impl<K: Ord, T> Ord for Entry<K, T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl<K: Ord, T> PartialOrd for Entry<K, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Ord, T> PartialEq for Entry<K, T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<K: Ord, T> Eq for Entry<K, T> {}

/// The page that is asked for, of items in the order of a text that no two share.
pub(super) fn by_text<T, K: AsRef<[u8]> + Ord>(
    query: &Query,
    items: impl Iterator<Item = (K, T)>,
) -> Result<Part<T>, Refusal> {
    let (limit, after) = (query.limit()?, query.after_text()?);
    let is_behind = |key: &K| after.as_ref().is_none_or(|after| key.as_ref() > after.as_slice());
    Ok(least(limit, items.filter(|(key, _)| is_behind(key)), |key| cursor::of_text(key.as_ref())))
}

/// The page that is asked for, of items in the order of numbers that no two share.
pub(super) fn by_numbers<T>(
    query: &Query,
    items: impl Iterator<Item = ([u64; 2], T)>,
) -> Result<Part<T>, Refusal> {
    let (limit, after) = (query.limit()?, query.after_numbers()?);
    let is_behind = |key: &[u64; 2]| after.as_ref().is_none_or(|after| key > after);
    Ok(least(limit, items.filter(|(key, _)| is_behind(key)), |key| cursor::of_numbers(*key)))
}

/// The items with the least keys, sorted.
fn least<T, K: Ord>(
    limit: usize,
    items: impl Iterator<Item = (K, T)>,
    cursor: impl Fn(&K) -> String,
) -> Part<T> {
    let mut heap = BinaryHeap::with_capacity(limit + 2);
    for (key, item) in items {
        heap.push(Entry { key, item });
        // One more than fits says whether there is another page.
        if heap.len() > limit + 1 {
            heap.pop();
        }
    }
    let mut sorted = heap.into_sorted_vec();
    let more = sorted.len() > limit;
    sorted.truncate(limit);
    let next = sorted.last().filter(|_| more).map(|last| cursor(&last.key));
    Part { items: sorted.into_iter().map(|entry| entry.item).collect(), next }
}

impl<T> Part<T> {
    /// Makes each item into what is shown of it.
    pub(super) fn show<U>(self, show: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(show).collect(), next: self.next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::read(&format!("http://node/?{text}").parse().unwrap(), &["limit", "after"]).unwrap()
    }

    fn page(keys: &[u64], text: &str) -> Part<u64> {
        by_numbers(&query(text), keys.iter().map(|key| ([*key, 0], *key))).unwrap()
    }

    #[test]
    fn pages_follow_each_other_in_order() {
        let keys = [5, 3, 9, 1, 7];
        let first = page(&keys, "limit=2");
        assert_eq!(first.items, [1, 3]);
        let second = page(&keys, &format!("limit=2&after={}", first.next.unwrap()));
        assert_eq!(second.items, [5, 7]);
        let last = page(&keys, &format!("limit=2&after={}", second.next.unwrap()));
        assert_eq!(last, Part { items: vec![9], next: None });
    }

    #[test]
    fn a_page_that_is_just_full_is_the_last_one() {
        assert_eq!(page(&[1, 2], "limit=2"), Part { items: vec![1, 2], next: None });
        assert_eq!(page(&[], ""), Part { items: vec![], next: None });
    }

    #[test]
    fn what_comes_and_goes_between_pages_moves_nothing() {
        let first = page(&[2, 4, 6, 8], "limit=2");
        let after = format!("limit=2&after={}", first.next.unwrap());
        assert_eq!(page(&[1, 2, 3, 6, 8], &after).items, [6, 8], "the last of the first page is gone");
        assert_eq!(page(&[2, 4, 5, 6, 8], &after).items, [5, 6]);
    }

    #[test]
    fn texts_are_in_order_of_their_bytes() {
        let keys = ["b", "a/z", "a", "é"];
        let page = |text: &str| by_text(&query(text), keys.iter().map(|key| (*key, *key))).unwrap();
        let first = page("limit=3");
        assert_eq!(first.items, ["a", "a/z", "b"]);
        assert_eq!(page(&format!("after={}", first.next.unwrap())).items, ["é"]);
        assert_eq!(page("after=ff").items, Vec::<&str>::new(), "no text is behind this");
    }
}
