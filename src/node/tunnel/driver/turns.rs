//! Whose turn it is to send. Those that had little to say last time come first, so that small requests do not queue behind bulk
//! (as in RFC 8290). The others take turns of up to [`TURN`](super::leg::TURN): every change of stream wakes another reader at the far end, who then
//! has little to read, so short turns cost throughput and long ones cost only those who are in no hurry.

use std::collections::VecDeque;

/// Slots of legs that have something to send.
#[derive(Debug, Default)]
pub(super) struct Turns {
    sparse: VecDeque<usize>,
    bulk: VecDeque<usize>,
}

impl Turns {
    pub(super) fn sparse(&mut self, slot: usize) {
        self.sparse.push_back(slot);
    }

    pub(super) fn bulk(&mut self, slot: usize) {
        self.bulk.push_back(slot);
    }

    /// It goes on, unless somebody has little to say.
    pub(super) fn keep(&mut self, slot: usize) {
        self.bulk.push_front(slot);
    }

    /// The next one keeps its place.
    pub(super) fn first_again(&mut self, slot: usize) {
        self.sparse.push_front(slot);
    }

    pub(super) fn next(&mut self) -> Option<usize> {
        self.sparse.pop_front().or_else(|| self.bulk.pop_front())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_little_to_say_comes_first_and_the_others_take_turns() {
        let mut turns = Turns::default();
        turns.bulk(1);
        turns.bulk(2);
        turns.sparse(3);
        turns.sparse(4);
        turns.bulk(1);
        assert_eq!(std::iter::from_fn(|| turns.next()).collect::<Vec<_>>(), [3, 4, 1, 2, 1]);
    }

    #[test]
    fn who_keeps_the_turn_waits_for_nobody_but_those_with_little_to_say() {
        let mut turns = Turns::default();
        turns.bulk(1);
        turns.bulk(2);
        let first = turns.next().unwrap();
        turns.keep(first);
        turns.sparse(3);
        assert_eq!(std::iter::from_fn(|| turns.next()).collect::<Vec<_>>(), [3, 1, 2]);
    }

    #[test]
    fn whoever_found_no_room_is_next() {
        let mut turns = Turns::default();
        turns.bulk(1);
        turns.sparse(2);
        let first = turns.next().unwrap();
        turns.sparse(3);
        turns.first_again(first);
        assert_eq!(std::iter::from_fn(|| turns.next()).collect::<Vec<_>>(), [2, 3, 1]);
    }
}
