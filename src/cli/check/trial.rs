//! The capture rules, put into a namespace that is made for it and goes with it: applied, verified and removed as the agent does.
//!
//! That is how one learns whether the kernel has every match and target they need without a list of module names. The host's own
//! rules are not touched.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};

use culvert_process::exit::Chain;
use culvert_sys::netns::Netns;
use culvert_sys::tcp;
use ebpf_free_iptables::{Disguise, HostProbes, Iptables, Options, Plan, Search};

use super::Context;
use super::catalogue::Family;
use super::finding::{Check, Finding, Verdict};
use super::kernel::{again, scratch};

pub(crate) const FAMILY: Family =
    Family { name: "rules", checks: &[&TOOLS, &V4, &V6, &DNS, &ORIGINAL, &PROBES], look };

const TOOLS: Check = Check {
    name: "iptables-tools",
    why: "the agent programs pods by iptables; one backend must work for each IP version",
};
const V4: Check =
    Check { name: "rules-ipv4", why: "capture of IPv4: REDIRECT, mark, connmark, policy routing" };
const V6: Check =
    Check { name: "rules-ipv6", why: "capture of IPv6; pods with IPv6 addresses are refused without it" };
const DNS: Check =
    Check { name: "rules-dns", why: "capture of DNS needs the raw table and conntrack zones (target CT)" };
const ORIGINAL: Check = Check {
    name: "original-destination",
    why: "connection tracking is what tells the node where a captured connection was going",
};
const PROBES: Check = Check {
    name: "rules-probes",
    why: "`--probes snat` needs ipset, the owner match and SNAT; `--probes node` (the default) does not",
};

/// What is tried, in the words of rules.
const POD: &str = "trial/pod";

fn look(_: &Context<'_>) -> Vec<Finding> {
    if let Err(error) = scratch() {
        return FAMILY.checks.iter().map(|check| check.finding(Verdict::unseen(&again(&error)))).collect();
    }
    let iptables = match Iptables::detect() {
        Ok(iptables) => iptables,
        Err(error) => return without_tools(&Chain(&error).to_string()),
    };
    let plain = Options { ipv6: false, ..Options::default() };
    let both = Options { ipv6: true, ..plain.clone() };
    let dns = Options { dns: true, ..both.clone() };
    vec![
        TOOLS.finding(tools(&iptables.describe())),
        V4.finding(rules("IPv4", &round(&iptables, &plain))),
        V6.finding(rules("IPv6", &round(&iptables, &both))),
        DNS.finding(rules("DNS", &round(&iptables, &dns))),
        ORIGINAL.finding(original(&tracked(&iptables, &both))),
        PROBES.finding(probes(&probe_rules(&iptables))),
    ]
}

fn without_tools(why: &str) -> Vec<Finding> {
    let first = TOOLS.finding(Verdict::problem(why, install()));
    let others = FAMILY.checks.iter().skip(1);
    let waiting = |check: &&Check| check.finding(Verdict::unknown("no iptables to try it with", install()));
    std::iter::once(first).chain(others.map(waiting)).collect()
}

fn install() -> &'static str {
    "install the iptables package (iptables, ip6tables, with -save and -restore) where the agent runs"
}

fn tools(described: &str) -> Verdict {
    if described.contains("no ip6tables") {
        return Verdict::warning(
            described,
            "install ip6tables where the agent runs; pods with IPv6 addresses are refused without it",
        );
    }
    Verdict::ok(described)
}

