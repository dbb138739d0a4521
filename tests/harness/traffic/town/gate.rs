//! The waypoint: a program of others in a pod that no agent touches, with a certificate of the mesh that can be revoked.

use std::net::SocketAddr;
use std::path::PathBuf;

use culvert_lab::{Launch, Node, Service, wait_until};
use rcgen::SerialNumber;

use super::{Aim, PORT as SERVED, Town};
use crate::harness::certificates::{Authority, Certificate};
use crate::harness::h2_waypoint::{self, Way};
use crate::harness::revocation;
use crate::harness::talk::SOON;

/// The pod, its namespace and its service account.
pub(super) const GATE: &str = "gate";
/// Where waypoints take tunnels.
pub(super) const PORT: u16 = 15008;

/// A key of the mesh file: behind this waypoint.
pub(super) fn behind(gates: &Service) -> String {
    format!("waypoint: {{destination: \"{}/{}\"}}", gates.namespace(), gates.hostname())
}

impl Town {
    #[track_caller]
    pub(super) fn waypoint_launch(&self) -> Launch {
        let mill = self.resident("mill");
        let ways = self.addresses(Aim::Mill).into_iter().zip(mill.ips());
        let ways: Vec<_> = ways
            .map(|(asked, ip)| Way::tunnel(asked, SocketAddr::new(ip, SERVED), &mill.identity()))
            .collect();
        h2_waypoint::launch(&self.lab, &self.gate, self.certificate(), &ways)
    }

    /// The gate's certificate, once there is a root: the control plane makes it at its first start.
    #[track_caller]
    fn certificate(&self) -> &Certificate {
        self.certificate.get_or_init(|| {
            let is_there = || self.lab.root_certificate().exists();
            wait_until(SOON, "there is a root", is_there).unwrap();
            Authority::of_control(&self.lab).issue(self.lab.directory(), &self.gate.identity())
        })
    }

    /// A list with the gate's certificate on it.
    #[track_caller]
    pub(super) fn revocation_list(&self) -> String {
        let serial = self.certificate().serial();
        revocation::list(&self.lab, &[SerialNumber::from_slice(&serial)])
    }

    /// Where a node reads what is revoked.
    pub(crate) fn revocation_file(node: &Node) -> PathBuf {
        node.directory().join("crl.pem")
    }
}
