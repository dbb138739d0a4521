//! What a Culvert program gives up once it has started: capabilities, system calls, files, dumps of its memory.
//!
//! In goes a [`Profile`], which says what one program needs, and [`Switches`], which say what the operator wants of it; out comes a
//! [`Report`] of what is in force and what the kernel has refused. Nothing here can be taken back, neither by the program nor by what it
//! starts.
//!
//! - [`capability`]: which capabilities stay, in all five sets
//! - [`calls`]: which system calls are answered (seccomp)
//! - [`files`]: which files can be seen (Landlock)
//! - [`memory`]: who may read the memory
//!
//! All of it concerns the thread that asks and those it starts later; so it is done in `main`, before there are any others. It deliberately
//! stops no program that a kernel helps less: what is lacking is named in the log, and whoever wants to insist looks there.

pub mod calls;
pub mod capability;
pub mod files;
pub mod memory;
mod report;
mod switches;

pub use caps::Capability;

pub use calls::Calls;
pub use files::Files;
pub use memory::Memory;
pub use report::Report;
pub use switches::{Invalid, Switch, Switches};

/// What one program needs for as long as it runs. Everything else is given up.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The capabilities that stay, as far as they are there at the start.
    pub capabilities: &'static [Capability],
    /// The system calls that are answered.
    pub calls: Calls,
    /// The files that can be seen.
    pub files: Files,
    /// Who may read its memory.
    pub memory: Memory,
}

impl Profile {
    /// Gives up everything else: in this thread, and in all that are started after.
    #[must_use]
    pub fn enter(&self, switches: Switches) -> Report {
        let mut report = Report::default();
        report.memory(self.memory.protect());
        // While CAP_SETPCAP is there: the bounding set needs it.
        report.capabilities(capability::keep(self.capabilities));
        report.privileges(no_new_privileges());
        report.files(self.files.restrict(switches.files));
        // Last: it would refuse what makes the others.
        report.calls(self.calls.filter(switches.calls));
        report
    }
}

/// `no_new_privs` (prctl(2)): no program that is started has more than the one that starts it, whatever its file says.
fn no_new_privileges() -> std::io::Result<()> {
    Ok(nix::sys::prctl::set_no_new_privs()?)
}
