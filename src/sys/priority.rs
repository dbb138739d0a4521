//! How much of the processor a thread gets when others want it too.

use std::io;

/// The least there is (`setpriority(2)`).
const LEAST: i32 = 19;

/// Has the calling thread, and those it starts from now on, give way to all others.
///
/// # Errors
/// The kernel's refusal; nobody is refused to give way by it.
#[expect(unsafe_code, reason = "there is no safe binding")]
pub fn give_way() -> io::Result<()> {
    // SAFETY: takes numbers alone. On Linux `PRIO_PROCESS` with 0 is the calling thread.
    let result = unsafe { nix::libc::setpriority(nix::libc::PRIO_PROCESS, 0, LEAST) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the field `nice` of `/proc/thread-self/stat` (`proc_pid_stat(5)`), the 19th; behind the name there are no brackets.
    fn nice() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let (_, behind) = stat.rsplit_once(')').unwrap();
        behind.split_whitespace().nth(16).unwrap().parse().unwrap()
    }

    #[test]
    fn only_the_calling_thread_and_its_children_give_way() {
        let before = nice();
        let (own, child) = std::thread::spawn(|| {
            give_way().unwrap();
            (nice(), std::thread::spawn(nice).join().unwrap())
        })
        .join()
        .unwrap();
        assert_eq!((own, child, nice()), (LEAST, LEAST, before));
    }
}
