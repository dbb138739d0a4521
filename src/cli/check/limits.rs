//! How much this machine lets a program have: descriptors, memory, processor time, queues.

use std::io;

use super::Context;
use super::catalogue::Family;
use super::finding::{Check, Finding, Verdict};
use super::sight::Sight;

pub(crate) const FAMILY: Family =
    Family { name: "limits", checks: &[&FILES, &TABLE, &QUEUE, &BACKLOG, &MEMORY, &PROCESSOR], look };

const FILES: Check = Check {
    name: "open-files",
    why: "the node has two descriptors for each connection, the agent five for each pod; at the limit new ones are refused",
};
const TABLE: Check = Check {
    name: "file-table",
    why: "when the machine's own limit on open files is reached, everybody's connections fail",
};
const QUEUE: Check = Check {
    name: "accept-queue",
    why: "connections that come faster than they are accepted are dropped beyond it",
};
const BACKLOG: Check = Check {
    name: "packet-backlog",
    why: "captured packets go through it once more, over the pod's loopback interface",
};
const MEMORY: Check = Check {
    name: "memory-limit",
    why: "a node that is killed for lack of memory cuts all connections of its pods",
};
const PROCESSOR: Check =
    Check { name: "cpu-limit", why: "a node that is throttled delays every connection of its pods" };

/// What the node asks for with `listen(2)`.
const ACCEPT_QUEUE: u64 = culvert_sys::tcp::BACKLOG as u64;

fn look(context: &Context<'_>) -> Vec<Finding> {
    let here = &context.here;
    let (subject, whose) = subject(context);
    let limits = here.read(&format!("/proc/{subject}/limits")).and_then(|text| open_files(&text));
    let files = limits.and_then(|limits| Ok((limits, here.number("/proc/sys/fs/nr_open")?)));
    let group = here.read(&format!("/proc/{subject}/cgroup")).map(|text| Group::of(&text));
    vec![
        FILES.judged(files, |(limits, most)| descriptors(limits, most, &whose)),
        TABLE.judged(here.read("/proc/sys/fs/file-nr"), |text| machine(&text)),
        QUEUE.judged(here.number("/proc/sys/net/core/somaxconn"), queue),
        BACKLOG.finding(backlog(here)),
        MEMORY
            .judged(group.as_ref().map_err(super::kernel::again), |group| memory(group.memory(here), &whose)),
        PROCESSOR.judged(group.as_ref().map_err(super::kernel::again), |group| {
            processor(group.processor(here), &whose)
        }),
    ]
}

/// Whose limits are looked at: those of the node that runs here, else those of this process, which a node would inherit.
fn subject(context: &Context<'_>) -> (String, String) {
    let number = context.options.control.environment_of();
    let node = context.running(&["culvert-node"]).next().map(|process| process.number);
    match number.or(node) {
        Some(number) => (number.to_string(), format!("process {number}")),
        None => ("self".to_owned(), "this shell".to_owned()),
    }
}

/// Soft and hard, as `/proc/PID/limits` says.
fn open_files(limits: &str) -> io::Result<[u64; 2]> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let number = |word: &str| if word == "unlimited" { Some(u64::MAX) } else { word.parse().ok() };
    let numbers: Option<Vec<u64>> =
        line.map(|line| line.split_whitespace().take(2).map_while(number).collect());
    match numbers.as_deref() {
        Some([soft, hard]) => Ok([*soft, *hard]),
        Some(_) | None => Err(io::Error::other("/proc/PID/limits names no limit on open files")),
    }
}

fn descriptors([soft, hard]: [u64; 2], most: u64, whose: &str) -> Verdict {
    let found = format!("{whose} may open {soft} files, {hard} at most; the kernel allows {most}");
    let remedy = "raise it in the runtime's unit: systemctl edit containerd, [Service] LimitNOFILE=1048576";
    match hard {
        0..4096 => Verdict::problem(found, remedy),
        4096..65536 => Verdict::warning(found, remedy),
        65536.. => Verdict::ok(found),
    }
}

