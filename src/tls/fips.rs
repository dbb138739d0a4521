//! Whether cryptography is that of a module validated for FIPS 140-3: chosen when a program is built (`--features fips`), checked when it
//! starts.
//!
//! In goes nothing; out comes the name of the module, and whether it may be used. What the validation of a module covers is not judged here.

use rustls::crypto::aws_lc_rs::default_provider;

/// Whether this program was built with the validated module.
pub const BUILT: bool = cfg!(feature = "fips");

/// What cryptography is done by.
pub const MODULE: &str = if BUILT { "aws-lc-fips" } else { "aws-lc" };

/// This program was built for FIPS 140-3 and cannot keep to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this program was built to use cryptography validated for FIPS 140-3 alone, and the module it finds is not in that mode; \
     build it again with `--features fips`, or one without"
)]
pub struct NotApproved;

/// Says whether this program may go on.
///
/// # Errors
/// When it was built for FIPS 140-3 and is not in that mode.
pub fn check() -> Result<(), NotApproved> {
    judge(BUILT, default_provider().fips())
}

fn judge(is_built: bool, is_approved: bool) -> Result<(), NotApproved> {
    if is_built && !is_approved { Err(NotApproved) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_built_for_it_goes_on_in_that_mode_only() {
        assert_eq!(judge(true, true), Ok(()));
        assert_eq!(judge(true, false), Err(NotApproved));
        assert_eq!(judge(false, false), Ok(()));
    }

    #[test]
    fn the_module_is_the_one_that_was_chosen() {
        assert_eq!(default_provider().fips(), BUILT);
        assert_eq!(check(), Ok(()));
    }
}
