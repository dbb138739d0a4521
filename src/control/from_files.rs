//! The control plane of a mesh that is written down in files: who may ask, the mesh, and the root, all followed for changes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use clap::Args;
use culvert_discovery::catalog::Collection;
use culvert_process::signal::Stop;
use tokio::task::JoinSet;

use crate::callers::listed::{self, Listed};
use crate::live::{self, Live};
use crate::published::Published;
use crate::root::leaves::Signed;
use crate::server::Farewell;
use crate::serving::{self, Failed, Served, ServingArgs};
use crate::{mesh, root};

/// Where the files are.
#[derive(Debug, Args)]
pub(crate) struct FileArgs {
    /// The mesh: a file, or a directory of *.yaml, *.yml and *.json files. Followed while running.
    #[arg(long, value_name = "PATH")]
    pub(crate) mesh: PathBuf,
    /// Where the root is: root-key.pem and root-cert.pem, both made at the first start. Followed while running.
    #[arg(long, value_name = "DIR")]
    pub(crate) ca_dir: PathBuf,
    /// Who may connect: a list of tokens, each for a node or for one identity. Followed while running.
    #[arg(long, value_name = "FILE")]
    pub(crate) tokens: PathBuf,
}

/// Serves until asked to stop.
pub(crate) async fn run(args: FileArgs, serving: ServingArgs) -> Result<(), Failed> {
    // First of all: a signal that comes while the root is being made must not leave half of it.
    let stop = Stop::listen()?;
    let (callers, follow_callers) = live::follow("token file", &args.tokens, listed::read)?;
    let (published, follow_mesh) = mesh::follow(&args.mesh)?;
    log_sizes(&callers, &published);
    let (root, follow_root) = root::follow(&args.ca_dir, SystemTime::now())?;
    let mut background = JoinSet::new();
    background.spawn(follow_callers);
    background.spawn(follow_mesh);
    background.spawn(follow_root);
    let (signed, longest) = (Signed::default(), serving.lifetimes()?.longest());
    background.spawn(root::keep_leaves(args.ca_dir, root.clone(), signed.clone(), longest));
    let residents = Arc::clone(&published);
    let served = Served {
        callers: Arc::new(callers),
        residents,
        published,
        root,
        signed,
        farewell: Farewell::none(),
        background,
    };
    serving::serve(served, serving, stop).await
}

fn log_sizes(callers: &Live<Listed>, published: &Published) {
    let (tokens, catalog) = (callers.borrow().len(), published.read());
    let (addresses, policies) = (catalog.len(Collection::Addresses), catalog.len(Collection::Policies));
    tracing::info!(tokens, addresses, policies, "token file and mesh taken");
}
