//! The programs people type the names of.

use std::path::PathBuf;

use crate::harness::cluster::programs;

/// The directory they are in.
pub(super) fn directory() -> PathBuf {
    let node = programs().unwrap().agent;
    node.parent().expect("a program is in a directory").to_owned()
}

/// Where a shell looks for programs: ours first.
pub(super) fn path() -> String {
    format!("PATH={}:{}", directory().display(), std::env::var("PATH").unwrap())
}
