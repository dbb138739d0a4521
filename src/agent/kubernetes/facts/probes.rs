//! The ports of a pod that kubelet connects to: by its containers' probes and the hooks of their life.
//!
//! Probes that go to another host are left out: the pod is not who takes them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::super::wire::{Connect, Container, Handler, Port, Spec};

/// The ports of all containers that live as long as the pod.
pub(super) fn ports(spec: &Spec, addresses: &[IpAddr]) -> BTreeSet<u16> {
    let sidecars = spec.init_containers.iter().filter(|container| container.restart_policy == "Always");
    let containers = spec.containers.iter().chain(sidecars);
    containers.flat_map(|container| of_container(container, addresses)).collect()
}

fn of_container<'a>(container: &'a Container, addresses: &'a [IpAddr]) -> impl Iterator<Item = u16> {
    let probes = [&container.liveness_probe, &container.readiness_probe, &container.startup_probe];
    let hooks = [&container.lifecycle.post_start, &container.lifecycle.pre_stop];
    // Kubelet does nothing with a hook's TCP socket.
    let hooks = hooks.into_iter().flatten().filter_map(|hook| hook.http_get.as_ref());
    let connects = probes.into_iter().flatten().flat_map(of_probe).chain(hooks);
    connects
        .filter(move |connect| goes_to_the_pod(connect, addresses))
        .filter_map(move |connect| number(connect.port.as_ref()?, container))
}

fn of_probe(probe: &Handler) -> impl Iterator<Item = &Connect> {
    [&probe.http_get, &probe.tcp_socket, &probe.grpc].into_iter().flatten()
}

fn goes_to_the_pod(connect: &Connect, addresses: &[IpAddr]) -> bool {
    let host = connect.host.as_str();
    host.is_empty() || host.parse().is_ok_and(|address| addresses.contains(&address))
}

fn number(port: &Port, container: &Container) -> Option<u16> {
    let number = match port {
        Port::Number(number) => *number,
        Port::Name(name) => {
            let named = |port: &&super::super::wire::ContainerPort| {
                port.name == *name && matches!(port.protocol.as_str(), "" | "TCP")
            };
            match container.ports.iter().find(named) {
                Some(port) => port.container_port,
                // `"8080"` is a number to kubelet, too.
                None => name.parse().ok()?,
            }
        }
    };
    u16::try_from(number).ok().filter(|number| *number != 0)
}
