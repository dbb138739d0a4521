//! The mesh written down in a file (or given as text): read at start, followed for changes.
//!
//! A file that is not valid is reported with line and reason, and changes nothing. What a new content no longer has is
//! removed; what it has unchanged costs a comparison.

use std::collections::HashSet;
use std::sync::Arc;

use culvert_core::mesh_file;
use culvert_core::store::Resource;
use culvert_process::exit::Chain;
use culvert_process::follow::Follower;

use super::{Change, Feed};
use crate::config::MeshSource;

/// Why there is no mesh state to start with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read the mesh file {path} (LOCAL_XDS_PATH)")]
    Unreadable { path: String, source: std::io::Error },
    #[error("the mesh state in {origin} is not valid")]
    Invalid { origin: String, source: mesh_file::Error },
}

/// A file that was read, and what it said.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    follower: Option<Follower>,
    said: Said,
}

/// The names in a file.
#[derive(Debug, Default)]
struct Said {
    addresses: HashSet<Arc<str>>,
    policies: HashSet<Arc<str>>,
}

/// Reads the state; changes must be followed with [`Followed::run`].
pub(crate) fn read(source: &MeshSource) -> Result<(Vec<Change>, Followed), Error> {
    let (text, origin, follower) = match source {
        MeshSource::Inline(text) => (text.clone(), "LOCAL_XDS".to_owned(), None),
        MeshSource::File(path) => {
            let path_text = path.display().to_string();
            let (follower, text) = Follower::open(path)
                .map_err(|source| Error::Unreadable { path: path_text.clone(), source })?;
            (text, path_text, Some(follower))
        }
    };
    let (changes, said) =
        changes(&text, &Said::default()).map_err(|source| Error::Invalid { origin, source })?;
    Ok((changes, Followed { follower, said }))
}

impl Followed {
    /// Hands on each valid new content of the file, for ever.
    pub(crate) async fn run(mut self, feed: Feed) {
        let Some(mut follower) = self.follower.take() else { return std::future::pending().await };
        loop {
            let text = follower.changed().await;
            let path = follower.path().display();
            match text {
                Err(error) => {
                    tracing::error!(%path, %error, "the mesh file is unreadable; the old state stays")
                }
                Ok(text) => match self.take(text, &feed).await {
                    Ok(()) => tracing::info!(%path, "mesh state reloaded"),
                    Err(error) => {
                        tracing::error!(%path, error = %Chain(&error), "the mesh file is not valid; the old state stays");
                    }
                },
            }
        }
    }

    async fn take(&mut self, text: String, feed: &Feed) -> Result<(), mesh_file::Error> {
        let before = std::mem::take(&mut self.said);
        // A large file takes a while, and this thread serves connections.
        let parse = move || match changes(&text, &before) {
            Ok((changes, said)) => (Ok(changes), said),
            Err(error) => (Err(error), before),
        };
        let (changes, said) = tokio::task::spawn_blocking(parse).await.expect("parsing does not panic");
        self.said = said;
        feed.apply(changes?).await;
        feed.publish().await;
        Ok(())
    }
}

/// From what was said `before` to what `text` says. Removals come last, so that no moment has less than both.
fn changes(text: &str, before: &Said) -> Result<(Vec<Change>, Said), mesh_file::Error> {
    let mesh = mesh_file::parse(text)?;
    let policies = mesh.policies.into_iter().map(Resource::Policy);
    let services = mesh.services.into_iter().map(Resource::Service);
    let workloads = mesh.workloads.into_iter().map(Resource::Workload);
    let mut said = Said::default();
    let mut changes = Vec::new();
    for resource in policies.chain(services).chain(workloads) {
        let names = match &resource {
            Resource::Policy(_) => &mut said.policies,
            Resource::Service(_) | Resource::Workload(_) => &mut said.addresses,
        };
        names.insert(resource.name());
        changes.push(Change::Insert(resource));
    }
    changes.extend(before.addresses.difference(&said.addresses).cloned().map(Change::RemoveAddress));
    changes.extend(before.policies.difference(&said.policies).cloned().map(Change::RemovePolicy));
    Ok((changes, said))
}
