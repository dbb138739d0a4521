//! How much of the processor a thread gets when others want it too.

use std::io;

use nix::libc::{SCHED_IDLE, SYS_sched_setscheduler, sched_param, syscall};

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

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the field `policy` of `/proc/thread-self/stat` (`proc_pid_stat(5)`), the 41st; behind the name there are no brackets.
    fn policy() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let (_, behind) = stat.rsplit_once(')').unwrap();
        behind.split_whitespace().nth(38).unwrap().parse().unwrap()
    }

    #[test]
    fn only_the_calling_thread_and_its_children_give_way() {
        let before = policy();
        let (own, child) = std::thread::spawn(|| {
            give_way().unwrap();
            (policy(), std::thread::spawn(policy).join().unwrap())
        })
        .join()
        .unwrap();
        assert_eq!((own, child, policy()), (SCHED_IDLE, SCHED_IDLE, before));
        assert_ne!(before, SCHED_IDLE);
    }
}
