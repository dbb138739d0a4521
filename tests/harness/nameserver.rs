//! A nameserver nobody here wrote: dnsmasq, in a pod of its own; and what asks it.

use std::net::IpAddr;
use std::process::Command;

use culvert_lab::{Error, Lab, Launch, Pod, Program};
use culvert_sys::child::{die_with_parent, start_in};

use super::talk::SOON;

/// A program takes longer only when it is stuck.
const PATIENCE: &str = "20";

/// Starts a dnsmasq that knows nothing of `example` and `local` but what `options` say, and nobody else's names.
pub(crate) fn start(
    lab: &Lab,
    pod: &Pod,
    options: impl IntoIterator<Item = String>,
) -> Result<Program, Error> {
    let launch = Launch::new(pod.name(), "dnsmasq", pod.netns())
        .arg("--keep-in-foreground")
        .arg("--conf-file=/dev/null")
        .arg("--pid-file=")
        .arg("--user=root")
        .arg("--no-resolv")
        .arg("--no-hosts")
        .arg("--local=/example/")
        .arg("--local=/local/")
        .arg("--local-ttl=300")
        .arg("--log-queries")
        .arg("--log-facility=-");
    let program = lab.start(options.into_iter().fold(launch, Launch::arg))?;
    program.wait_for_log("started", SOON)?;
    Ok(program)
}

/// The queries for a name a dnsmasq has had: who asked.
pub(crate) fn queries(nameserver: &Program, name: &str) -> Vec<IpAddr> {
    let (text, name) = (nameserver.log_text(), format!(" {name} from "));
    let asked = text.lines().filter(|line| line.contains("query[") && line.contains(&name));
    asked.filter_map(|line| line.rsplit_once(" from ")?.1.trim().parse().ok()).collect()
}

/// Asks `server` as dig does, from a pod; that nobody answers is an error.
pub(crate) fn dig(pod: &Pod, server: IpAddr, words: &str) -> Result<String, String> {
    let server = format!("@{server}");
    let mut all = vec!["dig", &server, "+tries=1", "+timeout=9", "+nocookie"];
    all.extend(words.split_whitespace());
    run(pod, &all)
}

/// Runs a program in a pod to its end; gives back what it said, as an error when it failed.
pub(crate) fn run(pod: &Pod, words: &[&str]) -> Result<String, String> {
    let mut command = Command::new("timeout");
    command.arg(PATIENCE).args(words);
    start_in(&mut command, pod.netns()).unwrap();
    let output = die_with_parent(&mut command).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    Err(format!("{} {said}{}", output.status, String::from_utf8_lossy(&output.stderr)))
}
