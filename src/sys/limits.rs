//! Open-file limits and the privileges the data plane cannot work without.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

use crate::netns::Netns;

/// Raises the soft limit on open files to the hard one; returns the limit in force.
///
/// # Errors
/// When the kernel refuses, which leaves the old limit.
pub fn raise_open_files() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

/// How many files this process may have open at the moment.
///
/// # Errors
/// When the kernel does not say.
pub fn open_files() -> io::Result<u64> {
    Ok(getrlimit(Resource::RLIMIT_NOFILE)?.0)
}

/// Whether something failed because this process, or the whole machine, has too many files open.
#[must_use]
pub fn is_for_lack_of_descriptors(error: &io::Error) -> bool {
    [nix::libc::EMFILE, nix::libc::ENFILE].map(Some).contains(&error.raw_os_error())
}

/// Checks that this process may enter network namespaces (`CAP_SYS_ADMIN`).
///
/// # Errors
/// The kernel's refusal.
pub fn may_enter_namespaces() -> io::Result<()> {
    Netns::current()?.run(|| ())
}

/// Checks that this process may mark packets (`CAP_NET_ADMIN` or `CAP_NET_RAW`).
///
/// # Errors
/// The kernel's refusal.
pub fn may_mark_packets(mark: u32) -> io::Result<()> {
    Socket::new(Domain::IPV4, Type::STREAM, None)?.set_mark(mark)
}
