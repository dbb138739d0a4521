//! The relay pair: one in each pod's namespace, both entered by redirection.

use culvert_lab::{Launch, PATIENCE, Pod, Program};

use crate::path::error::{Doing as _, Error};
use crate::path::redirect::{self, CLIENT_PORT, MARK, SERVER_PORT};
use crate::path::topology::{Bed, own_program};

pub(super) fn prepare(bed: &Bed) -> Result<(), Error> {
    redirect::at_client(bed)?;
    redirect::at_server(bed)
}

pub(super) fn start(bed: &Bed) -> Result<[Program; 2], Error> {
    Ok([start_one(bed, &bed.client, CLIENT_PORT)?, start_one(bed, &bed.server, SERVER_PORT)?])
}

fn start_one(bed: &Bed, pod: &Pod, port: u16) -> Result<Program, Error> {
    let launch = Launch::new(&format!("relay-{}", pod.name()), own_program()?, pod.netns());
    let launch = launch.arg("relay").arg("--port").arg(port).arg("--mark").arg(MARK);
    let program = bed.lab.start(launch)?;
    wait_until_it_listens(bed, pod, port)?;
    Ok(program)
}

/// Waits until something in a pod listens.
pub(super) fn wait_until_it_listens(bed: &Bed, pod: &Pod, port: u16) -> Result<(), Error> {
    pod.listens(port).doing(|| format!("see who listens in pod {}", pod.name()))?;
    let what = format!("something listens on port {port} of pod {}", pod.name());
    Ok(bed.lab.wait_until(PATIENCE, &what, || pod.listens(port).unwrap_or(false))?)
}
