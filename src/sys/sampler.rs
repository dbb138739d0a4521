//! Samples of what the threads of this process are at, as the kernel's CPU timer interrupts them.
//!
//! In goes how often; out come registers and a copy of the stack above them, for somebody else to make sense of. A thread that runs is
//! interrupted by a signal (`SIGPROF`) once it, or any other, has used so much CPU time; one that waits is left alone.
//!
//! What happens in the signal is the whole risk of such a thing, so it is next to nothing: a free place is claimed, the registers are
//! kept, and the kernel is asked for a copy of the stack. No lock is taken, nothing is allocated, no stack is followed (which elsewhere
//! takes locks of the loader and has ended processes), and no memory is touched that may not be there: the copy is a system call
//! (`process_vm_readv`), for which a hole is an error. Interrupted system calls go on by themselves (`SA_RESTART`), but for those that
//! wait for events, which say so. The handler stays when the sampling ends: a signal may still be on its way, and without a handler it
//! would end the process.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::cell::UnsafeCell;
use std::fmt;
use std::io;
use std::num::NonZeroU32;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::thread;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Samples that wait to be collected; more are lost.
const PLACES: usize = 64;

/// How much of a stack is copied: less than that is in use, but for a build that was not optimised.
const STACK: usize = 64 << 10;

/// Copies are made in pieces that end where a page may end: a piece is there or is not.
const PAGE: usize = 4096;

const FREE: u8 = 0;
const TAKEN: u8 = 1;
const READY: u8 = 2;

/// Whether somebody samples.
static SAMPLING: AtomicBool = AtomicBool::new(false);

/// Where the handler leaves its samples; null when nobody samples.
static PLACE: AtomicPtr<Places> = AtomicPtr::new(ptr::null_mut());

/// Handlers that may have seen `PLACE`.
static INSIDE: AtomicUsize = AtomicUsize::new(0);

/// Samples for as long as it lives.
pub struct Sampler {
    /// Made by `Box::into_raw`; freed when dropped, once no handler can see it.
    places: *mut Places,
}

// SAFETY: it owns what the pointer leads to, which is written through atomics and claimed places alone.
#[expect(unsafe_code, reason = "a pointer is not Send by itself")]
unsafe impl Send for Sampler {}

/// What one thread was at.
pub struct Sample {
    /// The instruction it was about to run.
    pub instruction: u64,
    /// Where that returns to, by register; on x86-64, which has none for this, the instruction.
    pub link: u64,
    /// The stack pointer.
    pub stack_pointer: u64,
    /// The frame pointer, if the program keeps any.
    pub frame_pointer: u64,
    copied: usize,
    stack: [u8; STACK],
}

struct Places {
    next: AtomicUsize,
    lost: AtomicU64,
    places: [Place; PLACES],
}

struct Place {
    /// Free → taken by a handler → ready → free again.
    state: AtomicU8,
    /// Belongs to the handler that has taken the place, then to the collector that has found it ready.
    sample: UnsafeCell<Sample>,
}

impl Sampler {
    /// Starts to sample the whole process, so often per second of CPU time that it uses. The kernel's clock may set a limit (often 250).
    ///
    /// # Errors
    /// `ResourceBusy` when somebody samples already; what the kernel says otherwise.
    pub fn start(frequency: NonZeroU32) -> io::Result<Self> {
        if SAMPLING.swap(true, Ordering::SeqCst) {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        let sampler = Self { places: Box::into_raw(Places::new()) };
        PLACE.store(sampler.places, Ordering::SeqCst);
        handle_signal()?;
        interrupt_every(1_000_000 / frequency.get().min(1_000_000))?;
        Ok(sampler)
    }

    /// Shows the samples that have come in since the last time, in no order.
    pub fn collect(&mut self, mut show: impl FnMut(&Sample)) {
        for place in &self.places().places {
            if place.state.load(Ordering::Acquire) == READY {
                // SAFETY: a place that is ready is written by nobody until it is free, which is said below, and collected by nobody else,
                // because this is borrowed mutably. The handler's writes come before its release of the state.
                #[expect(unsafe_code, reason = "reading what a signal handler has left")]
                show(unsafe { &*place.sample.get() });
                place.state.store(FREE, Ordering::Release);
            }
        }
    }

    /// How many samples had no place.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.places().lost.load(Ordering::Relaxed)
    }

