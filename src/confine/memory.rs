//! Who may read the memory of this process: keys are in it.
//!
//! A dump of it is never written, by size (`RLIMIT_CORE`), nor given to a program that collects dumps, which asks for no size
//! (`PR_SET_DUMPABLE`). The latter keeps other processes of the same user from reading it, too.

use std::io;

use caps::{CapSet, Capability};
use nix::sys::prctl::set_dumpable;
use nix::sys::resource::{Resource, setrlimit};

/// Who has to be able to look into this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Nobody.
    Closed,
    /// The programs it starts look for its descriptors in `/proc`, which takes `CAP_SYS_PTRACE` when it is closed.
    OpenToChildren,
}

impl Memory {
    /// Keeps the memory of this process where it is.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn protect(self) -> io::Result<()> {
        setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
        let closed = match self {
            Self::Closed => true,
            Self::OpenToChildren => caps::has_cap(None, CapSet::Effective, Capability::CAP_SYS_PTRACE)
                .map_err(io::Error::other)?,
        };
        if closed {
            set_dumpable(false)?;
        }
        Ok(())
    }
}
