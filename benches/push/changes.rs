//! The files a mesh is made of here: a large one that stays, and small ones that change.

use std::fmt::Write as _;

use crate::mesh::{Size, made};

/// A change of the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// A pod becomes ready or unready.
    Readiness,
    /// A pod comes or goes.
    Pod,
    /// The policy of one namespace says something else.
    Policy,
}

impl Change {
    pub(super) const ALL: [Self; 3] = [Self::Readiness, Self::Pod, Self::Policy];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Readiness => "a pod becomes ready or unready",
            Self::Pod => "a pod comes or goes",
            Self::Policy => "a policy changes",
        }
    }

    /// The file it is made in.
    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Readiness => "readiness.json",
            Self::Pod => "pod.json",
            Self::Policy => "policy.json",
        }
    }

    /// What the file says after so many changes.
    pub(super) fn text(self, times: usize) -> String {
        let odd = times % 2 == 1;
        match self {
            Self::Readiness => pod("steady", 1, if odd { "Unhealthy" } else { "Healthy" }),
            Self::Pod if odd => pod("new", 2, "Healthy"),
            Self::Pod => "{}".to_owned(),
            Self::Policy => policies([policy(0, if odd { 8081 } else { 8080 })].iter()),
        }
    }
}

/// The policies that stay: one for each namespace but the first.
pub(super) fn steady_policies(size: &Size) -> String {
    let all: Vec<_> = (1..made::namespaces(size.services)).map(|number| policy(number, 8080)).collect();
    policies(all.iter())
}

fn pod(name: &str, number: u8, status: &str) -> String {
    format!(
        "{{\"workloads\":[{{\"name\":\"{name}\",\"namespace\":\"team-0\",\"serviceAccount\":\"app-0\",\"protocol\":\"HBONE\",\
         \"node\":\"node-0\",\"workloadIps\":[\"10.255.255.{number}\"],\"status\":\"{status}\",\
         \"services\":{{\"team-0/app-0.team-0.svc.cluster.local\":{{\"80\":8080}}}}}}]}}"
    )
}

/// Lets the namespace's own workloads in, to one port.
fn policy(namespace: usize, port: u16) -> String {
    format!(
        "{{\"name\":\"own\",\"namespace\":\"team-{namespace}\",\"scope\":\"Namespace\",\"action\":\"Allow\",\
         \"rules\":[[[{{\"namespaces\":[{{\"Exact\":\"team-{namespace}\"}}],\"destinationPorts\":[{port}]}}]]]}}"
    )
}

fn policies<'a>(all: impl Iterator<Item = &'a String>) -> String {
    let mut text = "{\"policies\":[".to_owned();
    for (number, policy) in all.enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{}{policy}", if number == 0 { "" } else { ",\n" });
    }
    text.push_str("]}\n");
    text
}
