//! What the node spends its CPU time with.
//!
//! In go how long and how often to look; out comes a profile, or nothing when nobody waits for it any more. The signal handler of
//! `culvert_sys::sampler` copies stacks and nothing else. Here, on a thread of its own, they are followed by the tables that the compiler
//! has left for panics: no frame pointers are needed, and an error costs a stack's outer part.

use std::collections::HashMap;
use std::io;
use std::num::NonZeroU32;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use culvert_sys::sampler::{Sample, Sampler};
use framehop::{CacheNative, MayAllocateDuringUnwind, UnwindRegsNative, Unwinder as _, UnwinderNative};

use super::modules::{self, Module};
use super::pprof::{self, Contents};

/// How long samples wait: so many come in meanwhile that there is a place for each.
const PAUSE: Duration = Duration::from_millis(20);

/// Of a deeper stack the outermost functions are not told.
const DEPTH: usize = 256;

/// No more different stacks are told apart.
const STACKS: usize = 20_000;

/// How to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) length: Duration,
    pub(super) frequency: NonZeroU32,
}

/// Samples until the time is over, or a word comes to end now with what there is; gives nothing when the sender of that word has gone.
pub(super) fn take(wanted: Wanted, end: &Receiver<()>) -> io::Result<Option<Vec<u8>>> {
    let modules = modules::loaded()?;
    let mut stacks = Stacks::new(&modules);
    let since = SystemTime::now();
    let started = Instant::now();
    let mut sampler = Sampler::start(wanted.frequency)?;
    loop {
        let left = wanted.length.saturating_sub(started.elapsed());
        let told = end.recv_timeout(left.min(PAUSE));
        sampler.collect(|sample| stacks.add(sample));
        match told {
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
            Err(RecvTimeoutError::Timeout) if !left.is_zero() => {}
            Err(RecvTimeoutError::Timeout) | Ok(()) => break,
        }
    }
    let length = started.elapsed();
    let lost = sampler.lost() + stacks.lost;
    drop(sampler);
    let period = 1_000_000_000 / u64::from(wanted.frequency.get());
    let stacks = stacks.seen.into_iter().map(|(stack, times)| (stack, [times, times.saturating_mul(period)]));
    Ok(Some(pprof::encode(&Contents {
        units: [("samples", "count"), ("cpu", "nanoseconds")],
        period: (("cpu", "nanoseconds"), period),
        since,
        length,
        stacks: stacks.collect(),
        modules,
        comment: (lost > 0).then(|| format!("{lost} samples were lost")),
    })))
}

/// How often each stack was seen.
struct Stacks {
    unwinder: UnwinderNative<Vec<u8>, MayAllocateDuringUnwind>,
    cache: CacheNative<MayAllocateDuringUnwind>,
    seen: HashMap<Box<[u64]>, u64>,
    lost: u64,
}

impl Stacks {
    fn new(modules: &[Module]) -> Self {
        let mut unwinder = UnwinderNative::new();
        for tables in modules.iter().filter_map(Module::unwinding) {
            unwinder.add_module(tables);
        }
        Self { unwinder, cache: CacheNative::new(), seen: HashMap::new(), lost: 0 }
    }

    fn add(&mut self, sample: &Sample) {
        let stack = self.follow(sample);
        let is_full = self.seen.len() >= STACKS;
        match self.seen.get_mut(&stack) {
            Some(times) => *times += 1,
            None if is_full => self.lost += 1,
            None => {
                self.seen.insert(stack, 1);
            }
        }
    }

    /// The addresses of the functions, from the innermost outwards, as far as the stack can be followed.
    fn follow(&mut self, sample: &Sample) -> Box<[u64]> {
        let mut word = |address| sample.word(address).ok_or(());
        let registers = UnwindRegsNative::new(sample.link, sample.stack_pointer, sample.frame_pointer);
        let mut frames = self.unwinder.iter_frames(sample.instruction, registers, &mut self.cache, &mut word);
        std::iter::from_fn(|| frames.next().ok().flatten())
            .take(DEPTH)
            // Of a call the function is told that calls, though the address may be behind its last instruction.
            .map(|frame| frame.address_for_lookup())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// Uses CPU time until it is told not to.
    fn burn_in_a_function_of_this_name(stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            black_box((0..1000_u64).fold(0, |sum, number| black_box(sum ^ number)));
        }
    }

    fn for_seconds(seconds: u64) -> Wanted {
        Wanted { length: Duration::from_secs(seconds), frequency: NonZeroU32::new(500).unwrap() }
    }

    // One test: there is one sampler in a process.
    #[test]
    fn the_busy_function_is_named_until_the_time_is_over_or_the_profile_is_cut_or_unwanted() {
        let stop = AtomicBool::new(false);
        let named = b"burn_in_a_function_of_this_name".as_slice();
        let is_named = |profile: &[u8]| profile.windows(named.len()).any(|window| window == named);
        thread::scope(|scope| {
            scope.spawn(|| burn_in_a_function_of_this_name(&stop));
            let (end, ended) = mpsc::channel();
            assert!(is_named(&take(for_seconds(1), &ended).unwrap().unwrap()));
            let started = Instant::now();
            let cut = scope.spawn(move || take(for_seconds(300), &ended));
            // It samples when nobody else can.
            while Sampler::start(NonZeroU32::MIN).is_ok() {
                assert!(started.elapsed() < Duration::from_secs(60));
                thread::yield_now();
            }
            end.send(()).unwrap();
            assert!(cut.join().unwrap().unwrap().is_some());
            let (_, unwanted) = mpsc::channel();
            assert_eq!(take(for_seconds(300), &unwanted).unwrap(), None);
            assert!(started.elapsed() < Duration::from_secs(120), "both ended at once");
            stop.store(true, Ordering::Relaxed);
        });
    }
}
