//! How the kernel is set to treat packets, on the host and inside a pod.

use std::collections::BTreeMap;
use std::io;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use super::catalogue::Family;
use super::finding::{Check, Finding, Verdict};
use super::sight::Sight;
use super::{Context, in_pod};

pub(crate) const FAMILY: Family = Family {
    name: "network",
    checks: &[
        &REVERSE_PATH,
        &FORWARDING,
        &BRIDGE,
        &IPV6,
        &POD_REVERSE_PATH,
        &POD_LOCALNET,
        &POD_IPV6,
        &POD_LOOPBACK,
    ],
    look,
};

const REVERSE_PATH: Check = Check {
    name: "rp-filter",
    why: "strict filtering drops what comes back another way than it would go: several uplinks, or addresses of pods on one of them",
};
const FORWARDING: Check =
    Check { name: "ip-forward", why: "without it nothing gets from this host to its pods" };
const BRIDGE: Check = Check {
    name: "bridge-filter",
    why: "it decides whether the host's packet filter also sees what pods of one bridge say to each other",
};
const IPV6: Check =
    Check { name: "ipv6", why: "pods with IPv6 addresses are captured for both versions, or refused" };
const POD_REVERSE_PATH: Check = Check {
    name: "pod-rp-filter",
    why: "what the node delivers inside a pod has foreign source addresses; capture is made so that any setting will do",
};
const POD_LOCALNET: Check = Check {
    name: "pod-route-localnet",
    why: "with it, others can reach what listens on the pod's 127.0.0.1, which is never captured",
};
const POD_IPV6: Check = Check {
    name: "pod-ipv6",
    why: "replies over IPv6 come back to the node through the pod's loopback interface; switched off there, they are lost",
};
const POD_LOOPBACK: Check = Check {
    name: "pod-loopback",
    why: "captured connections go over the loopback interface, which must be up",
};

fn look(context: &Context<'_>) -> Vec<Finding> {
    let here = &context.here;
    let place = Place::of(context);
    let mut findings = vec![
        REVERSE_PATH.judged(reverse_path(here), |all| host_filter(&strict(&all))),
        FORWARDING.judged(here.number("/proc/sys/net/ipv4/ip_forward"), |value| forwarding(value, place)),
        BRIDGE.finding(bridge(here)),
        IPV6.finding(ipv6(here)),
    ];
    findings.extend(in_pod(context, &[&POD_REVERSE_PATH, &POD_LOCALNET, &POD_IPV6, &POD_LOOPBACK], |pod| {
        let localnet = pod.number("/proc/sys/net/ipv4/conf/all/route_localnet");
        vec![
            POD_REVERSE_PATH.judged(reverse_path(pod), |all| pod_filter(&strict(&all))),
            POD_LOCALNET.judged(localnet, localnet_of_pod),
            POD_IPV6.finding(pod_ipv6(pod)),
            POD_LOOPBACK.judged(is_up(pod, "lo"), loopback),
        ]
    }));
    findings
}

/// What kind of host this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Kubelet runs.
    Node,
    /// Something else may make pods.
    Perhaps,
    Other,
}

impl Place {
    fn of(context: &Context<'_>) -> Self {
        let kubelet =
            context.running(&["kubelet", "kubelite", "k3s", "k3s-server", "k3s-agent"]).next().is_some();
        match (kubelet, context.options.cni_conf_dir.is_dir()) {
            (true, _) => Self::Node,
            (false, true) => Self::Perhaps,
            (false, false) => Self::Other,
        }
    }
}

/// The setting of each interface.
fn reverse_path(sight: &Sight) -> io::Result<BTreeMap<String, u64>> {
    let directory = "/proc/sys/net/ipv4/conf";
    let names = sight.names(directory)?;
    names
        .into_iter()
        .map(|name| Ok((name.clone(), sight.number(&format!("{directory}/{name}/rp_filter"))?)))
        .collect()
}

/// The interfaces that are strict: the larger one of their own setting and that of all counts, and loose is larger than strict.
fn strict(settings: &BTreeMap<String, u64>) -> Vec<&str> {
    let all = settings.get("all").copied().unwrap_or(0);
    let is_strict = |name: &str, own: u64| !["all", "default", "lo"].contains(&name) && own.max(all) == 1;
    settings.iter().filter(|(name, own)| is_strict(name, **own)).map(|(name, _)| name.as_str()).collect()
}

fn host_filter(strict: &[&str]) -> Verdict {
    if strict.is_empty() {
        return Verdict::ok("no interface is strict");
    }
    // Loose wins over strict wherever it is set, and one setting is for all.
    Verdict::warning(format!("strict on {}", strict.join(", ")), "sysctl -w net.ipv4.conf.all.rp_filter=2")
}

fn pod_filter(strict: &[&str]) -> Verdict {
    if strict.is_empty() {
        Verdict::ok("no interface is strict")
    } else {
        Verdict::ok(format!("strict on {}", strict.join(", ")))
    }
}

