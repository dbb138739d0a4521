//! This project's programs: the two pods enrolled, an agent and a node on each node, the control plane on its own host.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use culvert_lab::{Pod, PodSpec, Program};

use crate::path::error::Error;
use crate::path::load::COLD;
use crate::path::topology::Bed;

pub(super) fn prepare(bed: &Bed) -> Result<(), Error> {
    bed.lab.enrol_all(&[&bed.client, &bed.server])?;
    bed.lab.start_control()?;
    for node in &bed.nodes {
        bed.lab.start_agent(node)?;
    }
    Ok(())
}

/// Starts the two nodes, and waits until the pods are captured.
pub(super) fn start(bed: &Bed) -> Result<[Program; 2], Error> {
    let [one, two] = &bed.nodes;
    let programs = [bed.lab.start_node(one)?, bed.lab.start_node(two)?];
    bed.lab.enrol_all(&[&bed.client, &bed.server])?;
    Ok(programs)
}

/// Enrols new pods on the client's node, each with an identity that has never spoken to the server: no tunnel, and
/// nothing a handshake could be shortened with.
pub(super) fn strangers(bed: &Bed, count: usize) -> Result<Vec<(Pod, SocketAddr)>, Error> {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let make = |_| {
        let name = format!("stranger-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        bed.lab.pod(&bed.nodes[0], PodSpec::new(&name).service_account(&name))
    };
    let pods = (0..count).map(make).collect::<Result<Vec<_>, _>>()?;
    bed.lab.enrol_all(&pods.iter().collect::<Vec<_>>())?;
    Ok(pods.into_iter().map(|pod| (pod, bed.to(COLD))).collect())
}
