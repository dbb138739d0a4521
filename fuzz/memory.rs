//! How much memory a target takes, at the most it had at once.
//!
//! Counted for each thread by itself, so that targets can run side by side; none of them starts a thread.

#![expect(unsafe_code, reason = "an allocator is, and one that counts cannot be had otherwise")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: everything is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // What another thread has given away may be more than this one has taken.
        let live = LIVE.get().wrapping_add(layout.size());
        LIVE.set(live);
        if live.cast_signed() > PEAK.get().cast_signed() {
            PEAK.set(live);
        }
        // SAFETY: the contract is the caller's, unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get().wrapping_sub(layout.size()));
        // SAFETY: the contract is the caller's, unchanged.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// A bound on what is allocated at once from here on.
pub(crate) struct Bound {
    before: usize,
    most: usize,
}

impl Bound {
    pub(crate) fn new(most: usize) -> Self {
        PEAK.set(LIVE.get());
        Self { before: LIVE.get(), most }
    }

    #[track_caller]
    pub(crate) fn check(&self) {
        let peak = PEAK.get().wrapping_sub(self.before).cast_signed();
        assert!(
            peak <= self.most.cast_signed(),
            "{peak} bytes were allocated at once where {} should do",
            self.most
        );
    }
}
