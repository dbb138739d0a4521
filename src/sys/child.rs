//! Child processes that start inside a network namespace and die with the thread that started them.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

use crate::netns::Netns;

/// Makes the command start inside `netns`; everything it makes lives there.
///
/// # Errors
/// When the process is out of descriptors.
#[expect(unsafe_code, reason = "pre_exec has no safe wrapper")]
pub fn start_in<'c>(command: &'c mut Command, netns: &Netns) -> io::Result<&'c mut Command> {
    let netns = netns.try_clone()?;
    // SAFETY: setns(2) is a plain system call: it neither allocates nor takes locks between fork and exec.
    Ok(unsafe {
        command.pre_exec(move || {
            let fd = std::os::fd::AsFd::as_fd(&netns);
            debug_assert!(fd.as_raw_fd() >= 0);
            Ok(nix::sched::setns(fd, nix::sched::CloneFlags::CLONE_NEWNET)?)
        })
    })
}

/// Has the kernel send `SIGKILL` to the child when the thread that starts it ends (`PR_SET_PDEATHSIG`), so that a
/// killed parent leaves nothing running.
#[expect(unsafe_code, reason = "pre_exec has no safe wrapper")]
pub fn die_with_parent(command: &mut Command) -> &mut Command {
    let parent = nix::unistd::getpid();
    // SAFETY: prctl(2) and getppid(2) are plain system calls: no allocation and no locks between fork and exec.
    unsafe {
        command.pre_exec(move || {
            set_pdeathsig(Signal::SIGKILL)?;
            // The parent may have died before the call above; then nobody will send the signal.
            if nix::unistd::getppid() != parent {
                return Err(io::Error::other("the parent is gone"));
            }
            Ok(())
        })
    }
}
