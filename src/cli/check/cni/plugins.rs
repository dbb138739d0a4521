//! What is known of the network plugins people use: how they are set here, and what that does to capture.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde_json::Value;

use crate::check::finding::Verdict;
use crate::check::processes::Process;
use crate::check::{Context, sight};

pub(super) fn cilium(context: &Context<'_>, plugins: &[String]) -> Verdict {
    let agent = context.running(&["cilium-agent"]).next();
    let traces = plugins.iter().any(|plugin| plugin == "cilium-cni")
        || Path::new("/sys/class/net/cilium_host").exists();
    match agent {
        Some(agent) => match cilium_settings(agent) {
            Ok(settings) => cilium_set(&settings),
            Err(error) => Verdict::unseen(&error),
        },
        None if context.options.kubectl.is_some() => match published(context) {
            Ok(Some(settings)) => cilium_set(&settings),
            Ok(None) => Verdict::ok("not here"),
            Err(error) => Verdict::unseen(&error),
        },
        None if traces => Verdict::unknown(
            "Cilium is used here; its agent cannot be seen from here",
            "culvert check --kubectl --only cilium",
        ),
        None => Verdict::ok("not here"),
    }
}

/// What Cilium's agent was told: a file for each setting, and what its command line says.
fn cilium_settings(agent: &Process) -> io::Result<BTreeMap<String, String>> {
    let mut settings = BTreeMap::new();
    let arguments = agent.arguments();
    for argument in &arguments {
        if let Some((name, value)) = argument.strip_prefix("--").and_then(|rest| rest.split_once('=')) {
            settings.insert(name.to_owned(), value.to_owned());
        }
    }
    if let Some(directory) = settings.get("config-dir") {
        let directory = agent.file("root").join(directory.trim_start_matches('/'));
        for name in sight::names(&directory)? {
            // What begins with two dots is how Kubernetes replaces all files at once.
            if let Ok(value) = sight::read(&directory.join(&name)) {
                settings.entry(name).or_insert_with(|| value.trim().to_owned());
            }
        }
    }
    Ok(settings)
}

/// The settings of a cluster's Cilium, if it has one.
fn published(context: &Context<'_>) -> io::Result<Option<BTreeMap<String, String>>> {
    let kubectl = context.options.kubectl.as_deref().unwrap_or("kubectl");
    let asked = [kubectl, "get", "configmap", "cilium-config", "--namespace", "kube-system"];
    let text = context.here.run(&[&asked[..], &["--ignore-not-found", "--output", "json"]].concat())?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    let map: Value = serde_json::from_str(&text)?;
    let setting = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    Ok(Some(map["data"].as_object().into_iter().flatten().filter_map(setting).collect()))
}

fn cilium_set(settings: &BTreeMap<String, String>) -> Verdict {
    let is = |name: &str| settings.get(name).is_some_and(|value| value == "true" || value == "strict");
    let balances =
        is("bpf-lb-sock") || (is("kube-proxy-replacement") && !settings.contains_key("bpf-lb-sock"));
    if balances && !is("bpf-lb-sock-hostns-only") {
        return Verdict::problem(
            "Cilium's socket load balancing is on in pods",
            "helm upgrade cilium cilium/cilium -n kube-system --reuse-values --set socketLB.hostNamespaceOnly=true",
        );
    }
    if settings.get("cni-exclusive").is_none_or(|value| value != "false") {
        return Verdict::warning(
            "Cilium is exclusive: it renames CNI configurations that are not its own",
            "helm upgrade cilium cilium/cilium -n kube-system --reuse-values --set cni.exclusive=false",
        );
    }
    if is("enable-bpf-masquerade") {
        return Verdict::warning(
            "Cilium masquerades by eBPF, which does not know the address of kubelet's probes",
            "leave the agent's --probes at node; or: helm upgrade ... --set bpf.masquerade=false",
        );
    }
    Verdict::ok("Cilium does not translate services in pods, and lets other CNI configurations be")
}

