//! Other meshes: their rules in this namespace or in a pod, and their programs.

use super::catalogue::Family;
use super::finding::{Check, Finding, Verdict};
use super::packets::{Filters, Table};
use super::processes::Process;
use super::{Context, in_pod};

pub(crate) const FAMILY: Family = Family { name: "mesh", checks: &[&RULES, &PROGRAMS, &POD_RULES], look };

const RULES: Check = Check {
    name: "other-mesh-rules",
    why: "rules of another mesh take the connections that Culvert is to capture, or its own",
};
const PROGRAMS: Check =
    Check { name: "other-mesh-agent", why: "two agents that program the same pods undo each other's work" };
const POD_RULES: Check = Check {
    name: "pod-other-mesh-rules",
    why: "a pod that another mesh captures already has a proxy; two in a row break its connections",
};

/// How the chains and tables of meshes begin, and whose they are. Names that Culvert uses itself are not among them.
const CHAINS: [(&str, &str); 10] = [
    ("ISTIO_INBOUND", "Istio (sidecar)"),
    ("ISTIO_REDIRECT", "Istio (sidecar)"),
    ("ISTIO_IN_REDIRECT", "Istio (sidecar)"),
    ("ISTIO_DIVERT", "Istio (sidecar)"),
    ("istio-", "Istio (ambient, nftables)"),
    ("PROXY_INIT_", "Linkerd"),
    ("KUMA_MESH_", "Kuma"),
    ("CONSUL_", "Consul"),
    ("OSM_PROXY_", "Open Service Mesh"),
    ("APPMESH_", "AWS App Mesh"),
];
const OWN: [&str; 3] = ["ISTIO_PRERT", "ISTIO_OUTPUT", "ISTIO_POSTRT"];

/// Programs that capture pods, or belong to those that do, and whose they are.
const AGENTS: [(&str, &str); 6] = [
    ("install-cni", "Istio"),
    ("pilot-agent", "Istio (sidecar)"),
    ("linkerd2-proxy", "Linkerd"),
    ("kuma-dp", "Kuma"),
    ("consul-datapla", "Consul"),
    ("kmesh-daemon", "Kmesh"),
];

fn look(context: &Context<'_>) -> Vec<Finding> {
    let mesh_of =
        |process: &Process| AGENTS.iter().find(|(name, _)| *name == process.name).map(|(_, mesh)| *mesh);
    let agents: Vec<_> = context.processes.iter().filter_map(|it| Some((it, mesh_of(it)?))).collect();
    let rules = context.filters.tables().map(|tables| foreign(&tables));
    let mut findings = vec![
        RULES.judged(rules, |found| judge(found, "this namespace")),
        PROGRAMS.finding(programs(&agents)),
    ];
    findings.extend(in_pod(context, &[&POD_RULES], |pod| {
        let found = Filters::read(pod).tables().map(|tables| foreign(&tables));
        vec![POD_RULES.judged(found, |found| judge(found, "the pod"))]
    }));
    findings
}

/// The first chain or table of another mesh: where, its name, whose it is.
struct Foreign {
    place: String,
    chain: String,
    mesh: &'static str,
}

fn foreign(tables: &[&Table]) -> Option<Foreign> {
    tables.iter().find_map(|table| {
        let own_name = table.name.rsplit(' ').next().unwrap_or_default();
        let names = table.chains.keys().map(String::as_str).chain([own_name]);
        let mut known = names.filter_map(|name| Some((name, owner(name)?)));
        let (chain, mesh) = known.next()?;
        let place = format!("{} {}", table.program, table.name);
        Some(Foreign { place, chain: chain.to_owned(), mesh })
    })
}

fn owner(chain: &str) -> Option<&'static str> {
    let known = CHAINS.iter().find(|(start, _)| chain.starts_with(start)).map(|(_, mesh)| *mesh);
    known.filter(|_| !OWN.contains(&chain))
}

fn judge(found: Option<Foreign>, place: &str) -> Verdict {
    match found {
        None => Verdict::ok(format!("{place} has no chains of other meshes")),
        Some(Foreign { place: table, chain, mesh }) => Verdict::problem(
            format!("{place} has chain {chain} of {mesh} ({table})"),
            format!(
                "take {mesh} off this workload and restart its pods; label them istio.io/dataplane-mode=none until then"
            ),
        ),
    }
}

fn programs(agents: &[(&Process, &'static str)]) -> Verdict {
    // A sidecar is a pod's own; what programs the whole node is everybody's.
    let of_node =
        agents.iter().find(|(process, _)| ["install-cni", "kmesh-daemon"].contains(&process.name.as_str()));
    match (of_node, agents.first()) {
        (Some((process, mesh)), _) => Verdict::problem(
            format!("{process} of {mesh} programs the pods of this node"),
            format!("remove {mesh}'s node agent (its DaemonSet) before culvert-agent is started"),
        ),
        (None, Some((process, mesh))) => Verdict::warning(
            format!("{process} of {mesh} serves a pod here"),
            "leave that pod out (label istio.io/dataplane-mode=none), or take its sidecar away",
        ),
        (None, None) => Verdict::ok("no programs of other meshes can be seen"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::State;

    #[test]
    fn chains_are_known_by_their_meshes_names() {
        for (chain, mesh) in [
            ("ISTIO_IN_REDIRECT", Some("Istio (sidecar)")),
            ("PROXY_INIT_REDIRECT", Some("Linkerd")),
            ("KUMA_MESH_OUTBOUND", Some("Kuma")),
            ("istio-ambient-nat", Some("Istio (ambient, nftables)")),
            ("ISTIO_OUTPUT", None),
            ("ISTIO_PRERT", None),
            ("KUBE-SERVICES", None),
        ] {
            assert_eq!(owner(chain), mesh, "{chain}");
        }
    }

    #[test]
    fn a_node_agent_is_a_problem_and_a_sidecar_a_warning() {
        let process = |name: &str| Process { number: 7, name: name.into() };
        let (agent, sidecar) = (process("install-cni"), process("linkerd2-proxy"));
        assert_eq!(programs(&[]).state, State::Ok);
        assert_eq!(programs(&[(&sidecar, "Linkerd")]).state, State::Warning);
        let verdict = programs(&[(&sidecar, "Linkerd"), (&agent, "Istio")]);
        assert!(
            verdict.state == State::Problem && verdict.found.contains("install-cni (pid 7)"),
            "{verdict:?}"
        );
    }
}
