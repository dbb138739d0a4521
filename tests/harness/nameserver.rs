//! A nameserver nobody here wrote: dnsmasq, in a pod of its own; and what asks it.

use std::net::IpAddr;

use culvert_lab::{Error, Lab, Launch, Pod, Program};

use super::command::run;
use super::talk::SOON;

/// Starts a dnsmasq that knows nothing of `example` and `local` but what `options` say, and nobody else's names.
pub(crate) fn start(
    lab: &Lab,
    pod: &Pod,
    options: impl IntoIterator<Item = String>,
) -> Result<Program, Error> {
    let own = ["--local=/example/", "--local=/local/", "--local-ttl=300"].map(str::to_owned);
    launch(lab, pod, own.into_iter().chain(options))
}

/// Starts a dnsmasq that asks another nameserver about everything.
pub(crate) fn forward(lab: &Lab, pod: &Pod, to: IpAddr) -> Result<Program, Error> {
    launch(lab, pod, [format!("--server={to}")])
}

fn launch(lab: &Lab, pod: &Pod, options: impl IntoIterator<Item = String>) -> Result<Program, Error> {
    let launch = Launch::new(pod.name(), "dnsmasq", pod.netns())
        .arg("--keep-in-foreground")
        .arg("--conf-file=/dev/null")
        .arg("--pid-file=")
        .arg("--user=root")
        .arg("--no-resolv")
        .arg("--no-hosts")
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
