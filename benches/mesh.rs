//! The mesh state of a node: what a large mesh costs in memory and time, and what a change and a lookup cost in it.

mod made;
mod store;

use crate::figures::Figures;

/// How large the mesh is.
#[derive(Debug, clap::Args)]
pub(crate) struct Size {
    /// Workloads.
    #[arg(long, default_value_t = 100_000)]
    workloads: usize,
    /// Services.
    #[arg(long, default_value_t = 10_000)]
    services: usize,
}

pub(crate) fn measure(size: &Size) -> Figures {
    let mut figures = Figures::default();
    store::measure(size, &mut figures);
    figures
}
