//! Whether a packet filter of the host, or of a pod, drops tunnels.
//!
//! The first packet of a tunnel is followed through the chains it meets, as far as its protocol and port decide. Rules that may be
//! about it or not (addresses, interfaces, marks) decide nothing, unless they name the port.

use super::catalogue::Family;
use super::finding::{Check, Finding, Verdict};
use super::packets::{Chain, Filters, Hook, Rule, Sure, Table, Target};
use super::{Context, in_pod};

pub(crate) const FAMILY: Family = Family { name: "firewall", checks: &[&HOST, &SERVICE, &POD], look };

const HOST: Check = Check {
    name: "tunnel-port",
    why: "all that pods of the mesh say to each other is TCP to port 15008; where it is dropped, they time out",
};
const SERVICE: Check = Check {
    name: "firewall-service",
    why: "a host firewall rewrites its rules when it is reloaded, and may drop what a cluster forwards",
};
const POD: Check =
    Check { name: "pod-tunnel-port", why: "rules inside a pod that drop port 15008 keep its tunnels out" };

/// Chains may jump to each other in any number; no sane packet filter nests deeper.
const DEEPEST: usize = 32;

/// What becomes of the packet.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    /// Nothing here has decided.
    Open,
    Accepted,
    /// By this rule or policy.
    Dropped(String),
    /// By this rule, which names the port, and some condition that may hold or not.
    DroppedByName(String),
    /// Only this may accept it, before a policy that drops.
    Depends(String),
}

fn look(context: &Context<'_>) -> Vec<Finding> {
    // What a node forwards for its pods, and what it would take for itself.
    let fate = context.filters.tables().map(|tables| through(&tables, &[Hook::Prerouting, Hook::Forward]));
    let services = ["firewalld", "ufw"].map(|name| (name, runs(context, name)));
    let running: Vec<_> = services.iter().filter(|(_, runs)| *runs).map(|(name, _)| *name).collect();
    let mut findings =
        vec![HOST.judged(fate, |fate| judge(&fate, "forwarding")), SERVICE.finding(service(&running))];
    findings.extend(in_pod(context, &[&POD], |pod| {
        let filters = Filters::read(pod);
        let hooks = [Hook::Prerouting, Hook::Input, Hook::Output];
        vec![
            POD.judged(filters.tables().map(|tables| through(&tables, &hooks)), |fate| {
                judge(&fate, "the pod")
            }),
        ]
    }));
    findings
}

/// Whether a host firewall is at work: by its process, or by the chains it makes.
fn runs(context: &Context<'_>, name: &str) -> bool {
    let chains = || {
        let tables = context.filters.tables().unwrap_or_default();
        let named = |chain: &String| match name {
            "ufw" => chain.starts_with("ufw"),
            _ => false,
        };
        tables.iter().any(|table| table.name.ends_with(name) || table.chains.keys().any(named))
    };
    context.running(&[name]).next().is_some() || chains()
}

fn service(running: &[&str]) -> Verdict {
    match running {
        [] => Verdict::ok("neither firewalld nor ufw is at work here"),
        [one, ..] => {
            let remedy = match *one {
                "firewalld" => "firewall-cmd --permanent --add-port=15008/tcp && firewall-cmd --reload",
                _ => "ufw route allow proto tcp to any port 15008",
            };
            Verdict::warning(format!("{} is at work here", running.join(" and ")), remedy)
        }
    }
}

fn judge(fate: &Fate, place: &str) -> Verdict {
    match fate {
        Fate::Open | Fate::Accepted => Verdict::ok(format!("{place}: nothing drops TCP port 15008 as such")),
        Fate::Depends(rule) => Verdict::ok(format!(
            "{place}: the policy is to drop, and what may let TCP port 15008 pass is `{rule}`"
        )),
        Fate::Dropped(rule) | Fate::DroppedByName(rule) => {
            Verdict::problem(format!("{place}: TCP port 15008 is dropped by `{rule}`"), remedy(rule))
        }
    }
}

