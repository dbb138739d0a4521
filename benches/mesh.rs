//! The mesh state of a node: what a large mesh costs in memory and time, and what a change, a lookup and a choice cost in it.

pub(crate) mod made;
mod node;
mod route;
mod store;

use std::path::Path;

use culvert_lab::Error;

use crate::figures::Figures;

/// How large the mesh is.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Size {
    /// Workloads.
    #[arg(long, default_value_t = Self::default().workloads)]
    pub(crate) workloads: usize,
    /// Services.
    #[arg(long, default_value_t = Self::default().services)]
    pub(crate) services: usize,
}

impl Default for Size {
    fn default() -> Self {
        Self { workloads: 100_000, services: 10_000 }
    }
}

pub(crate) fn measure(size: &Size, programs: &Path) -> Result<Figures, Error> {
    let mut figures = Figures::default();
    store::measure(size, &mut figures);
    route::measure(&mut figures);
    node::measure(size, programs, &mut figures)?;
    Ok(figures)
}