    fn places(&self) -> &Places {
        // SAFETY: made by `Box::into_raw`, freed only when this is dropped, and never borrowed mutably.
        #[expect(unsafe_code, reason = "the handler has the same pointer")]
        unsafe {
            &*self.places
        }
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        // Without a timer there is nothing to be done about one that does not stop; its signals find no place.
        let _ = interrupt_every(0);
        PLACE.store(ptr::null_mut(), Ordering::SeqCst);
        // A handler says that it is inside before it looks for the place. So when none is inside after the place has gone, none has it.
        // A handler takes microseconds; a thread that was put aside within one is waited for.
        while INSIDE.load(Ordering::SeqCst) > 0 {
            thread::yield_now();
        }
        // SAFETY: made by `Box::into_raw`, not freed before, and seen by nobody else any more.
        #[expect(unsafe_code, reason = "the handler had the same pointer")]
        drop(unsafe { Box::from_raw(self.places) });
        SAMPLING.store(false, Ordering::SeqCst);
    }
}

impl Sample {
    /// The word at an address of the stack, if that much was copied.
    #[must_use]
    pub fn word(&self, address: u64) -> Option<u64> {
        let at = usize::try_from(address.checked_sub(self.stack_pointer)?).ok()?;
        let bytes = self.stack[..self.copied].get(at..at.checked_add(size_of::<u64>())?)?;
        Some(u64::from_ne_bytes(bytes.try_into().ok()?))
    }
}

impl Places {
    /// Zeroed memory costs nothing until it is used, and would be too large for a stack.
    fn new() -> Box<Self> {
        let layout = Layout::new::<Self>();
        // SAFETY: the layout is not of size zero.
        #[expect(unsafe_code, reason = "made in place")]
        let places = unsafe { alloc_zeroed(layout) }.cast::<Self>();
        if places.is_null() {
            handle_alloc_error(layout);
        }
        // SAFETY: allocated with the layout of `Self`, and nobody else has it. All zeroes is a value of it: atomics and integers, and
        // `FREE` is zero.
        #[expect(unsafe_code, reason = "made in place")]
        unsafe {
            Box::from_raw(places)
        }
    }

    /// In the signal handler: see the module.
    fn keep(&self, context: &libc::ucontext_t) {
        let place = &self.places[self.next.fetch_add(1, Ordering::Relaxed) % PLACES];
        if place.state.compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // SAFETY: who has turned the place from free to taken has it alone until it is ready.
        #[expect(unsafe_code, reason = "places are claimed by their state")]
        unsafe { &mut *place.sample.get() }.fill(context);
        place.state.store(READY, Ordering::Release);
    }
}

impl Sample {
    fn fill(&mut self, context: &libc::ucontext_t) {
        self.keep_registers(&context.uc_mcontext);
        self.copied = copy_stack(self.stack_pointer, &mut self.stack);
    }

    #[cfg(target_arch = "x86_64")]
    fn keep_registers(&mut self, registers: &libc::mcontext_t) {
        // The bits of a register, whatever type it is declared with.
        let register = |which: libc::c_int| registers.gregs[which as usize].cast_unsigned();
        self.instruction = register(libc::REG_RIP);
        self.link = self.instruction;
        self.stack_pointer = register(libc::REG_RSP);
        self.frame_pointer = register(libc::REG_RBP);
    }

    #[cfg(target_arch = "aarch64")]
    fn keep_registers(&mut self, registers: &libc::mcontext_t) {
        self.instruction = registers.pc;
        self.link = registers.regs[30];
        self.stack_pointer = registers.sp;
        self.frame_pointer = registers.regs[29];
    }
}

impl fmt::Debug for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sampler").field("lost", &self.lost()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sample at {:#x} with {} bytes of stack", self.instruction, self.copied)
    }
}

/// Copies memory of this process from an address upwards until there is no more; gives how much.
fn copy_stack(from: u64, into: &mut [u8; STACK]) -> usize {
    const PIECES: usize = STACK / PAGE + 1;
    let mut pieces = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; PIECES];
    let mut at = from as usize;
    let mut left = STACK;
    for piece in &mut pieces {
        let length = (PAGE - at % PAGE).min(left);
        *piece = libc::iovec { iov_base: ptr::without_provenance_mut(at), iov_len: length };
        at = at.wrapping_add(length);
        left -= length;
    }
    let whole = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: STACK };
    let own = nix::unistd::getpid().as_raw();
    // SAFETY: the kernel writes into `into` alone, no more than its length. What it reads is an address to it, not a reference to us: what
    // is not there is an error.
    #[expect(unsafe_code, reason = "asking the kernel for a copy of memory that may not be there")]
    let copied = unsafe { libc::process_vm_readv(own, &raw const whole, 1, pieces.as_ptr(), PIECES as _, 0) };
    usize::try_from(copied).unwrap_or(0)
}