/// Reads how many files are open, how many of those are free, and how many there may be.
fn machine(file_nr: &str) -> Verdict {
    let numbers: Vec<u64> = file_nr.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [open, free, most] = numbers[..] else {
        return Verdict::unknown("/proc/sys/fs/file-nr makes no sense", "see: cat /proc/sys/fs/file-nr");
    };
    let used = open.saturating_sub(free);
    let found = format!("{used} of {most} files of the machine are open");
    share(used, most, found, &format!("sysctl -w fs.file-max={}", most.saturating_mul(2)))
}

/// What a part of something that is used up means.
pub(super) fn share(used: u64, most: u64, found: String, remedy: &str) -> Verdict {
    let used = u128::from(used) * 100;
    match u128::from(most) {
        most if used >= most * 90 => Verdict::problem(found, remedy),
        most if used >= most * 70 => Verdict::warning(found, remedy),
        _ => Verdict::ok(found),
    }
}

fn queue(longest: u64) -> Verdict {
    let found = format!("net.core.somaxconn is {longest}");
    if longest < ACCEPT_QUEUE {
        return Verdict::warning(found, format!("sysctl -w net.core.somaxconn={ACCEPT_QUEUE}"));
    }
    Verdict::ok(found)
}

fn backlog(here: &Sight) -> Verdict {
    match here.number("/proc/sys/net/core/netdev_max_backlog") {
        // Namespaces other than the first do not have it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Verdict::ok("set by the host's own namespace")
        }
        Err(error) => Verdict::unseen(&error),
        Ok(longest) => packets(longest, counted(&here.read("/proc/net/softnet_stat").unwrap_or_default())),
    }
}

/// The first two columns of each processor's line, in hexadecimal: how many packets there were, and how many were dropped.
fn counted(softnet: &str) -> [u64; 2] {
    let of = |column: usize| {
        let number = |line: &str| u64::from_str_radix(line.split_whitespace().nth(column)?, 16).ok();
        softnet.lines().filter_map(number).sum()
    };
    [of(0), of(1)]
}

fn packets(longest: u64, [all, dropped]: [u64; 2]) -> Verdict {
    let found =
        format!("net.core.netdev_max_backlog is {longest}; {dropped} of {all} packets were dropped at it");
    // One in ten thousand is felt by every long connection.
    if longest < 1000 || dropped.saturating_mul(10_000) > all {
        return Verdict::warning(
            found,
            format!("sysctl -w net.core.netdev_max_backlog={}", longest.max(1000) * 2),
        );
    }
    Verdict::ok(found)
}

/// Where the limits of a control group are: of version 2, and of the two controllers of version 1.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    unified: Option<String>,
    memory: Option<String>,
    processor: Option<String>,
}

impl Group {
    /// Reads `hierarchy:controllers:path` (`cgroups(7)`).
    fn of(text: &str) -> Self {
        let find = |wanted: &str| {
            let path = |line: &str| {
                let mut parts = line.splitn(3, ':').skip(1);
                let (controllers, path) = (parts.next()?, parts.next()?);
                let is_it = controllers.split(',').any(|controller| controller == wanted);
                is_it.then(|| path.trim_end_matches('/').to_owned())
            };
            text.lines().find_map(path)
        };
        Self { unified: find(""), memory: find("memory"), processor: find("cpu") }
    }

    /// Bytes; `None` without a limit.
    fn memory(&self, here: &Sight) -> Option<u64> {
        let unified = self.unified.iter().map(|path| format!("/sys/fs/cgroup{path}/memory.max"));
        let old = self.memory.iter().map(|path| format!("/sys/fs/cgroup/memory{path}/memory.limit_in_bytes"));
        // Version 1 says "no limit" with a number that no machine has.
        unified.chain(old).find_map(|path| here.number(&path).ok()).filter(|bytes| *bytes < 1 << 60)
    }

    /// Thousandths of a processor; `None` without a limit.
    fn processor(&self, here: &Sight) -> Option<u64> {
        let unified =
            self.unified.iter().find_map(|path| here.read(&format!("/sys/fs/cgroup{path}/cpu.max")).ok());
        let old = || {
            let read = |name| {
                here.read(&format!("/sys/fs/cgroup/cpu{}/cpu.cfs_{name}_us", self.processor.as_ref()?)).ok()
            };
            Some(format!("{} {}", read("quota")?.trim(), read("period")?.trim()))
        };
        thousandths(&unified.or_else(old)?)
    }
}

