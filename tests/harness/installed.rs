//! Where the programs are that `tests/peers/setup.sh` installs.

use std::path::{Path, PathBuf};

/// The path of one of them.
///
/// # Panics
/// When it is not there.
#[track_caller]
pub(crate) fn installed(name: &str) -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let target = tmp.parent().expect("the directory is inside cargo's target");
    let program = target.join("peers/bin").join(name);
    assert!(program.exists(), "{} is missing; run tests/peers/setup.sh (make test does)", program.display());
    program
}
