//! What of a program's memory is in use, and who has asked for it: the allocator of the C library, which can be watched.
//!
//! A program makes [`Watched`] its global allocator. Nobody watches at first, and then an allocation costs one look at a word more than
//! without. While somebody does, a sample of the allocations is kept for as long as each is in use: on average one for every [`INTERVAL`]
//! bytes, larger ones more likely, each with the stack that has asked for it. Not seen: what was there before, what C code allocates by
//! itself, stacks of threads, and mapped files.
//!
//! What is kept is bounded ([`MOST`]). Whoever allocates waits for others only when its own allocation is one of the sample, or may be when
//! it is freed, and for no longer than it takes to put a row into a table, or to copy pointers to all of them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One allocation is kept for so many bytes, on average.
pub const INTERVAL: u64 = 128 << 10;

/// No more allocations are kept at once.
pub const MOST: usize = 8192;

/// Of a deeper stack the outermost functions are not kept.
const DEPTH: usize = 64;

/// Places that say how many of what is kept have an address like that.
const HINTS: usize = 1 << 14;

/// The allocator of the C library, watched when that is wanted.
#[derive(Debug)]
pub struct Watched(());

/// One that is in use.
#[derive(Debug, Clone)]
pub struct Allocation {
    /// Its bytes.
    pub size: u64,
    /// What had been called when it was made: return addresses, from the innermost outwards.
    pub stack: Arc<[u64]>,
}

/// What is known of the heap.
#[derive(Debug)]
pub struct Seen {
    /// The sample of what is in use, in no order.
    pub allocations: Vec<Allocation>,
    /// How many of the sample there was no room for.
    pub lost: u64,
}

static WATCHING: AtomicBool = AtomicBool::new(false);
static KEPT: Mutex<Option<HashMap<usize, Allocation>>> = Mutex::new(None);
static LOST: AtomicU64 = AtomicU64::new(0);
/// Changed by who holds `KEPT`.
static LIKELY: [AtomicU16; HINTS] = [const { AtomicU16::new(0) }; HINTS];

thread_local! {
    /// Bytes that this thread may allocate until one is kept; none before it was drawn for the first time.
    static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
    /// What the next random number is made from.
    static SEED: Cell<u64> = const { Cell::new(0) };
    /// The thread is keeping something: what it allocates for that is its own business.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Whether somebody watches.
#[must_use]
pub fn is_watched() -> bool {
    WATCHING.load(Ordering::Relaxed)
}

/// Starts to watch, or goes on.
pub fn watch() {
    aside(|| {
        let mut kept = kept();
        kept.get_or_insert_default();
        WATCHING.store(true, Ordering::Relaxed);
    });
}

/// Ends that, and forgets what was seen.
pub fn forget() {
    aside(|| {
        let mut kept = kept();
        WATCHING.store(false, Ordering::Relaxed);
        let all = kept.take();
        for hint in &LIKELY {
            hint.store(0, Ordering::Relaxed);
        }
        LOST.store(0, Ordering::Relaxed);
        drop(kept);
        drop(all);
    });
}

/// What is in use; nothing when nobody watches.
#[must_use]
pub fn seen() -> Option<Seen> {
    aside(|| {
        let mut allocations = Vec::with_capacity(MOST);
        let kept = kept();
        allocations.extend(kept.as_ref()?.values().cloned());
        Some(Seen { allocations, lost: LOST.load(Ordering::Relaxed) })
    })
}

impl Watched {
    /// One that nobody watches.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a static needs a constant")]
    pub const fn new() -> Self {
        Self(())
    }
}

// SAFETY: memory comes from the allocator of the system and goes back to it, with the same layouts, and is not touched in between. What is
// done besides never unwinds: it does not panic, and frees what it allocates.
#[expect(unsafe_code, reason = "an allocator is an unsafe trait")]
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is handed on.
        let made = unsafe { System.alloc(layout) };
        if is_watched() {
            keep_some(made, layout.size());
        }
        made
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is handed on.
        let made = unsafe { System.alloc_zeroed(layout) };
        if is_watched() {
            keep_some(made, layout.size());
        }
        made
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if is_watched() {
            leave(pointer);
        }
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let watched = is_watched();
        if watched {
            // Before: after it, the address may be somebody else's.
            leave(pointer);
        }
        // SAFETY: the caller's promise is handed on.
        let made = unsafe { System.realloc(pointer, layout, size) };
        if watched {
            keep_some(made, size);
        }
        made
    }
}

/// Keeps the allocation if it is one of the sample.
fn keep_some(made: *mut u8, size: usize) {
    let size = size as u64;
    let left = LEFT.get().unwrap_or_else(draw);
    if size < left {
        LEFT.set(Some(left - size));
        return;
    }
    LEFT.set(Some(draw()));
    if made.is_null() || INSIDE.get() {
        return;
    }
    aside(|| {
        let allocation = Allocation { size, stack: stack() };
        let mut kept = kept();
        // None when the watching has just ended.
        let Some(rows) = kept.as_mut() else { return };
        if rows.len() < MOST {
            if rows.insert(made.addr(), allocation).is_none() {
                hint(made.addr()).fetch_add(1, Ordering::Relaxed);
            }
        } else {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
    });
}

/// Lets go of an allocation that is about to be freed. What says that it may be kept was written before the program had the pointer.
fn leave(pointer: *mut u8) {
    let hint = hint(pointer.addr());
    if hint.load(Ordering::Relaxed) == 0 || INSIDE.get() {
        return;
    }
    aside(|| {
        let mut kept = kept();
        let row = kept.as_mut().and_then(|rows| rows.remove(&pointer.addr()));
        if row.is_some() {
            hint.fetch_sub(1, Ordering::Relaxed);
        }
        drop(kept);
        drop(row);
    });
}

/// Does what allocates by itself, or holds the table.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    let before = INSIDE.replace(true);
    let done = work();
    INSIDE.set(before);
    done
}

