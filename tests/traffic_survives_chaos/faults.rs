//! Breaks things, and mends them again.

use std::fs;
use std::process::Command;
use std::time::Duration;

use culvert_lab::{Fate, Fault as Packets, Launch, Node, wait_until};

use crate::harness::command::run_in;
use crate::harness::traffic::town::{Part, Town};

use super::chance::{Fault, Side};
use super::clock::{self, Wrong};

/// What is broken. It is mended by [`mend`](Self::mend).
pub(super) enum Broken {
    Program(Part),
    Paused(Part),
    Packets(Packets),
    /// Commands for a node that undo it.
    Node(Side, Vec<Vec<String>>),
    SmallPackets,
    Unplugged(Side, Vec<String>),
    Limited(Side),
    Clock(Wrong),
    NoRoom(Part),
    Revoked,
}

/// The largest packet of a link that nobody has said anything about.
const USUAL: u32 = 1500;
/// A limit nobody reaches.
const UNLIMITED: &str = "unlimited";
/// How long a wire takes to be usable again.
const PATIENCE: Duration = Duration::from_secs(10);

/// How programs of a town that may be broken are started: with a clock that can be put wrong, certificates and tunnels that do not live
/// long, and a list of what is revoked.
pub(super) fn settings(town: &Town, part: Part, launch: Launch) -> Launch {
    let launch = match part {
        Part::Node(side) => launch
            .env("POOL_UNUSED_RELEASE_TIMEOUT", "2s")
            .env("SECRET_TTL", "60s")
            // Who has no tunnel and whose last word was lost is found out before it is looked whether all is as before.
            .env("KEEPALIVE_TIME", "5s")
            .env("KEEPALIVE_INTERVAL", "5s")
            .env("KEEPALIVE_RETRIES", "3")
            .env("CULVERT_HALF_CLOSED_PROBE", "3s")
            .env("CRL_PATH", Town::revocation_file(&town.nodes[side]).display())
            .env("CULVERT_ADMIN_SOCKET", town.written_by(part).display()),
        Part::Control | Part::Agent(_) => launch,
        Part::Waypoint => return launch,
    };
    clock::settable(town, part, launch)
}

impl Broken {
    /// Breaks something.
    #[track_caller]
    pub(super) fn new(town: &Town, fault: Fault) -> Self {
        match fault {
            Fault::Kill(part) => {
                town.program(part).kill_hard().unwrap();
                Self::Program(part)
            }
            Fault::FullDisk(side) => {
                town.program(Part::Node(side)).kill_hard().unwrap();
                town.run_with(Part::Node(side), |launch| {
                    launch.stdout(fs::File::options().write(true).open("/dev/full").unwrap())
                });
                Self::Program(Part::Node(side))
            }
            Fault::Pause(part) => {
                town.program(part).pause().unwrap();
                Self::Paused(part)
            }
            Fault::Lossy(side, percent) => {
                let fate = if percent == 100 { Fate::Dropped } else { Fate::Lossy(percent) };
                let wire = interface(town, side);
                Self::Packets(town.lab.break_packets(&town.nodes[side], &["-o", &wire], fate).unwrap())
            }
            Fault::Doubled(side, percent) => doubled(town, side, percent),
            Fault::Narrow(side, rate) => narrow(town, side, rate),
            Fault::SmallPackets(most) => small_packets(town, most),
            Fault::Unplugged(side) => unplugged(town, side),
            Fault::FewFiles(side, more) => {
                let program = town.program(Part::Node(side));
                let open = fs::read_dir(format!("/proc/{}/fd", program.pid())).map_or(0, Iterator::count);
                limit(town, side, &format!("--nofile={}:", open + more as usize));
                Self::Limited(side)
            }
            Fault::LittleMemory(side, more) => {
                limit(town, side, &format!("--as={}:", (size(town, side) + u64::from(more)) * 1024));
                Self::Limited(side)
            }
            Fault::Clock(part, hours) => Self::Clock(Wrong::by(town, part, hours)),
            Fault::NoRoom(part) => {
                no_room(town, part);
                Self::NoRoom(part)
            }
            Fault::Revoked => {
                town.revoke(true);
                Self::Revoked
            }
        }
    }

    /// Mends it.
    #[track_caller]
    pub(super) fn mend(self, town: &Town) {
        match self {
            Self::Program(part) => town.run(part),
            Self::Paused(part) => town.program(part).resume().unwrap(),
            Self::Packets(packets) => packets.heal().unwrap(),
            Self::Node(side, commands) => {
                commands.iter().for_each(|command| run(&town.nodes[side], command));
            }
            Self::SmallPackets => set_largest(town, USUAL),
            Self::Unplugged(side, routes) => plug(&town.nodes[side], &interface(town, side), &routes),
            Self::Limited(side) => {
                // One that has been ended by it is started without.
                town.run(Part::Node(side));
                limit(town, side, "--nofile=20000:");
                limit(town, side, &format!("--as={UNLIMITED}:"));
            }
            Self::Clock(wrong) => wrong.put_right(town),
            Self::NoRoom(part) => {
                if !town.program(part).is_running() {
                    town.journal.violated(format!("{part:?} ended because there was no room on its disk"));
                }
                town.disk(part).clear().unwrap();
                town.run(part);
            }
            Self::Revoked => town.revoke(false),
        }
    }
}

