//! The mesh file: what the nodes' proxies and the control plane shall know, as YAML text.
//!
//! In go the lab's pods and services, and text the test wrote; out comes the file. Nothing here writes or waits.

use std::fmt::Write as _;

use crate::pod::Pod;
use crate::service::Service;

/// A part of the mesh file to which text of a test's own can be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// Who there is.
    Workloads,
    /// What they offer.
    Services,
    /// Who may talk to whom.
    Policies,
}

/// Text of a test's own, by section: items of YAML lists.
#[derive(Debug, Clone, Default)]
pub(crate) struct Additions {
    workloads: String,
    services: String,
    policies: String,
}

impl Additions {
    pub(crate) fn set(&mut self, section: Section, yaml: &str) {
        let text = match section {
            Section::Workloads => &mut self.workloads,
            Section::Services => &mut self.services,
            Section::Policies => &mut self.policies,
        };
        *text = indent(yaml, 0);
    }
}

/// Everything the file is made of.
pub(crate) struct Mesh<'l> {
    pub(crate) pods: &'l [Pod],
    pub(crate) is_enrolled: &'l dyn Fn(&Pod) -> bool,
    pub(crate) services: &'l [Service],
    pub(crate) additions: &'l Additions,
}

impl Mesh<'_> {
    pub(crate) fn render(&self) -> String {
        let workloads: String = self.pods.iter().map(|pod| self.workload(pod)).collect();
        let services: String = self.services.iter().map(service).collect();
        [
            section("workloads", &[&workloads, &self.additions.workloads]),
            section("services", &[&services, &self.additions.services]),
            section("policies", &[&self.additions.policies]),
        ]
        .concat()
    }

    fn workload(&self, pod: &Pod) -> String {
        let spec = pod.spec();
        let protocol = if spec.takes_tunnels || (self.is_enrolled)(pod) { "HBONE" } else { "TCP" };
        let memberships =
            self.services.iter().filter(|service| service.has(pod)).map(|service| {
                format!("\"{}/{}\": {}", service.namespace(), service.hostname(), ports(service))
            });
        format!(
            "- uid: \"Kubernetes//Pod/{namespace}/{name}\"\n  name: \"{name}\"\n  namespace: \"{namespace}\"\n  \
             serviceAccount: \"{account}\"\n  trustDomain: \"{domain}\"\n  node: \"{node}\"\n  \
             workloadIps: [\"{ip4}\", \"{ip6}\"]\n  protocol: {protocol}\n  services: {{{services}}}\n{more}",
            namespace = spec.namespace,
            name = spec.name,
            account = spec.service_account,
            domain = spec.trust_domain,
            node = pod.node(),
            ip4 = pod.ip4(),
            ip6 = pod.ip6(),
            services = memberships.collect::<Vec<_>>().join(", "),
            more = indent(&spec.mesh_keys, 2),
        )
    }
}

fn service(service: &Service) -> String {
    format!(
        "- name: \"{}\"\n  namespace: \"{}\"\n  hostname: \"{}\"\n  vips: [\"/{}\", \"/{}\"]\n  ports: {}\n{}",
        service.name(),
        service.namespace(),
        service.hostname(),
        service.ip4(),
        service.ip6(),
        ports(service),
        indent(&service.spec.mesh_keys, 2),
    )
}

fn ports(service: &Service) -> String {
    let pairs: Vec<_> = service.spec.ports.iter().map(|(port, target)| format!("{port}: {target}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

fn section(name: &str, items: &[&str]) -> String {
    let items = items.concat();
    if items.is_empty() { format!("{name}: []\n") } else { format!("{name}:\n{items}") }
}

/// Moves a block of text, as it stands in a test's source, to a column.
fn indent(text: &str, column: usize) -> String {
    let lines = || text.lines().filter(|line| !line.trim().is_empty());
    let margin = lines().map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    lines().fold(String::new(), |mut block, line| {
        // Writing to a String cannot fail.
        let _ = writeln!(block, "{:column$}{}", "", &line[margin..]);
        block
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_mesh_has_all_sections() {
        let mesh =
            Mesh { pods: &[], is_enrolled: &|_| false, services: &[], additions: &Additions::default() };
        assert_eq!(mesh.render(), "workloads: []\nservices: []\npolicies: []\n");
    }

    #[test]
    fn text_of_a_test_is_moved_to_the_margin() {
        let mut additions = Additions::default();
        additions.set(
            Section::Policies,
            "
            - name: one
              rules:
                - []
            ",
        );
        assert_eq!(additions.policies, "- name: one\n  rules:\n    - []\n");
    }
}
