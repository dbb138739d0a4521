//! What is behind a waypoint is reached through it, and never around it. A waypoint is any HBONE peer (here Envoy, and one made
//! of Python's h2), or a captured pod.
//!
//! Behind the waypoints is a pod that lets nobody else in: whatever reaches it went through.

use culvert_lab::{Pod, Program, Service, wait_for};

use crate::harness::certificates::{Authority, Certificate};
use crate::harness::cluster::Cluster;
use crate::harness::talk::SOON;

mod envoy;
mod h2;
mod refused;
mod sandwich;

/// An item of a list of policies: only this service account gets to the pod.
fn only(account: &str, to: &Pod) -> String {
    let [v4, v6] = to.ips();
    format!(
        "- {{name: only-{account}-to-{}, namespace: default, scope: Namespace, action: Deny, rules: [[[{{\
         destinationIps: [\"{v4}\", \"{v6}\"], \
         notPrincipals: [!Exact cluster.local/ns/default/sa/{account}]}}]]]}}\n",
        to.name(),
    )
}

/// A key of the mesh file: behind this waypoint, by the name of its service.
fn behind(waypoint: &Service) -> String {
    format!("waypoint: {{destination: \"{}/{}\"}}", waypoint.namespace(), waypoint.hostname())
}

/// A certificate of the mesh for a service account.
#[track_caller]
fn certificate(cluster: &Cluster, account: &str) -> Certificate {
    let identity = format!("spiffe://cluster.local/ns/default/sa/{account}");
    Authority::of_control(&cluster.lab).issue(cluster.lab.directory(), &identity)
}

/// The line a proxy logs about a connection that all these parts are in. Clients use a port for more than one.
#[track_caller]
fn logged(proxy: &Program, parts: &[String]) -> String {
    let is_it = |line: &&str| parts.iter().all(|part| line.contains(part));
    let what = format!("{} logs a line with {parts:?}", proxy.name());
    wait_for(SOON, &what, || proxy.log_text().lines().find(is_it).map(str::to_owned)).unwrap()
}