/// What the signal does. Everything it calls may be called in a signal handler, and it never panics.
extern "C" fn on_signal(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let errno = Errno::last_raw();
    INSIDE.fetch_add(1, Ordering::SeqCst);
    let places = PLACE.load(Ordering::SeqCst);
    // SAFETY: places that are seen while inside are freed by nobody.
    #[expect(unsafe_code, reason = "a pointer")]
    let places = unsafe { places.as_ref() };
    // SAFETY: the kernel hands a handler with SA_SIGINFO the interrupted context, which is there until it returns.
    #[expect(unsafe_code, reason = "a pointer")]
    let context = unsafe { context.cast::<libc::ucontext_t>().as_ref() };
    if let (Some(places), Some(context)) = (places, context) {
        places.keep(context);
    }
    INSIDE.fetch_sub(1, Ordering::SeqCst);
    Errno::set_raw(errno);
}

fn handle_signal() -> io::Result<()> {
    let flags = SaFlags::SA_SIGINFO | SaFlags::SA_RESTART;
    let action = SigAction::new(SigHandler::SigAction(on_signal), flags, SigSet::empty());
    // SAFETY: the handler does what handlers may do alone, and the signal has no other use in this program.
    #[expect(unsafe_code, reason = "a handler that does other things would be undefined behaviour")]
    unsafe { sigaction(Signal::SIGPROF, &action) }?;
    Ok(())
}

/// Interrupts the process each time it has used so many microseconds; never again for 0.
fn interrupt_every(microseconds: u32) -> io::Result<()> {
    let time = libc::timeval {
        tv_sec: (microseconds / 1_000_000).into(),
        tv_usec: (microseconds % 1_000_000).into(),
    };
    let timer = libc::itimerval { it_interval: time, it_value: time };
    // SAFETY: the kernel reads the timer, and writes nothing, for there is no place for the old one.
    #[expect(unsafe_code, reason = "a system call without a safe wrapper")]
    let set = unsafe { libc::setitimer(libc::ITIMER_PROF, &raw const timer, ptr::null_mut()) };
    Ok(Errno::result(set).map(drop)?)
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::time::{Duration, Instant};

    use super::*;

    /// Uses CPU time until there has been something to see.
    fn burn(sampler: &mut Sampler, mut show: impl FnMut(&Sample) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut seen = false;
        while !seen {
            assert!(Instant::now() < deadline, "no such sample");
            for number in 0..100_000_u64 {
                black_box(number);
            }
            sampler.collect(|sample| seen |= show(sample));
        }
    }

    // One test: there is one sampler in a process.
    #[test]
    fn a_busy_process_is_sampled_by_one_at_a_time() {
        let often = NonZeroU32::new(1000).unwrap();
        let mark = 0x5ca1_ab1e_0ddb_a115_u64;
        let mut sampler = Sampler::start(often).unwrap();
        let second = Sampler::start(often).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::ResourceBusy);
        // The mark is on the stack of the thread that is busy, which is this one.
        let on_stack = black_box([mark; 4]);
        burn(&mut sampler, |sample| {
            let words = (0..STACK as u64).step_by(8).filter_map(|at| sample.word(sample.stack_pointer + at));
            sample.instruction != 0 && words.filter(|word| *word == mark).count() >= on_stack.len()
        });
        drop(sampler);
        // What comes late finds no place, and no harm is done.
        nix::sys::signal::raise(Signal::SIGPROF).unwrap();
        // So seldom that next to all samples are those that are asked for here. Each is shown once.
        let mut again = Sampler::start(NonZeroU32::MIN).unwrap();
        let mut shown = || {
            let mut count = 0;
            again.collect(|_| count += 1);
            count
        };
        for _ in 0..PLACES / 2 {
            nix::sys::signal::raise(Signal::SIGPROF).unwrap();
        }
        assert!(shown() >= PLACES / 2);
        assert!(shown() < PLACES / 2);
        // What nobody collects is counted.
        let deadline = Instant::now() + Duration::from_secs(20);
        while again.lost() == 0 {
            assert!(Instant::now() < deadline);
            nix::sys::signal::raise(Signal::SIGPROF).unwrap();
        }
    }

    #[test]
    fn a_copy_ends_where_the_memory_ends() {
        let mut copy = Box::new([0; STACK]);
        assert_eq!(copy_stack(8, &mut copy), 0);
        assert_eq!(copy_stack(u64::MAX - 7, &mut copy), 0);
        let own = Box::new([7_u8; STACK]);
        assert_eq!(copy_stack(own.as_ptr() as u64, &mut copy), STACK);
        assert_eq!(own, copy);
    }

    #[test]
    fn words_outside_of_the_copy_are_not_there() {
        let mut places = Places::new();
        let sample = places.places[0].sample.get_mut();
        (sample.stack_pointer, sample.copied) = (1000, 16);
        sample.stack[8] = 1;
        let words = [992, 996, 1000, 1008, 1009, u64::MAX].map(|at| sample.word(at));
        assert_eq!(
            words,
            [None, None, Some(0), Some(u64::from_ne_bytes([1, 0, 0, 0, 0, 0, 0, 0])), None, None]
        );
    }
}
