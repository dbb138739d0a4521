//! Runs the system's tools inside a pod.

use std::process::{Command, Stdio};

use culvert_sys::child::{die_with_parent, start_in};
use culvert_sys::netns::Netns;

use super::error::{Doing as _, Error};

/// Runs a command, given as words with single spaces in between, to its end; gives back what it wrote to stdout.
pub(super) fn run_in(netns: &Netns, line: &str) -> Result<String, Error> {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).stdin(Stdio::null());
    let doing = || format!("run `{line}`");
    start_in(&mut command, netns).doing(doing)?;
    let output = die_with_parent(&mut command).output().doing(doing)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Tool { command: line.to_owned(), output: format!("{}: {said}", output.status) })
}
