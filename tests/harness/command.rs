//! Runs programs inside a namespace to their end, and says what they said. They end with the test, and a stuck one is ended.

use std::process::{Command, Output};

use culvert_lab::Pod;
use culvert_sys::child::{die_with_parent, start_in};
use culvert_sys::netns::Netns;

/// A program takes longer only when it is stuck.
const PATIENCE: &str = "20";

/// Runs a program in a pod; gives back what it wrote, as an error when it failed.
pub(crate) fn run(pod: &Pod, words: &[&str]) -> Result<String, String> {
    run_in(pod.netns(), words)
}

/// Runs a program in a namespace; gives back what it wrote, as an error when it failed.
pub(crate) fn run_in(netns: &Netns, words: &[&str]) -> Result<String, String> {
    let output = output_in(netns, words);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    Err(format!("{} {said}{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// Runs a program that takes long, for so many seconds at most; gives back what it wrote, as an error when it failed.
#[track_caller]
pub(crate) fn run_long_in(netns: &Netns, seconds: u32, words: &[&str]) -> Result<String, String> {
    let output = output_within(netns, &seconds.to_string(), words);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(said) } else { Err(format!("{} {said}", output.status)) }
}

/// Runs a program in a namespace, whatever comes of it.
#[track_caller]
pub(crate) fn output_in(netns: &Netns, words: &[&str]) -> Output {
    output_within(netns, PATIENCE, words)
}

#[track_caller]
fn output_within(netns: &Netns, patience: &str, words: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.arg(patience).args(words);
    start_in(&mut command, netns).unwrap();
    die_with_parent(&mut command).output().unwrap()
}