/// Applies, verifies, removes; what went wrong, in words.
fn round(iptables: &Iptables, options: &Options) -> Result<(), String> {
    let netns = scratch().map_err(|error| error.to_string())?;
    let plan = Plan::new(options);
    iptables.apply(POD, &netns, &plan).map_err(|error| Chain(&error).to_string())?;
    let drift = iptables.verify(POD, &netns, &plan).map_err(|error| Chain(&error).to_string())?;
    if let Some(first) = drift.first() {
        return Err(format!("what was applied is not what is there: {first}"));
    }
    iptables.remove(POD, &netns).map_err(|error| error.to_string())?;
    match iptables.has_traces(&netns) {
        Ok(false) => Ok(()),
        Ok(true) => Err("what was applied cannot be removed again".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn rules(what: &str, tried: &Result<(), String>) -> Verdict {
    match tried {
        Ok(()) => Verdict::ok(format!("{what}: applied, verified and removed in a namespace of its own")),
        Err(why) => Verdict::problem(why.as_str(), remedy(why)),
    }
}

/// The module that the refused rule needs.
fn remedy(why: &str) -> String {
    const NEEDS: [(&str, &str); 9] = [
        ("REDIRECT", "xt_REDIRECT"),
        ("-j CT", "xt_CT"),
        ("CONNMARK", "xt_connmark"),
        ("connmark", "xt_connmark"),
        ("SNAT", "xt_nat"),
        ("--mark", "xt_mark"),
        ("socket-exists", "xt_owner"),
        ("match-set", "xt_set"),
        ("set ", "ip_set_hash_ip"),
    ];
    let needed = NEEDS.iter().find(|(word, _)| why.contains(word)).map(|(_, module)| *module);
    match needed {
        Some(module) => format!("modprobe {module}"),
        None => "modprobe -a nf_conntrack nf_nat xt_REDIRECT xt_connmark xt_mark xt_CT".to_owned(),
    }
}

/// Which IP versions the kernel cannot tell the original destination of while rules are in.
fn tracked(iptables: &Iptables, options: &Options) -> Result<(), String> {
    let netns = scratch().map_err(|error| error.to_string())?;
    iptables.apply(POD, &netns, &Plan::new(options)).map_err(|error| Chain(&error).to_string())?;
    let mut own: Vec<IpAddr> = vec![Ipv4Addr::LOCALHOST.into()];
    if netns.run(|| tcp::is_local(Ipv6Addr::LOCALHOST.into())).map_err(|error| error.to_string())? {
        own.push(Ipv6Addr::LOCALHOST.into());
    }
    for address in own {
        told(&netns, address).map_err(|error| format!("of connections to {address}: {error}"))?;
    }
    Ok(())
}

fn told(netns: &Netns, address: IpAddr) -> std::io::Result<()> {
    netns.run(|| {
        let listener = TcpListener::bind((address, 0))?;
        let _client = TcpStream::connect(listener.local_addr()?)?;
        let (accepted, _) = listener.accept()?;
        tcp::can_tell_original_destination(&accepted)
    })?
}

fn original(tried: &Result<(), String>) -> Verdict {
    match tried {
        Ok(()) => Verdict::ok("the kernel tells where captured connections were going (SO_ORIGINAL_DST)"),
        Err(why) => Verdict::problem(format!("the kernel does not tell it {why}"), "modprobe nf_conntrack"),
    }
}

fn probe_rules(iptables: &Iptables) -> Result<(), String> {
    let netns = scratch().map_err(|error| error.to_string())?;
    let search = Search::from_environment().map_err(|error| Chain(&error).to_string())?;
    let probes = HostProbes::for_trial(iptables.clone(), &search, Disguise::default());
    let probes = probes.map_err(|error| Chain(&error).to_string())?;
    let pods = BTreeMap::from([([192, 0, 2, 1].into(), "00000000-0000-0000-0000-000000000001".to_owned())]);
    probes.apply(&netns, &pods).map_err(|error| Chain(&error).to_string())?;
    match probes.verify(&netns, &pods) {
        Ok(differences) => differences.first().map_or(Ok(()), |first| Err(first.clone())),
        Err(error) => Err(Chain(&error).to_string()),
    }
}

fn probes(tried: &Result<(), String>) -> Verdict {
    match tried {
        Ok(()) => Verdict::ok("`--probes snat` would work as well as `--probes node`"),
        Err(why) => Verdict::warning(
            format!("`--probes snat` would not work: {why}"),
            format!("leave the agent's --probes at node; or: {}", remedy(why)),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::State;

    #[test]
    fn a_refused_rule_names_the_module_it_needs() {
        let refused = |rule: &str| {
            Err(format!("pod trial/pod: IPv4: iptables-nft-restore refused rule `{rule}` of table nat: no"))
        };
        for (rule, module) in [
            ("-A ISTIO_OUTPUT -p tcp -j REDIRECT --to-ports 15001", "modprobe xt_REDIRECT"),
            ("-A ISTIO_OUTPUT -j CONNMARK --restore-mark", "modprobe xt_connmark"),
            ("-A ISTIO_PRERT -p udp -j CT --zone 1", "modprobe xt_CT"),
        ] {
            let verdict = rules("IPv4", &refused(rule));
            assert_eq!((verdict.state, verdict.remedy.as_deref()), (State::Problem, Some(module)), "{rule}");
        }
        assert_eq!(rules("IPv4", &Ok(())).state, State::Ok);
        assert_eq!(probes(&Err("ipset is not in /usr/sbin".to_owned())).state, State::Warning);
        assert_eq!(original(&Err("no".to_owned())).state, State::Problem);
    }

    #[test]
    fn a_machine_without_tools_has_one_problem_and_the_rest_is_unknown() {
        let findings = without_tools("no iptables works for IPv4");
        let problems: Vec<_> =
            findings.iter().filter(|it| it.state == State::Problem).map(|it| it.name).collect();
        assert_eq!(problems, ["iptables-tools"]);
        assert_eq!(findings.len(), FAMILY.checks.len());
        assert_eq!(tools("iptables-nft v1.8.9, no ip6tables").state, State::Warning);
        assert_eq!(tools("iptables-nft v1.8.9").state, State::Ok);
    }
}
