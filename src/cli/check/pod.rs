//! The capture rules of one pod, compared with what they should be.
//!
//! What they should be depends on the pod's switches: the agent that runs here says which those are; without one, the switches
//! that fit best are taken.

use culvert_process::exit::Chain;
use culvert_sys::netns::Netns;
use ebpf_free_iptables::{Drift, Iptables, Options, Passed, Plan, ProbeSource};
use serde_json::Value;

use super::catalogue::Family;
use super::finding::{Check, Finding, Verdict};
use super::{Context, in_pod, programs};

pub(crate) const FAMILY: Family = Family { name: "pod", checks: &[&CAPTURE, &RULES], look };

const CAPTURE: Check =
    Check { name: "pod-capture", why: "a pod without a trace of capture speaks in plaintext" };
const RULES: Check = Check {
    name: "pod-rules",
    why: "with a rule missing or in the wrong place, some connections leave in plaintext or do not work",
};

fn look(context: &Context<'_>) -> Vec<Finding> {
    let mut asked = vec![&CAPTURE];
    asked.extend(context.options.pod_rules.then_some(&RULES));
    in_pod(context, &asked, |pod| {
        let (iptables, netns) = match (Iptables::detect(), pod.netns()) {
            (Ok(iptables), Ok(netns)) => (iptables, netns),
            (Err(error), _) => return unable(&asked, &Chain(&error).to_string()),
            (_, Err(error)) => return unable(&asked, &error.to_string()),
        };
        let mut findings = vec![CAPTURE.judged(iptables.has_traces(&netns), captured)];
        if context.options.pod_rules {
            let known = known(context, &netns);
            findings.push(RULES.finding(verified(&iptables, &netns, known.as_ref())));
        }
        findings
    })
}

fn unable(checks: &[&Check], why: &str) -> Vec<Finding> {
    let verdict = || Verdict::unknown(why, "look from the agent's own container, which has what it takes");
    checks.iter().map(|check| check.finding(verdict())).collect()
}

fn captured(is: bool) -> Verdict {
    Verdict::ok(if is { "it has been captured" } else { "nothing of capture is in it" })
}

/// What the agent says is captured of the pod with this namespace.
fn known(context: &Context<'_>, netns: &Netns) -> Option<Value> {
    let id = netns.id().to_string();
    let pods = programs::pods(&context.options.agent_socket).ok()?;
    pods.into_iter().find(|pod| pod.netns.as_deref() == Some(&id))?.capture
}

/// Compares with each set of switches the pod can have, and tells the smallest difference.
fn verified(iptables: &Iptables, netns: &Netns, known: Option<&Value>) -> Verdict {
    let mut least: Option<Vec<Drift>> = None;
    for options in known.map_or_else(guesses, said) {
        match iptables.verify("the/pod", netns, &Plan::new(&options)) {
            Ok(drift) if least.as_ref().is_none_or(|least| drift.len() < least.len()) => least = Some(drift),
            Ok(_) => {}
            Err(error) => return Verdict::unknown(Chain(&error).to_string(), super::finding::AS_ROOT),
        }
    }
    let least: Vec<String> = least.unwrap_or_default().iter().map(ToString::to_string).collect();
    judge(&least, known.is_some())
}

/// Every combination of the switches that are most often set.
fn guesses() -> Vec<Options> {
    let mut all = Vec::new();
    for dns in [true, false] {
        for inbound in [true, false] {
            all.extend(with_probes(&Options { dns, inbound, ..Options::default() }));
        }
    }
    all
}

/// Where kubelet's probes come from depends on how the agent was started, which its list of pods does not say.
fn with_probes(options: &Options) -> [Options; 2] {
    [Some(ProbeSource::default()), None].map(|probes| Options { probes, ..options.clone() })
}

/// The switches as the agent lists them.
fn said(capture: &Value) -> Vec<Options> {
    fn list<T: serde::de::DeserializeOwned>(value: &Value) -> Vec<T> {
        let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(|item| serde_json::from_value(item.clone()).ok()).collect()
    }
    let networks = list::<String>(&capture["excludeOutboundCidrs"]);
    let passed = Passed {
        outbound_ports: list(&capture["excludeOutboundPorts"]).into_iter().collect(),
        inbound_ports: list(&capture["excludeInboundPorts"]).into_iter().collect(),
        outbound_networks: networks.iter().filter_map(|network| network.parse().ok()).collect(),
    };
    let options = Options {
        dns: capture["dns"] == true,
        inbound: capture["inbound"] == true,
        virtual_interfaces: list(&capture["virtualInterfaces"]),
        ipv6: true,
        passed,
        probes: None,
    };
    with_probes(&options).into()
}

fn judge(drift: &[String], is_known: bool) -> Verdict {
    let by = if is_known { "as its agent wants them" } else { "as any agent would have put them in" };
    match drift {
        [] => Verdict::ok(format!("the rules are {by}")),
        [first, rest @ ..] => {
            let more =
                if rest.is_empty() { String::new() } else { format!("; {} more differences", rest.len()) };
            Verdict::problem(
                format!("{first}{more}"),
                "start culvert-agent, which repairs it within seconds; if it comes back, see who else changes rules in the pod",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::check::finding::State;
    use crate::check::kernel::scratch;
    use crate::check::sight::Sight;

    #[test]
    fn the_first_difference_is_told_with_how_many_more() {
        assert_eq!(judge(&[], true).state, State::Ok);
        let verdict = judge(&["rule x is missing".to_owned(), "y".to_owned(), "z".to_owned()], false);
        assert_eq!(verdict.found, "rule x is missing; 2 more differences");
        assert_eq!(verdict.state, State::Problem);
    }

    #[test]
    fn rules_are_right_until_somebody_changes_them() {
        let (iptables, netns) = (Iptables::detect().unwrap(), scratch().unwrap());
        let capture = json!({
            "dns": true, "inbound": false, "virtualInterfaces": ["vm0"], "excludeOutboundPorts": [5432],
            "excludeInboundPorts": [], "excludeOutboundCidrs": ["10.0.0.0/8"], "probePorts": [],
        });
        let [_, options] = said(&capture).try_into().unwrap();
        iptables.apply("a/pod", &netns, &Plan::new(&options)).unwrap();
        assert_eq!(verified(&iptables, &netns, Some(&capture)).state, State::Ok);
        assert_eq!(
            verified(&iptables, &netns, None).state,
            State::Problem,
            "without the agent nobody knows of exclusions"
        );
        let sight = Sight::of(netns.try_clone().unwrap());
        sight.run(&["iptables", "-t", "nat", "-D", "OUTPUT", "-j", "ISTIO_OUTPUT"]).unwrap();
        let verdict = verified(&iptables, &netns, Some(&capture));
        assert!(verdict.state == State::Problem && verdict.found.contains("OUTPUT"), "{verdict:?}");
    }
}
