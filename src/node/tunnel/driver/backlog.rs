//! What has come for an application and was not taken yet.
//!
//! In go bytes behind those that are there, and how many were taken from the front; out comes whether there is memory for them. What is
//! counted is the memory that is held, which is more than the bytes for as long as some of them are taken and others come.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use crate::limits::{Account, Buffered, Exceeded};

/// Bytes that wait for their application. Nothing is held while there are none.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    bytes: VecDeque<u8>,
    held: Option<Buffered>,
}

/// Less memory than this is not worth asking for.
const SMALLEST: usize = 1024;

/// Memory is given back when so many times less would do: not all of it then, so that it is not soon asked for again.
const TOO_MUCH: usize = 4;

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// What is there, in one or two pieces.
    pub(super) fn pieces(&self) -> (&[u8], &[u8]) {
        self.bytes.as_slices()
    }

    /// What is there, in one piece.
    pub(super) fn whole(&mut self) -> &[u8] {
        self.bytes.make_contiguous()
    }

    /// Keeps what comes in `pieces` behind the first `taken` bytes; without an account it is not counted.
    ///
    /// # Errors
    /// When there is no memory for that; then none of it is kept.
    pub(super) fn keep(
        &mut self,
        pieces: &[IoSlice<'_>],
        taken: usize,
        account: Option<&Arc<Account>>,
    ) -> Result<(), Exceeded> {
        let all: usize = pieces.iter().map(|piece| piece.len()).sum();
        if all > taken {
            self.make_room(all - taken, account)?;
        }
        let mut skip = taken;
        for piece in pieces {
            let skipped = skip.min(piece.len());
            skip -= skipped;
            self.bytes.extend(&piece[skipped..]);
        }
        Ok(())
    }

    fn make_room(&mut self, more: usize, account: Option<&Arc<Account>>) -> Result<(), Exceeded> {
        let needed = self.bytes.len() + more;
        if needed <= self.bytes.capacity() {
            return Ok(());
        }
        let room = needed.next_power_of_two().max(SMALLEST);
        if let Some(account) = account {
            self.held.get_or_insert_with(|| account.nothing()).needs(room as u64)?;
        }
        self.bytes.reserve_exact(room - self.bytes.len());
        Ok(())
    }

    /// So much was taken from the front.
    pub(super) fn took(&mut self, bytes: usize) {
        self.bytes.drain(..bytes);
        if self.bytes.is_empty() {
            *self = Self::default();
        } else if self.bytes.len() <= self.bytes.capacity() / TOO_MUCH && self.bytes.capacity() > SMALLEST {
            self.bytes.shrink_to((self.bytes.len() * 2).next_power_of_two().max(SMALLEST));
            if let Some(held) = &mut self.held {
                held.keeps(self.bytes.capacity() as u64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::tests::{alone, in_use};
    use crate::limits::{By, Limit};

    fn keep(
        backlog: &mut Backlog,
        pieces: &[&[u8]],
        taken: usize,
        account: &Arc<Account>,
    ) -> Result<(), Exceeded> {
        let pieces: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        backlog.keep(&pieces, taken, Some(account))
    }

    #[test]
    fn what_was_not_taken_is_kept_in_order_and_what_it_holds_is_counted() {
        let pod = alone();
        let (account, mut backlog) = (pod.account(By::Pod), Backlog::default());
        let counted = || in_use(&pod, Limit::BufferedBytesOfPod);
        keep(&mut backlog, &[b"all", b"taken"], 8, &account).unwrap();
        assert_eq!((backlog.is_empty(), counted()), (true, 0), "what is taken at once costs nothing");
        keep(&mut backlog, &[b"one", b"two", b"three"], 4, &account).unwrap();
        assert_eq!((backlog.whole(), counted()), (&b"wothree"[..], SMALLEST as u64));
        keep(&mut backlog, &[&[7; 100_000]], 0, &account).unwrap();
        assert_eq!((backlog.len(), counted()), (100_007, 131_072));
        backlog.took(7);
        assert_eq!((backlog.whole(), counted()), (&[7; 100_000][..], 131_072));
        backlog.took(70_000);
        assert_eq!((backlog.whole(), counted()), (&[7; 30_000][..], 65_536), "a part is given back");
        backlog.took(30_000);
        assert_eq!((backlog.is_empty(), counted()), (true, 0));
        keep(&mut backlog, &[b"again"], 0, &account).unwrap();
        drop(backlog);
        assert_eq!(counted(), 0, "all is given back with it");
    }

    #[test]
    fn what_is_counted_is_what_is_held() {
        let pod = alone();
        let (account, mut backlog) = (pod.account(By::Pod), Backlog::default());
        for step in 1..2000_usize {
            keep(&mut backlog, &[&[7; 1500][..step * 7919 % 1500]], 0, &account).unwrap();
            backlog.took(backlog.len().min(step * 104_729 % 3000) / (1 + step % 3));
            assert_eq!(in_use(&pod, Limit::BufferedBytesOfPod), backlog.bytes.capacity() as u64);
            assert!(backlog.bytes.capacity() <= (backlog.len() * TOO_MUCH * 2).max(SMALLEST));
        }
    }

    #[test]
    fn what_has_no_place_is_not_kept() {
        let pod = alone();
        let (account, mut backlog) = (pod.account(By::Pod), Backlog::default());
        keep(&mut backlog, &[b"kept"], 0, &account).unwrap();
        let mut other = account.nothing();
        while other.needs(in_use(&pod, Limit::BufferedBytesOfPod) + 100_000).is_ok() {}
        let why = keep(&mut backlog, &[&[7; 200_000]], 0, &account).unwrap_err();
        assert_eq!((why, backlog.whole()), (Exceeded(Limit::BufferedBytesOfPod), &b"kept"[..]));
    }
}
