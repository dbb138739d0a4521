//! Connections made one after another while something happens.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use culvert_lab::Pod;

use crate::harness::cluster::ECHO;
use crate::harness::talk::{Ending, exchange};

/// What became of connections that were made one after another.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) good: usize,
    pub(crate) bad: Vec<Ending>,
    pub(crate) slowest: Duration,
}

impl Calls {
    fn make(&mut self, from: &Pod, to: &Pod) {
        let begun = Instant::now();
        let ending = exchange(from, (to.ip4(), ECHO), b"still there?");
        self.slowest = self.slowest.max(begun.elapsed());
        if ending == Ending::Complete(b"still there?".to_vec()) {
            self.good += 1;
        } else {
            self.bad.push(ending);
        }
    }
}

/// Makes connections for as long as something happens, and a while longer.
pub(crate) fn call_meanwhile(from: &Pod, to: &Pod, happen: impl FnOnce()) -> Calls {
    const AND_THEN: usize = 20;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let over = &over;
        let caller = scope.spawn(move || {
            let mut calls = Calls::default();
            while !over.load(Ordering::Relaxed) {
                calls.make(from, to);
            }
            (0..AND_THEN).for_each(|_| calls.make(from, to));
            calls
        });
        // A failure in here must not leave the caller running.
        let happened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(happen));
        over.store(true, Ordering::Relaxed);
        let calls = caller.join().unwrap();
        if let Err(panic) = happened {
            std::panic::resume_unwind(panic);
        }
        calls
    })
}

/// Asserts that every connection was served, and none of them slowly.
#[track_caller]
pub(crate) fn assert_all_served(calls: &Calls) {
    assert_eq!(calls.bad, [], "{calls:?}");
    assert!(calls.slowest < Duration::from_secs(2), "{calls:?}");
}
