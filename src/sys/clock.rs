//! Whether anybody keeps this machine's clock right (`adjtimex(2)`).

use std::io;
use std::time::Duration;

/// What the kernel knows of its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discipline {
    /// Whether some program says that it keeps the clock right.
    pub is_synchronised: bool,
    /// By how much the clock may be wrong, as that program says; it grows while nobody says anything.
    pub largest_error: Duration,
}

/// Asks the kernel. Changes nothing and needs no privilege.
///
/// # Errors
/// When the kernel does not answer, as in some sandboxes.
#[expect(unsafe_code, reason = "adjtimex has no safe wrapper")]
pub fn discipline() -> io::Result<Discipline> {
    // SAFETY: `timex` is a plain C structure of numbers, for which all zeros is a valid value.
    let mut asked: nix::libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is valid and exclusively borrowed for the call; with `modes` 0 the kernel only fills it.
    let state = unsafe { nix::libc::adjtimex(&raw mut asked) };
    if state < 0 {
        return Err(io::Error::last_os_error());
    }
    let is_synchronised = state != nix::libc::TIME_ERROR && asked.status & nix::libc::STA_UNSYNC == 0;
    let largest_error = Duration::from_micros(u64::try_from(asked.maxerror).unwrap_or(0));
    Ok(Discipline { is_synchronised, largest_error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_answers_the_same_twice() {
        let (first, second) = (discipline().unwrap(), discipline().unwrap());
        assert_eq!(first.is_synchronised, second.is_synchronised);
        assert!(second.largest_error < Duration::from_secs(3600), "{second:?}");
    }
}
