//! What connections need of a network namespace: room in the connection tracking, and ports.

use std::io;

use super::Context;
use super::catalogue::Family;
use super::finding::{Check, Finding, Verdict};
use super::limits::share;
use super::sight::Sight;

pub(crate) const FAMILY: Family =
    Family { name: "traffic", checks: &[&TABLE, &TIMEOUT, &RANGE, &OVERLAP, &TIME_WAIT], look };

const TABLE: Check = Check {
    name: "conntrack-table",
    why: "every captured connection is tracked; when the table is full, new ones are dropped without a word",
};
const TIMEOUT: Check = Check {
    name: "conntrack-timeout",
    why: "a silent connection that tracking forgets is refused when it goes on; keepalive comes every 180 s",
};
const RANGE: Check = Check {
    name: "port-range",
    why: "it is how many connections there can be from one address to one server at a time",
};
const OVERLAP: Check = Check {
    name: "reserved-ports",
    why: "a program that happens to get a port of the proxy for a connection of its own keeps the proxy from starting",
};
const TIME_WAIT: Check = Check {
    name: "time-wait",
    why: "ports of connections that have just ended cannot be used again for a minute",
};

/// The ports of node and agent, on the host and inside pods.
const OURS: [u16; 8] = [15000, 15001, 15006, 15008, 15014, 15020, 15021, 15053];
/// Twice the time between two keepalive probes.
const SHORTEST: u64 = 2 * 180;

fn look(context: &Context<'_>) -> Vec<Finding> {
    let here = &context.here;
    let range = here.read("/proc/sys/net/ipv4/ip_local_port_range").and_then(|text| range(&text));
    let copied = || range.as_ref().map(|range| *range).map_err(super::kernel::again);
    let reserved = here.read("/proc/sys/net/ipv4/ip_local_reserved_ports").unwrap_or_default();
    let waiting = here.read("/proc/thread-self/net/sockstat").map(|text| waiting(&text));
    vec![
        TABLE.finding(tracked(here)),
        TIMEOUT.finding(forgotten(here)),
        RANGE.judged(copied(), ports),
        OVERLAP.judged(copied(), |range| overlap(range, &reserved)),
        TIME_WAIT.judged(waiting.and_then(|waiting| Ok((waiting, copied()?))), |(waiting, range)| {
            pressure(waiting, range)
        }),
    ]
}

fn tracked(here: &Sight) -> Verdict {
    let number = |name: &str| here.number(&format!("/proc/sys/net/netfilter/nf_conntrack_{name}"));
    match (number("count"), number("max")) {
        (Ok(count), Ok(most)) => table(count, most),
        (Err(error), _) | (_, Err(error)) => absent(&error),
    }
}

/// Without the module there are no files; the first rule that needs it loads it.
fn absent(error: &io::Error) -> Verdict {
    if error.kind() == io::ErrorKind::NotFound {
        return Verdict::unknown(
            "connections are not tracked here yet",
            "modprobe nf_conntrack, then look again",
        );
    }
    Verdict::unseen(error)
}

fn table(count: u64, most: u64) -> Verdict {
    let found = format!("{count} of {most} connections are tracked");
    let remedy = format!("sysctl -w net.netfilter.nf_conntrack_max={}", most.saturating_mul(2).max(262_144));
    // Two entries for each connection through a node: the captured one, and the one in its tunnel's stead.
    if most < 65536 && count * 10 < most * 7 {
        return Verdict::warning(found, remedy);
    }
    share(count, most, found, &remedy)
}

fn forgotten(here: &Sight) -> Verdict {
    match here.number("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established") {
        Ok(seconds) => established(seconds),
        Err(error) => absent(&error),
    }
}

fn established(seconds: u64) -> Verdict {
    let found = format!("established connections are forgotten after {seconds} s of silence");
    if seconds < SHORTEST {
        return Verdict::warning(found, "sysctl -w net.netfilter.nf_conntrack_tcp_timeout_established=86400");
    }
    Verdict::ok(found)
}

fn range(text: &str) -> io::Result<[u16; 2]> {
    let numbers: Vec<u16> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers[..] {
        [first, last] => Ok([first, last]),
        _ => Err(io::Error::other(format!("ip_local_port_range holds {text:?}"))),
    }
}

fn size([first, last]: [u16; 2]) -> u64 {
    u64::from(last.saturating_sub(first)) + 1
}