/// How the rule is taken out, or one put in before a policy.
fn remedy(rule: &str) -> String {
    if let Some((program, policy)) = rule.split_once(" policy of ") {
        let chain = policy.rsplit(' ').next().unwrap_or_default();
        return match program {
            "nft" => format!("nft insert rule {policy} tcp dport 15008 accept"),
            _ => format!("{program} -I {chain} -p tcp --dport 15008 -j ACCEPT"),
        };
    }
    if let Some((handle, place)) = rule.strip_prefix("nft: rule ").and_then(|rest| rest.split_once(" of ")) {
        return format!("nft delete rule {place} handle {handle}");
    }
    rule.replacen(" -A ", " -D ", 1)
}

/// Follows the packet through all tables, as long as none drops it.
fn through(tables: &[&Table], hooks: &[Hook]) -> Fate {
    let mut depends = Fate::Open;
    for table in tables {
        let met =
            table.chains.iter().filter(|(_, chain)| chain.hook.is_some_and(|hook| hooks.contains(&hook)));
        for (name, chain) in met {
            match end(table, name, chain) {
                Fate::Open | Fate::Accepted => {}
                dropped @ (Fate::Dropped(_) | Fate::DroppedByName(_)) => return dropped,
                fate @ Fate::Depends(_) => depends = fate,
            }
        }
    }
    depends
}

/// A chain with a hook, and its policy at the end.
fn end(table: &Table, name: &str, chain: &Chain) -> Fate {
    let mut maybe = None;
    match follow(table, chain, &mut maybe, DEEPEST) {
        Fate::Open if chain.drops => match maybe {
            Some(rule) => Fate::Depends(rule),
            None => Fate::Dropped(format!("{} policy of {} {name}", table.program, table.name)),
        },
        fate @ (Fate::Open
        | Fate::Accepted
        | Fate::Dropped(_)
        | Fate::DroppedByName(_)
        | Fate::Depends(_)) => fate,
    }
}

/// Follows the packet through a chain. `maybe` remembers the first rule that may have accepted it.
fn follow(table: &Table, chain: &Chain, maybe: &mut Option<String>, depth: usize) -> Fate {
    for rule in chain.rules.iter().filter(|rule| rule.fits != Sure::No) {
        let fate = match &rule.target {
            Target::Other => Fate::Open,
            Target::Return if rule.fits == Sure::Yes => return Fate::Open,
            Target::Return => Fate::Open,
            Target::Accept => accept(rule, maybe),
            Target::Drop => drop_by(rule, maybe.is_none()),
            Target::Chain(name) => match table.chains.get(name).filter(|_| depth > 0) {
                Some(next) => within(follow(table, next, maybe, depth - 1), rule, maybe),
                None => Fate::Open,
            },
        };
        if fate != Fate::Open {
            return fate;
        }
    }
    Fate::Open
}

fn accept(rule: &Rule, maybe: &mut Option<String>) -> Fate {
    if rule.fits == Sure::Yes {
        return Fate::Accepted;
    }
    maybe.get_or_insert_with(|| rule.text.clone());
    Fate::Open
}

/// A rule that names the port is meant, whatever else it names; any other must be sure to be met.
fn drop_by(rule: &Rule, is_met: bool) -> Fate {
    if rule.names_port {
        return Fate::DroppedByName(rule.text.clone());
    }
    if rule.fits == Sure::Yes && is_met { Fate::Dropped(rule.text.clone()) } else { Fate::Open }
}