/// Reads `quota period`, both in microseconds.
fn thousandths(text: &str) -> Option<u64> {
    let mut words = text.split_whitespace().map(str::parse::<u64>);
    let (quota, period) = (words.next()?.ok()?, words.next()?.ok()?);
    quota.saturating_mul(1000).checked_div(period)
}

fn memory(limit: Option<u64>, whose: &str) -> Verdict {
    let Some(limit) = limit else { return Verdict::ok(format!("{whose} has no limit")) };
    let found = format!("{whose} may have {} MiB", limit >> 20);
    let remedy = "set resources.limits.memory of the node's container to 512Mi or more, or to nothing";
    match limit >> 20 {
        0..64 => Verdict::problem(found, remedy),
        64..256 => Verdict::warning(found, remedy),
        256.. => Verdict::ok(found),
    }
}

fn processor(limit: Option<u64>, whose: &str) -> Verdict {
    let Some(limit) = limit else { return Verdict::ok(format!("{whose} has no limit")) };
    let found = format!("{whose} may use {limit} thousandths of a processor");
    if limit < 200 {
        return Verdict::warning(
            found,
            "remove resources.limits.cpu of the node's container, or set it to 1 or more",
        );
    }
    Verdict::ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::State;

    #[test]
    fn limits_on_open_files_are_judged_by_the_hard_one() {
        for (soft, hard, state) in [
            (1024, 1_048_576, State::Ok),
            (1024, 65536, State::Ok),
            (20000, 20000, State::Warning),
            (1024, 1024, State::Problem),
            (u64::MAX, u64::MAX, State::Ok),
        ] {
            assert_eq!(descriptors([soft, hard], 1 << 30, "it").state, state, "{hard}");
        }
        let text = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 4096                 files\n";
        assert_eq!(open_files(text).unwrap(), [1024, 4096]);
        assert_eq!(open_files("Max open files  unlimited unlimited files").unwrap(), [u64::MAX; 2]);
        assert!(open_files("nothing").is_err());
    }

    #[test]
    fn what_is_used_up_is_judged_by_its_share() {
        for (text, state) in [
            ("100\t0\t1000\n", State::Ok),
            ("800\t200\t1000\n", State::Ok),
            ("700 0 1000", State::Warning),
            ("900 0 1000", State::Problem),
            ("1 0 9223372036854775807", State::Ok),
            ("what", State::Unknown),
        ] {
            assert_eq!(machine(text).state, state, "{text}");
        }
    }

    #[test]
    fn queues_are_judged() {
        assert_eq!(queue(4096).state, State::Ok);
        assert_eq!(queue(128).remedy.unwrap(), "sysctl -w net.core.somaxconn=4096");
        assert_eq!(packets(1000, [1_000_000, 17]).state, State::Ok);
        assert_eq!(packets(1000, [100_000, 17]).state, State::Warning);
        assert_eq!(packets(300, [1_000_000, 0]).state, State::Warning);
        assert_eq!(counted("00a 00000001 0\n00b 00000010 0\n"), [21, 17]);
    }

    #[test]
    fn control_groups_of_both_versions_are_read() {
        let group = Group::of("4:memory:/kubepods/pod1\n1:cpu,cpuacct:/kubepods\n0::/user.slice/\n");
        let text = |path: &str| Some(path.to_owned());
        let expected = Group {
            unified: text("/user.slice"),
            memory: text("/kubepods/pod1"),
            processor: text("/kubepods"),
        };
        assert_eq!(group, expected);
        assert_eq!(thousandths("50000 100000\n"), Some(500));
        assert_eq!(thousandths("max 100000\n"), None);
        assert_eq!(thousandths("-1 100000"), None);
        assert_eq!(thousandths("1 0"), None);
    }

    #[test]
    fn small_control_groups_are_named() {
        for (limit, state) in [
            (None, State::Ok),
            (Some(32), State::Problem),
            (Some(128), State::Warning),
            (Some(512), State::Ok),
        ] {
            assert_eq!(memory(limit.map(|mebibytes| mebibytes << 20), "it").state, state, "{limit:?}");
        }
        for (limit, state) in [(None, State::Ok), (Some(100), State::Warning), (Some(2000), State::Ok)] {
            assert_eq!(processor(limit, "it").state, state, "{limit:?}");
        }
    }
}
