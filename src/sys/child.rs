//! Child processes that start inside a network namespace and die with the thread that started them, and waiting for
//! them with a deadline.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus};
use std::time::Instant;

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

/// Waits for the child to end, until `deadline` at most: `None` means that it still runs.
///
/// # Errors
/// When the process is out of descriptors.
pub fn wait_until(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    let pidfd = pidfd_of(child)?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        // Rounded up, so that the last turn does not spin through the remaining fraction of a millisecond.
        let millis = i32::try_from(left.as_millis()).unwrap_or(i32::MAX).saturating_add(1);
        wait_readable(&pidfd, millis)?;
    }
}

/// `pidfd_open(2)`: a descriptor that becomes readable when the child ends. The child is not reaped by others, so its
/// number still means this child.
#[expect(unsafe_code, reason = "pidfd_open has no safe wrapper")]
fn pidfd_of(child: &Child) -> io::Result<OwnedFd> {
    // SAFETY: plain system call with two integers.
    let fd = unsafe { nix::libc::syscall(nix::libc::SYS_pidfd_open, child.id(), 0) };
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave this descriptor to us; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `poll(2)` for one descriptor; a signal or the time-out both just return.
#[expect(unsafe_code, reason = "the poll feature of nix is not enabled for one call")]
fn wait_readable(fd: &OwnedFd, millis: i32) -> io::Result<()> {
    let mut entry = nix::libc::pollfd { fd: fd.as_raw_fd(), events: nix::libc::POLLIN, revents: 0 };
    // SAFETY: one valid, exclusively borrowed entry for the length of the call.
    let ready = unsafe { nix::libc::poll(&raw mut entry, 1, millis) };
    let error = io::Error::last_os_error();
    if ready < 0 && error.kind() != io::ErrorKind::Interrupted {
        return Err(error);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_child_that_ends_is_reported_with_its_status() {
        let mut child = Command::new("sh").args(["-c", "exit 3"]).spawn().unwrap();
        let status = wait_until(&mut child, Instant::now() + Duration::from_secs(10)).unwrap();
        assert_eq!(status.and_then(|status| status.code()), Some(3));
    }

    #[test]
    fn a_child_that_hangs_is_left_running_at_the_deadline() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let status = wait_until(&mut child, Instant::now() + Duration::from_millis(50)).unwrap();
        assert_eq!(status, None);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