fn ports(range: [u16; 2]) -> Verdict {
    let found = format!("{} ports for connections, {} to {}", size(range), range[0], range[1]);
    if size(range) < 10_000 {
        return Verdict::warning(found, "sysctl -w net.ipv4.ip_local_port_range='32768 60999'");
    }
    Verdict::ok(found)
}

fn overlap([first, last]: [u16; 2], reserved: &str) -> Verdict {
    let exposed: Vec<_> =
        OURS.iter().filter(|port| (first..=last).contains(port) && !is_reserved(**port, reserved)).collect();
    if exposed.is_empty() {
        return Verdict::ok("no port of the proxy is given to connections");
    }
    let list = exposed.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let all = if reserved.trim().is_empty() { list.clone() } else { format!("{},{list}", reserved.trim()) };
    Verdict::warning(
        format!("{list} may be given to connections (range {first} to {last})"),
        format!("sysctl -w net.ipv4.ip_local_reserved_ports={all}"),
    )
}

/// Reads `8080,9000-9010`.
fn is_reserved(port: u16, reserved: &str) -> bool {
    let bounds = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    };
    reserved
        .trim()
        .split(',')
        .filter_map(bounds)
        .any(|part: std::ops::RangeInclusive<u16>| part.contains(&port))
}

/// Reads `TCP: inuse 5 orphan 0 tw 12 alloc 8 mem 1`.
fn waiting(sockstat: &str) -> u64 {
    let line = sockstat.lines().find_map(|line| line.strip_prefix("TCP:")).unwrap_or_default();
    let mut words = line.split_whitespace().skip_while(|word| *word != "tw");
    words.nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn pressure(waiting: u64, range: [u16; 2]) -> Verdict {
    let found = format!("{waiting} connections wait out their last minute, for {} ports", size(range));
    if waiting * 2 > size(range) {
        return Verdict::warning(
            found,
            "sysctl -w net.ipv4.ip_local_port_range='10240 65535' net.ipv4.tcp_tw_reuse=1",
        );
    }
    Verdict::ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::State;

    #[test]
    fn a_full_table_is_a_problem_before_it_is_full() {
        for (count, most, state) in [
            (0, 262_144, State::Ok),
            (200_000, 262_144, State::Warning),
            (250_000, 262_144, State::Problem),
            (0, 4096, State::Warning),
            (4000, 4096, State::Problem),
        ] {
            let verdict = table(count, most);
            assert_eq!(verdict.state, state, "{count} {most}");
            assert!(verdict.found.starts_with(&format!("{count} of {most}")));
        }
        assert_eq!(absent(&io::ErrorKind::NotFound.into()).state, State::Unknown);
    }

    #[test]
    fn what_is_forgotten_before_the_second_keepalive_is_a_warning() {
        assert_eq!(established(432_000).state, State::Ok);
        assert_eq!(established(300).state, State::Warning);
    }

    #[test]
    fn ranges_of_ports_are_judged() {
        assert_eq!(ports(range("32768\t60999\n").unwrap()).state, State::Ok);
        assert_eq!(ports([40000, 40999]).state, State::Warning);
        assert!(range("40000").is_err());
        for (bounds, reserved, state) in [
            ([32768, 60999], "", State::Ok),
            ([1024, 65535], "", State::Warning),
            ([1024, 65535], "15000-15060\n", State::Ok),
            ([1024, 65535], "8080,15000-15021", State::Warning),
            ([15009, 15013], "", State::Ok),
        ] {
            assert_eq!(overlap(bounds, reserved).state, state, "{bounds:?} {reserved}");
        }
        let remedy = overlap([15007, 15019], "8080\n").remedy.unwrap();
        assert_eq!(remedy, "sysctl -w net.ipv4.ip_local_reserved_ports=8080,15008,15014");
    }

    #[test]
    fn connections_that_linger_are_counted_against_the_ports() {
        assert_eq!(waiting("sockets: used 9\nTCP: inuse 5 orphan 0 tw 12 alloc 8 mem 1\nUDP: inuse 1\n"), 12);
        assert_eq!(waiting(""), 0);
        assert_eq!(pressure(100, [32768, 60999]).state, State::Ok);
        assert_eq!(pressure(20_000, [32768, 60999]).state, State::Warning);
    }
}