/// The interface of a node that leads to the other one.
fn interface(town: &Town, side: Side) -> String {
    format!("to-{}", town.nodes[1 - side].name())
}

#[track_caller]
fn run(node: &Node, words: &[String]) {
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    run_in(node.netns(), &words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[track_caller]
fn doubled(town: &Town, side: Side, percent: u8) -> Broken {
    let (wire, other) = (interface(town, side), &town.nodes[1 - side]);
    let rule = |action: &str, tool: &str, via: String| {
        words(&format!(
            "{tool} -w 5 -t mangle {action} FORWARD -o {wire} -m statistic --mode random --probability 0.{percent:02} \
             -j TEE --gateway {via}"
        ))
    };
    let rules = |action| {
        vec![
            rule(action, "iptables", other.ip4().to_string()),
            rule(action, "ip6tables", other.ip6().to_string()),
        ]
    };
    rules("-I").iter().for_each(|command| run(&town.nodes[side], command));
    Broken::Node(side, rules("-D"))
}

#[track_caller]
fn narrow(town: &Town, side: Side, rate: u32) -> Broken {
    let wire = interface(town, side);
    run(
        &town.nodes[side],
        &words(&format!("tc qdisc add dev {wire} root tbf rate {rate}kbit burst 32k latency 100ms")),
    );
    Broken::Node(side, vec![words(&format!("tc qdisc del dev {wire} root"))])
}

/// Both ends have the same: neither takes packets larger than it may send.
#[track_caller]
fn small_packets(town: &Town, most: u32) -> Broken {
    set_largest(town, most);
    Broken::SmallPackets
}

#[track_caller]
fn set_largest(town: &Town, most: u32) {
    for side in [0, 1] {
        let wire = interface(town, side);
        run(&town.nodes[side], &words(&format!("ip link set {wire} mtu {most}")));
    }
}

#[track_caller]
fn unplugged(town: &Town, side: Side) -> Broken {
    let (node, wire) = (&town.nodes[side], interface(town, side));
    let show = |family: &str| run_in(node.netns(), &["ip", family, "route", "show", "dev", &wire]).unwrap();
    let routes = ["-4", "-6"].iter().flat_map(|family| {
        let lines = show(family);
        let via: Vec<_> = lines.lines().filter(|line| line.contains(" via ")).map(str::to_owned).collect();
        via.into_iter().map(move |line| format!("ip {family} route replace {line} dev"))
    });
    let routes = routes.map(|route| format!("{route} {wire}")).collect();
    let keep = format!("/proc/sys/net/ipv6/conf/{wire}/keep_addr_on_down");
    node.netns().run(|| fs::write(&keep, "1")).unwrap().unwrap();
    run(node, &words(&format!("ip link set {wire} down")));
    Broken::Unplugged(side, routes)
}

#[track_caller]
fn plug(node: &Node, wire: &str, routes: &[String]) {
    run(node, &words(&format!("ip link set {wire} up")));
    for route in routes {
        let command = words(route.trim());
        let command: Vec<_> = command.iter().map(String::as_str).collect();
        // The way to the next hop is made in the background.
        let is_there = || run_in(node.netns(), &command).is_ok();
        wait_until(PATIENCE, &format!("`{route}` is possible again"), is_there).unwrap();
    }
}

/// Kilobytes of address space that a node's proxy has.
fn size(town: &Town, side: Side) -> u64 {
    let path = format!("/proc/{}/status", town.program(Part::Node(side)).pid());
    let status = fs::read_to_string(path).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

/// Starts a program anew, as after a boot: what it writes is not there, and there is no room for it.
#[track_caller]
fn no_room(town: &Town, part: Part) {
    let (disk, written) = (town.disk(part), town.written_by(part));
    town.program(part).kill_hard().unwrap();
    if written.exists() {
        fs::remove_file(&written).unwrap();
    }
    disk.fill().unwrap();
    town.run(part);
}

/// Limits a node's proxy, if it runs.
fn limit(town: &Town, side: Side, what: &str) {
    let pid = town.program(Part::Node(side)).pid().to_string();
    // It may just have ended: then there is nothing to limit.
    let _ = Command::new("prlimit").args(["--pid", &pid, what]).output();
}