fn forwarding(value: u64, place: Place) -> Verdict {
    let (found, remedy) = (format!("net.ipv4.ip_forward is {value}"), "sysctl -w net.ipv4.ip_forward=1");
    match place {
        Place::Node if value == 0 => Verdict::problem(found, remedy),
        Place::Perhaps if value == 0 => {
            Verdict::warning(format!("{found}; kubelet does not run here yet"), remedy)
        }
        Place::Other => Verdict::ok(format!("{found}; no pods are here")),
        Place::Node | Place::Perhaps => Verdict::ok(found),
    }
}

fn bridge(here: &Sight) -> Verdict {
    match here.number("/proc/sys/net/bridge/bridge-nf-call-iptables") {
        Ok(0) => Verdict::ok("bridges are not filtered (bridge-nf-call-iptables is 0)"),
        Ok(_) => Verdict::ok("bridges are filtered as well (bridge-nf-call-iptables is 1)"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Verdict::ok("bridges are not filtered (no br_netfilter)")
        }
        Err(error) => Verdict::unseen(&error),
    }
}

fn ipv6(here: &Sight) -> Verdict {
    match here.number("/proc/sys/net/ipv6/conf/all/disable_ipv6") {
        Ok(0) => Verdict::ok("IPv6 is on"),
        Ok(_) => Verdict::ok("IPv6 is switched off on this host; pods decide for themselves"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Verdict::ok("the kernel has no IPv6; set IPV6_ENABLED=false for culvert-node")
        }
        Err(error) => Verdict::unseen(&error),
    }
}

fn localnet_of_pod(value: u64) -> Verdict {
    let found = format!("net.ipv4.conf.all.route_localnet is {value} inside the pod");
    if value == 0 {
        return Verdict::ok(found);
    }
    Verdict::warning(
        found,
        "take the sysctl net.ipv4.conf.all.route_localnet out of the pod's securityContext",
    )
}

fn pod_ipv6(pod: &Sight) -> Verdict {
    let addresses = pod.read("/proc/thread-self/net/if_inet6").unwrap_or_default();
    let others = addresses.lines().any(|line| !line.ends_with(" lo"));
    match pod.number("/proc/sys/net/ipv6/conf/lo/disable_ipv6") {
        Ok(disabled) => loopback_ipv6(disabled != 0, others),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Verdict::ok("the kernel has no IPv6"),
        Err(error) => Verdict::unseen(&error),
    }
}

fn loopback_ipv6(is_disabled: bool, has_addresses: bool) -> Verdict {
    match (is_disabled, has_addresses) {
        (true, true) => Verdict::problem(
            "the pod has IPv6 addresses, and IPv6 is switched off on its loopback interface",
            "set the sysctl net.ipv6.conf.lo.disable_ipv6=0 in the pod's securityContext",
        ),
        (true, false) => Verdict::ok("the pod has no IPv6"),
        (false, _) => Verdict::ok("IPv6 is on, on the loopback interface as well"),
    }
}

fn is_up(sight: &Sight, interface: &str) -> io::Result<bool> {
    let mut interfaces = sight.netns()?.run(getifaddrs)??;
    Ok(interfaces.any(|one| one.interface_name == interface && one.flags.contains(InterfaceFlags::IFF_UP)))
}

fn loopback(is_up: bool) -> Verdict {
    if is_up {
        return Verdict::ok("lo is up");
    }
    Verdict::problem("lo is down", "have the CNI configuration bring it up: add the plugin \"loopback\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::State;

    fn settings(all: &[(&str, u64)]) -> BTreeMap<String, u64> {
        all.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn an_interface_is_strict_when_nothing_makes_it_loose() {
        for (all, expected) in [
            (&[("all", 0), ("default", 1), ("eth0", 0), ("lo", 1)][..], &[][..]),
            (&[("all", 0), ("eth0", 1), ("eth1", 2)], &["eth0"]),
            (&[("all", 1), ("eth0", 0), ("eth1", 2)], &["eth0"]),
            (&[("all", 2), ("eth0", 1)], &[]),
        ] {
            assert_eq!(strict(&settings(all)), expected, "{all:?}");
        }
        assert_eq!(host_filter(&["eth0"]).state, State::Warning);
        assert_eq!(pod_filter(&["eth0"]).state, State::Ok);
    }

    #[test]
    fn what_keeps_packets_from_pods_is_a_problem_where_pods_are() {
        assert_eq!(forwarding(0, Place::Node).state, State::Problem);
        assert_eq!(forwarding(0, Place::Perhaps).state, State::Warning);
        assert_eq!(forwarding(0, Place::Other).state, State::Ok);
        assert_eq!(forwarding(1, Place::Node).state, State::Ok);
        assert_eq!(localnet_of_pod(0).state, State::Ok);
        assert_eq!(localnet_of_pod(1).state, State::Warning);
        assert_eq!(loopback(true).state, State::Ok);
        assert_eq!(loopback(false).state, State::Problem);
    }

    #[test]
    fn ipv6_without_a_loopback_interface_is_a_problem() {
        for (disabled, addresses, state) in [
            (true, true, State::Problem),
            (true, false, State::Ok),
            (false, true, State::Ok),
            (false, false, State::Ok),
        ] {
            assert_eq!(loopback_ipv6(disabled, addresses).state, state, "{disabled} {addresses}");
        }
    }
}