/// What a chain decides counts only as far as the jump into it does.
fn within(fate: Fate, jump: &Rule, maybe: &mut Option<String>) -> Fate {
    match fate {
        Fate::Accepted => accept(jump, maybe),
        Fate::Dropped(rule) if jump.fits == Sure::Yes => Fate::Dropped(rule),
        Fate::DroppedByName(rule) => Fate::DroppedByName(rule),
        Fate::Dropped(_) | Fate::Depends(_) | Fate::Open => Fate::Open,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::State;
    use crate::check::packets::Filters;
    use crate::check::sight::Sight;

    /// The verdict on the forwarding of a namespace with these rules.
    fn forwarding(rules: &[&str]) -> Verdict {
        let sight = Sight::of(culvert_sys::netns::Netns::create().unwrap());
        for rule in rules {
            sight.run(&rule.split(' ').collect::<Vec<_>>()).unwrap();
        }
        judge(
            &through(&Filters::read(&sight).tables().unwrap(), &[Hook::Prerouting, Hook::Forward]),
            "forwarding",
        )
    }

    #[test]
    fn what_drops_tunnels_is_found_with_the_command_that_ends_it() {
        for (rules, remedy) in [
            (
                &["iptables -A FORWARD -p tcp --dport 15008 -j DROP"][..],
                "iptables-nft -t filter -D FORWARD -p tcp -m tcp --dport 15008 -j DROP",
            ),
            (
                &["iptables -A FORWARD -s 10.0.0.0/8 -p tcp --dport 15008 -j REJECT"],
                "iptables-nft -t filter -D FORWARD -s 10.0.0.0/8 -p tcp -m tcp --dport 15008 -j REJECT --reject-with icmp-port-unreachable",
            ),
            (&["iptables -P FORWARD DROP"], "iptables-nft -I FORWARD -p tcp --dport 15008 -j ACCEPT"),
            (
                &[
                    "iptables -N mine",
                    "iptables -A FORWARD -j mine",
                    "iptables -A mine -m conntrack --ctstate ESTABLISHED -j ACCEPT",
                    "iptables -A mine -j DROP",
                ],
                "iptables-nft -t filter -D mine -j DROP",
            ),
            (
                &["ip6tables-legacy -A FORWARD -p tcp -j DROP"],
                "ip6tables-legacy -t filter -D FORWARD -p tcp -j DROP",
            ),
            (
                &[
                    "nft add table inet mine",
                    "nft add chain inet mine f { type filter hook forward priority 0; policy drop; }",
                ],
                "nft insert rule inet mine f tcp dport 15008 accept",
            ),
            (
                &[
                    "nft add table inet mine",
                    "nft add chain inet mine f { type filter hook forward priority 0; }",
                    "nft add rule inet mine f tcp dport { 80, 15008 } drop",
                ],
                "nft delete rule inet mine f handle",
            ),
        ] {
            let verdict = forwarding(rules);
            assert_eq!(verdict.state, State::Problem, "{rules:?}: {verdict:?}");
            assert!(verdict.remedy.as_ref().unwrap().starts_with(remedy), "{rules:?}: {verdict:?}");
        }
    }

    #[test]
    fn what_lets_tunnels_pass_is_no_problem() {
        for rules in [
            &[][..],
            &["iptables -A FORWARD -p tcp --dport 80 -j DROP"],
            &["iptables -A FORWARD -p tcp --dport 15008 -j ACCEPT", "iptables -A FORWARD -j DROP"],
            &["iptables -P FORWARD DROP", "iptables -A FORWARD -s 10.0.0.0/8 -j ACCEPT"],
            &["iptables -A FORWARD -m mark --mark 0x8000/0x8000 -j DROP"],
            &["iptables -A INPUT -p tcp --dport 22 -j ACCEPT", "iptables -P INPUT DROP"],
            &["iptables -N a", "iptables -A FORWARD -i eth0 -j a", "iptables -A a -j DROP"],
            &[
                "iptables -N a",
                "iptables -A FORWARD -j a",
                "iptables -A a -j RETURN",
                "iptables -A a -j DROP",
            ],
        ] {
            let verdict = forwarding(rules);
            assert_eq!(verdict.state, State::Ok, "{rules:?}: {verdict:?}");
        }
        let depends =
            forwarding(&["iptables -P FORWARD DROP", "iptables -A FORWARD -s 10.0.0.0/8 -j ACCEPT"]);
        assert!(depends.found.contains("10.0.0.0/8"), "{depends:?}");
    }

    #[test]
    fn chains_that_jump_to_each_other_end() {
        let rule = |name: &str| Rule {
            fits: Sure::Yes,
            names_port: false,
            target: Target::Chain(name.into()),
            text: String::new(),
        };
        let chain = |name: &str| Chain { hook: Some(Hook::Forward), drops: false, rules: vec![rule(name)] };
        let chains = [("a".to_owned(), chain("b")), ("b".to_owned(), chain("a"))].into();
        let table = Table { program: "iptables".into(), name: "filter".into(), chains };
        assert_eq!(through(&[&table], &[Hook::Forward]), Fate::Open);
    }

    #[test]
    fn a_firewall_at_work_is_a_warning() {
        assert_eq!(service(&[]).state, State::Ok);
        assert!(service(&["firewalld"]).remedy.unwrap().starts_with("firewall-cmd"));
        assert!(service(&["ufw"]).remedy.unwrap().starts_with("ufw route"));
    }
}
