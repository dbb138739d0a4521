//! Who is there: two pods with Culvert between them, the nodes of both with a large mesh, and a pod that answers for the many others.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use culvert_lab::{Launch, PATIENCE, Pod, PodSpec, Program, http};

use crate::mesh::{self, made};
use crate::path::error::{Doing as _, Error};
use crate::path::load;
use crate::path::tool::run_in;
use crate::path::topology::{self, Bed};

/// The addresses of the many, all of which one pod has.
const MANY: &str = "10.128.0.0/9";
/// Where a captured pod's connections arrive.
const CAPTURE: u16 = 15001;
/// Where a node shows its metrics.
pub(super) const METRICS: u16 = 15020;

/// All of it, running.
pub(super) struct Scene {
    pub(super) bed: Bed,
    nodes: [Program; 2],
}

impl Scene {
    /// Makes it; the first of the workloads, so many as are called, take no tunnels, and answer.
    pub(super) fn make(size: &mesh::Size, called: usize, programs: &Path) -> Result<Self, Error> {
        let bed = Bed::make("watched", Some(topology::programs(programs)?))?;
        crowd(&bed)?;
        let Bed { lab, nodes: [one, two], client, server, .. } = &bed;
        // Before there is a node, as everything about a pod is waited for in dumps, which are large here.
        lab.enrol_all(&[client, server])?;
        let file = lab.mesh_file().with_file_name("large.json");
        fs::write(&file, made::file(size, called)).doing(|| format!("write {}", file.display()))?;
        lab.start_control()?;
        lab.start_agent(one)?;
        lab.start_agent(two)?;
        let nodes = [lab.start_node(one)?, lab.start_node(two)?];
        for pod in [client, server] {
            let what = format!("pod {} is captured", pod.name());
            lab.wait_until(PATIENCE, &what, || {
                pod.is_captured().unwrap_or(false) && pod.listens(CAPTURE).unwrap_or(false)
            })?;
        }
        bed.wait_until_it_carries()?;
        Ok(Self { bed, nodes })
    }

    /// The node that is looked at: the client's.
    pub(super) fn looked_at(&self) -> &Program {
        &self.nodes[0]
    }

    /// How many samples its metrics have.
    pub(super) fn samples(&self) -> Result<usize, Error> {
        let server = (Ipv4Addr::LOCALHOST, METRICS);
        let answer =
            http::get(self.bed.nodes[0].netns(), server, "/metrics").doing(|| "read the metrics".into())?;
        Ok(answer.text().lines().filter(|line| !line.starts_with('#')).count())
    }
}

/// Adds a pod beside the server that has the addresses of all the others, and answers there.
fn crowd(bed: &Bed) -> Result<Pod, Error> {
    let [one, two] = &bed.nodes;
    let pod = bed.lab.pod(two, PodSpec::new("crowd"))?;
    run_in(pod.netns(), &format!("ip route add local {MANY} dev lo"))?;
    run_in(two.netns(), &format!("ip route add {MANY} via {}", pod.ip4()))?;
    run_in(one.netns(), &format!("ip route add {MANY} via {}", two.ip4()))?;
    let launch = Launch::new("crowd", topology::own_program()?, pod.netns()).arg("serve");
    bed.lab.start(launch)?.wait_for_log(load::server::READY, PATIENCE)?;
    Ok(pod)
}
