//! How much of the processor a thread gets when others want it too, and how soon they get it.

use std::fs;
use std::io;
use std::mem::size_of;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::libc::{
    SCHED_IDLE, SCHED_OTHER, SYS_sched_getattr, SYS_sched_setattr, SYS_sched_setscheduler, sched_attr,
    sched_param, syscall,
};

/// A short turn, in nanoseconds.
const SHORT: u64 = 500_000;

/// Whether threads of this process take short turns.
static TAKES_SHORT_TURNS: AtomicBool = AtomicBool::new(false);

/// Has the calling thread, and those it starts from now on, run when nobody else of its control group wants the processor
/// (`SCHED_IDLE`, `sched(7)`): whoever wakes up has it at once. A thread that is merely least important keeps it for up to some
/// milliseconds. It is never quite starved: beside a thread that never waits it has three thousandths of a processor.
///
/// # Errors
/// The kernel's refusal; nobody is refused to give way by it.
#[expect(unsafe_code, reason = "there is no safe binding")]
pub fn give_way() -> io::Result<()> {
    let none = sched_param { sched_priority: 0 };
    // SAFETY: reads the parameters, which live through the call, and takes numbers besides; 0 is the calling thread. Not every C
    // library passes the call on.
    let result = unsafe { syscall(SYS_sched_setscheduler, 0, SCHED_IDLE, &raw const none) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Has the calling thread, and those it starts from now on, have the processor for 0.5 ms at a time while others want it, in place of some
/// milliseconds (`sched_setattr(2)`, since Linux 6.12). It gets as much of it as before, in more and shorter turns: others wait less for it,
/// and it for them. Says whether the kernel has such turns; where it has not, everything stays as it was.
///
/// # Errors
/// The kernel's refusal; some do not know the call in a container.
pub fn take_short_turns() -> io::Result<bool> {
    let short = sched_attr { sched_runtime: SHORT, ..attributes()? };
    set_attributes(&short)?;
    let takes = turn()? == SHORT;
    if takes {
        TAKES_SHORT_TURNS.store(true, Ordering::Relaxed);
    }
    Ok(takes)
}

/// Lets others who want this processor have their turn first. For a thread with long turns that would cost one of those, so that it is not
/// done where threads take none that are short.
pub fn let_others_run() {
    if TAKES_SHORT_TURNS.load(Ordering::Relaxed) {
        thread::yield_now();
    }
}

/// How long the calling thread has wanted a processor and had none, since it began (the second number of
/// `/proc/thread-self/schedstat`, `sched-stats.rst` of the kernel's documentation). Nothing where the kernel does not say. It opens a file:
/// a descriptor that every thread kept would be one that comes and goes with it.
#[must_use]
pub fn waited() -> Option<Duration> {
    let turns = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    turns.split(' ').nth(1)?.parse().ok().map(Duration::from_nanos)
}

/// How long the calling thread's turns are, in nanoseconds; 0 where the kernel does not say.
fn turn() -> io::Result<u64> {
    attributes().map(|attributes| attributes.sched_runtime)
}

#[expect(unsafe_code, reason = "there is no safe binding")]
fn attributes() -> io::Result<sched_attr> {
    let mut attributes = sched_attr {
        size: 0,
        sched_policy: SCHED_OTHER.cast_unsigned(),
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    let size = u32::try_from(size_of::<sched_attr>()).expect("it is some fifty bytes");
    // SAFETY: writes as many bytes as the structure has, which lives through the call, and takes numbers besides; 0 is the calling thread.
    let result = unsafe { syscall(SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
    if result == 0 { Ok(attributes) } else { Err(io::Error::last_os_error()) }
}

#[expect(unsafe_code, reason = "there is no safe binding")]
fn set_attributes(attributes: &sched_attr) -> io::Result<()> {
    // SAFETY: reads the structure, which says how long it is and lives through the call, and takes numbers besides; 0 is the calling
    // thread.
    let result = unsafe { syscall(SYS_sched_setattr, 0, &raw const *attributes, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Reads the field `policy` of `/proc/thread-self/stat` (`proc_pid_stat(5)`), the 41st; behind the name there are no brackets.
    fn policy() -> i32 {
        let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
        let (_, behind) = stat.rsplit_once(')').unwrap();
        behind.split_whitespace().nth(38).unwrap().parse().unwrap()
    }

    #[test]
    fn only_the_calling_thread_and_its_children_give_way() {
        let before = policy();
        let (own, child) = thread::spawn(|| {
            give_way().unwrap();
            (policy(), thread::spawn(policy).join().unwrap())
        })
        .join()
        .unwrap();
        assert_eq!((own, child, policy()), (SCHED_IDLE, SCHED_IDLE, before));
        assert_ne!(before, SCHED_IDLE);
    }

    #[test]
    fn only_the_calling_thread_and_its_children_take_short_turns() {
        let before = turn().unwrap();
        let (takes, own, child) = thread::spawn(|| {
            let takes = take_short_turns().unwrap();
            (takes, turn().unwrap(), thread::spawn(turn).join().unwrap().unwrap())
        })
        .join()
        .unwrap();
        // A kernel that has no such turns says nothing of theirs.
        let short = if takes { SHORT } else { 0 };
        assert_eq!((own, child, turn().unwrap()), (short, short, before));
        assert_ne!(before, SHORT);
        let_others_run();
    }

    /// Each on a processor with another one, they have half of it, and wait for the other half.
    #[test]
    fn who_has_no_processor_waits() {
        let begun = Instant::now();
        let all = thread::available_parallelism().unwrap().get();
        let busy = || {
            while waited().is_some_and(|waited| waited < Duration::from_millis(5)) {
                assert!(begun.elapsed() < Duration::from_secs(60), "nobody has to wait for anybody");
            }
            waited()
        };
        let waited: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..=all).map(|_| scope.spawn(busy)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(
            waited.iter().all(|waited| waited.is_some_and(|waited| waited <= begun.elapsed())),
            "{waited:?}"
        );
    }
}
