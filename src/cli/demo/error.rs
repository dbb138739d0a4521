//! Why a demo did not end well. Each is one line a person can act on.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Lab(#[from] culvert_lab::Error),
    #[error("cannot find this program's own file, beside which the others should be")]
    Whereabouts(#[source] io::Error),
    #[error("{} is missing; build all programs with `cargo build --workspace --bins`, or run `make demo`", path.display())]
    MissingProgram { path: PathBuf },
    #[error("cannot listen for Ctrl-C")]
    Signals(#[source] io::Error),
    #[error("interrupted by {signal}")]
    Interrupted { signal: &'static str },
    #[error("{failed} of {total} checks failed")]
    ChecksFailed { failed: usize, total: usize },
}