pub(super) fn calico(context: &Context<'_>, plugins: &[String]) -> Verdict {
    let agent = context.running(&["calico-node"]).next();
    let by_interface =
        ["bpfin.cali", "bpfout.cali"].iter().any(|it| Path::new("/sys/class/net").join(it).exists());
    let enabled = |agent: &Process| {
        agent.variable("FELIX_BPFENABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
    };
    let present = agent.is_some() || plugins.iter().any(|plugin| plugin == "calico");
    let translation = agent.and_then(|agent| agent.variable("FELIX_BPFCONNECTTIMELOADBALANCING"));
    calico_set(present, by_interface || agent.is_some_and(enabled), translation.as_deref())
}

fn calico_set(is_present: bool, by_ebpf: bool, translation: Option<&str>) -> Verdict {
    match (is_present, by_ebpf) {
        (_, true) if translation.is_some_and(|value| value.eq_ignore_ascii_case("disabled")) => {
            Verdict::ok("Calico uses eBPF and leaves the addresses of services alone")
        }
        (_, true) => Verdict::warning(
            "Calico uses eBPF, which translates services when applications connect unless that is switched off",
            r#"kubectl patch felixconfiguration default --type=merge -p '{"spec":{"bpfConnectTimeLoadBalancing":"Disabled"}}'"#,
        ),
        (true, false) => Verdict::ok("Calico uses iptables or nftables"),
        (false, false) => Verdict::ok("not here"),
    }
}

pub(super) fn aws(context: &Context<'_>, plugins: &[String]) -> Verdict {
    let mut agents = context.running(&["aws-k8s-agent", "controller", "aws-network-po"]);
    let mode = agents.find_map(|agent| agent.variable("NETWORK_POLICY_ENFORCING_MODE"));
    let present = plugins.iter().any(|plugin| plugin == "aws-cni");
    aws_set(present, mode.as_deref())
}

fn aws_set(is_present: bool, mode: Option<&str>) -> Verdict {
    match (is_present, mode) {
        (true, Some("strict")) => Verdict::warning(
            "the VPC CNI enforces network policies strictly: pods start with everything denied",
            "kubectl -n kube-system set env daemonset/aws-node NETWORK_POLICY_ENFORCING_MODE=standard",
        ),
        (true, _) => Verdict::ok("the VPC CNI does not enforce network policies strictly"),
        (false, _) => Verdict::ok("not here"),
    }
}

pub(super) fn kube_proxy(context: &Context<'_>) -> Verdict {
    let has = |name: &str| Path::new("/sys/class/net").join(name).exists();
    if has("kube-ipvs0") {
        return Verdict::ok("services are translated by IPVS");
    }
    let tables = context.filters.tables().unwrap_or_default();
    if tables.iter().any(|table| table.name.ends_with(" kube-proxy")) {
        return Verdict::ok("services are translated by nftables");
    }
    if tables.iter().any(|table| table.chains.contains_key("KUBE-SERVICES")) {
        return Verdict::ok("services are translated by iptables");
    }
    Verdict::ok("none is at work here, as on hosts without a cluster or where a network plugin replaces it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::State;

    #[test]
    fn settings_of_cilium_that_bypass_capture_are_problems() {
        let settings =
            |all: &[(&str, &str)]| all.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        for (all, state) in [
            (&[("kube-proxy-replacement", "true")][..], State::Problem),
            (&[("bpf-lb-sock", "true")], State::Problem),
            (
                &[("bpf-lb-sock", "true"), ("bpf-lb-sock-hostns-only", "true"), ("cni-exclusive", "false")],
                State::Ok,
            ),
            (
                &[("kube-proxy-replacement", "true"), ("bpf-lb-sock", "false"), ("cni-exclusive", "false")],
                State::Ok,
            ),
            (&[("cni-exclusive", "true")], State::Warning),
            (&[("cni-exclusive", "false"), ("enable-bpf-masquerade", "true")], State::Warning),
            (&[], State::Warning),
        ] {
            assert_eq!(cilium_set(&settings(all)).state, state, "{all:?}");
        }
    }

    #[test]
    fn settings_of_calico_and_the_vpc_plugin_are_judged() {
        assert_eq!(calico_set(false, false, None).state, State::Ok);
        assert_eq!(calico_set(true, false, None).state, State::Ok);
        assert_eq!(calico_set(true, true, None).state, State::Warning);
        assert_eq!(calico_set(true, true, Some("TCP")).state, State::Warning);
        assert_eq!(calico_set(true, true, Some("Disabled")).state, State::Ok);
        assert_eq!(aws_set(true, Some("strict")).state, State::Warning);
        assert_eq!(aws_set(true, Some("standard")).state, State::Ok);
        assert_eq!(aws_set(false, None).state, State::Ok);
    }
}
