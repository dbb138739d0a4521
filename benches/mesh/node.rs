//! A whole node under a large mesh: `culvert-control` serves it, `culvert-node` takes it.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use culvert_lab::{Error, Lab, PodSpec, Programs};

use super::{Size, made};
use crate::figures::Figures;
use crate::memory;

/// How long the memory of a node that has just become ready may take to fall.
const SETTLE: Duration = Duration::from_secs(2);

/// Measures the programs beside this one.
pub(super) fn measure(size: &Size, programs: &Path, figures: &mut Figures) -> Result<(), Error> {
    let programs = Programs::from_directory(programs);
    let (idle, _) = start(&programs, None)?;
    figures.add("node: resident memory, empty mesh", idle, "MB");
    let (full, ready) = start(&programs, Some(size))?;
    figures.add("node: resident memory, full mesh", full, "MB");
    figures.add("node: time to ready, full mesh", ready, "s");
    Ok(())
}

/// Starts a mesh and gives the resident memory of its node, in MB, and the seconds until it was ready.
fn start(programs: &Programs, size: Option<&Size>) -> Result<(f64, f64), Error> {
    let lab = Lab::new("bench")?.with_programs(programs.clone());
    let node = lab.node("one")?;
    let pod = lab.pod(&node, PodSpec::new("pod"))?;
    lab.enrol(&pod)?;
    if let Some(size) = size {
        let directory = lab.mesh_file().parent().map(Path::to_owned).unwrap_or_default();
        fs::write(directory.join("large.json"), made::file(size, 0))
            .expect("the lab's directory can be written");
    }
    lab.start_control()?;
    lab.start_agent(&node)?;
    let started = Instant::now();
    let program = lab.start_node(&node)?;
    let ready = started.elapsed().as_secs_f64();
    let [resident] = memory::settled([program.pid()], SETTLE);
    Ok((resident, ready))
}