fn kept() -> MutexGuard<'static, Option<HashMap<usize, Allocation>>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hint(address: usize) -> &'static AtomicU16 {
    // Allocations are 16 bytes apart at least; Fibonacci hashing spreads what is left.
    let spread =
        (address as u64 >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - HINTS.trailing_zeros());
    &LIKELY[spread as usize % HINTS]
}

/// How many bytes there are until the next one that is kept: as if each byte were, with the same small probability (so that the size of an
/// allocation alone says how likely it was).
fn draw() -> u64 {
    // Threads differ by where their own storage is.
    let mut seed = match SEED.get() {
        0 => SEED.with(|here| std::ptr::from_ref(here).addr() as u64) | 1,
        seed => seed,
    };
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    SEED.set(seed);
    // In (0, 1].
    let fraction = ((seed >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    (-fraction.ln() * INTERVAL as f64) as u64 + 1
}

/// The return addresses above this function.
fn stack() -> Arc<[u64]> {
    let mut trace = Trace { addresses: [0; DEPTH], length: 0 };
    // SAFETY: the unwinder of the platform, which the standard library links, calls the function with the pointer it was given, which is
    // valid until it returns; the function does not unwind.
    #[expect(unsafe_code, reason = "the unwinder is a C library")]
    unsafe {
        _Unwind_Backtrace(note, (&raw mut trace).cast());
    }
    trace.addresses[..trace.length].into()
}

struct Trace {
    addresses: [u64; DEPTH],
    length: usize,
}

const GO_ON: c_int = 0;
const ENOUGH: c_int = 5;

extern "C" fn note(frame: *mut c_void, trace: *mut c_void) -> c_int {
    // SAFETY: called with the frame of the unwinder.
    #[expect(unsafe_code, reason = "called by a C library")]
    let address = unsafe { _Unwind_GetIP(frame) };
    // SAFETY: called with the pointer that `stack` has passed, which is to a `Trace` that nobody else has meanwhile.
    #[expect(unsafe_code, reason = "called by a C library")]
    let trace = unsafe { &mut *trace.cast::<Trace>() };
    let Some(place) = trace.addresses.get_mut(trace.length) else { return ENOUGH };
    *place = address as u64;
    trace.length += 1;
    GO_ON
}

// The interface of the Itanium C++ ABI, which is that of every unwinder there is.
#[expect(unsafe_code, reason = "declarations of C functions")]
unsafe extern "C" {
    fn _Unwind_Backtrace(each: extern "C" fn(*mut c_void, *mut c_void) -> c_int, with: *mut c_void) -> c_int;
    fn _Unwind_GetIP(frame: *mut c_void) -> usize;
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::thread;

    use super::*;

    #[global_allocator]
    static ALLOCATOR: Watched = Watched::new();

    const SIZE: usize = 777_777;

    fn kept_of_that_size() -> usize {
        seen().map_or(0, |seen| seen.allocations.iter().filter(|each| each.size == SIZE as u64).count())
    }

    // One test: there is one heap.
    #[test]
    fn what_is_in_use_is_seen_while_somebody_watches() {
        let before = black_box(vec![1_u8; SIZE]);
        assert!(seen().is_none() && !is_watched());
        watch();
        // Each is kept with a probability of 1 - e^-5.9.
        let many: Vec<_> = (0..20).map(|_| black_box(vec![1_u8; SIZE])).collect();
        let kept = kept_of_that_size();
        assert!((10..=20).contains(&kept), "{kept}");
        let stacks = seen().unwrap().allocations;
        assert!(stacks.iter().all(|each| each.stack.len() > 2 && each.stack.len() <= DEPTH));
        drop(before);
        assert_eq!(kept_of_that_size(), kept, "what was there before is not known");
        // Another thread frees it.
        thread::spawn(move || drop(many)).join().unwrap();
        assert_eq!(kept_of_that_size(), 0);
        // What grows is what it has become.
        let mut grown = vec![0_u8; SIZE / 2];
        grown.reserve_exact(SIZE - grown.len());
        for _ in 0..100 {
            grown.shrink_to(SIZE - 1);
            grown.reserve_exact(SIZE - grown.len());
        }
        assert!(kept_of_that_size() <= 1);
        forget();
        assert!(seen().is_none());
        drop(black_box(grown));
        watch();
        assert_eq!(kept_of_that_size(), 0);
        no_more_is_kept_than_there_is_room_for();
        forget();
    }

    fn no_more_is_kept_than_there_is_room_for() {
        // The table is filled without the memory that it would take, and so that other tests, which free some, make no room.
        for address in 0..MOST + 100 {
            aside(|| kept().as_mut().unwrap().insert(address, Allocation { size: 1, stack: [].into() }));
        }
        let most = black_box(vec![0_u8; 100 * INTERVAL as usize]);
        let seen = seen().unwrap();
        assert!(seen.lost > 0);
        assert!(seen.allocations.iter().all(|each| each.size != most.len() as u64));
    }

    #[test]
    fn bytes_are_drawn_around_the_interval() {
        let drawn = (0..10_000).map(|_| draw()).sum::<u64>() / 10_000;
        assert!((INTERVAL * 9 / 10..INTERVAL * 11 / 10).contains(&drawn), "{drawn}");
    }
}
