//! How much memory is allocated.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: everything is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the contract is the caller's, unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the contract is the caller's, unchanged.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// A bound on what is allocated from here on.
pub(crate) struct Bound {
    before: usize,
    most: usize,
}

impl Bound {
    pub(crate) fn new(most: usize) -> Self {
        Self { before: LIVE.load(Ordering::Relaxed), most }
    }

    #[track_caller]
    pub(crate) fn check(&self) {
        let live = LIVE.load(Ordering::Relaxed).saturating_sub(self.before);
        assert!(live <= self.most, "{live} bytes are allocated where {} should do", self.most);
    }
}
