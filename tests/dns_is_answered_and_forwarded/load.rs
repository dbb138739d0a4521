//! Many queries at once, as dnsperf asks them.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::rig::Rig;
use super::{SOON, WEB};
use crate::harness::command::run;
use crate::harness::kernel::belongings;

/// Names of others that are asked for in turn: far more answers than a pod's cache has room for.
const NAMES: usize = 3000;
/// What a node may take more than before while it is busy with one pod: sockets, and bytes.
const SOCKETS: usize = 400;
const BYTES: u64 = 24 << 20;

/// Has dnsperf ask for three seconds; gives back what it says.
fn perform(rig: &Rig, server: IpAddr, mode: &str, file: &str) -> String {
    let server = server.to_string();
    let words = [
        "dnsperf", "-s", &server, "-m", mode, "-d", file, "-l", "3", "-c", "8", "-T", "1", "-q", "100", "-t",
        "5",
    ];
    run(&rig.client, &words).unwrap()
}

/// The number behind `name` in what dnsperf says.
fn number(said: &str, name: &str) -> u64 {
    let line = said.lines().find_map(|line| line.trim().strip_prefix(name));
    let word = line.and_then(|line| line.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{name} is not in {said}"))
}

#[test]
fn nothing_is_lost_under_load_and_what_it_takes_is_bounded() {
    let rig = Rig::start_with("dns-load", &[("RUST_LOG", "info")]).unwrap();
    let file = rig.lab.directory().join("queries");
    let mut queries = String::new();
    for number in 0..NAMES {
        write!(queries, "{WEB} A\n{WEB} AAAA\nentry.example A\nweb.default A\nname{number}.load.example A\n")
            .unwrap();
    }
    std::fs::write(&file, queries).unwrap();
    let before = belongings(&rig.proxy);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watched = scope.spawn(|| {
            let mut most = before;
            while !done.load(Ordering::SeqCst) {
                let now = belongings(&rig.proxy);
                most = (most.0.max(now.0), most.1.max(now.1));
                std::thread::sleep(Duration::from_millis(20));
            }
            most
        });
        let said: Vec<String> =
            [(rig.cluster.ip4(), "udp"), (rig.cluster.ip6(), "udp"), (rig.cluster.ip4(), "tcp")]
                .into_iter()
                .map(|(server, mode)| perform(&rig, server, mode, file.to_str().unwrap()))
                .collect();
        done.store(true, Ordering::SeqCst);
        for said in said {
            let sent = number(&said, "Queries sent:");
            assert!(sent > 1000, "{said}");
            assert_eq!(number(&said, "Queries completed:"), sent, "{said}");
            assert_eq!(number(&said, "Response codes:       NOERROR"), sent, "{said}");
        }
        let most = watched.join().unwrap();
        assert!(
            most.0 < before.0 + SOCKETS && most.1 < before.1 + BYTES,
            "{before:?} before, {most:?} at most"
        );
    });
    let is_as_before = || belongings(&rig.proxy).0 <= before.0;
    rig.lab.wait_until(SOON, "all sockets are closed again", is_as_before).unwrap();
}
