//! The mesh state: reads the mesh file, publishes immutable snapshots, follows changes.
//!
//! In goes a file (or a text); out come snapshots. A file that does not parse is reported with line and reason and
//! changes nothing.

use std::sync::Arc;
use std::time::Duration;

use culvert_core::mesh_file;
use culvert_core::snapshot::Snapshot;
use culvert_core::workload::Workload;
use culvert_process::exit::Chain;
use culvert_process::follow::Follower;
use tokio::sync::watch;

use crate::config::{MeshConfig, MeshSource};

/// How long a connection waits for the workload of its own pod to appear in the mesh state.
pub(crate) const LOCAL_WORKLOAD_DEADLINE: Duration = Duration::from_secs(5);

/// A reader's handle on the newest snapshot.
#[derive(Debug, Clone)]
pub(crate) struct Mesh(watch::Receiver<Arc<Snapshot>>);

/// Why there is no mesh state to start with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read the mesh file {path} (LOCAL_XDS_PATH)")]
    Unreadable { path: String, source: std::io::Error },
    #[error("the mesh state in {origin} is not valid")]
    Invalid { origin: String, source: mesh_file::Error },
}

impl Mesh {
    /// Reads the state; the second value follows changes for as long as it is run.
    pub(crate) fn read(config: &MeshConfig) -> Result<(Self, impl Future<Output = ()> + use<>), Error> {
        let network = config.network.clone();
        let (text, origin, follower) = match &config.source {
            MeshSource::Inline(text) => (text.clone(), "LOCAL_XDS".to_owned(), None),
            MeshSource::File(path) => {
                let (follower, text) = Follower::open(path)
                    .map_err(|source| Error::Unreadable { path: path.display().to_string(), source })?;
                (text, path.display().to_string(), Some(follower))
            }
        };
        let first = parse(&text, &network).map_err(|source| Error::Invalid { origin, source })?;
        let (publish, latest) = watch::channel(Arc::new(first));
        Ok((Self(latest), follow(follower, network, publish)))
    }

    /// The state of this moment.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.0.borrow())
    }

    /// Resolves when the state has changed since this handle last looked. Cancel safe.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The workload of a pod, waiting for it up to [`LOCAL_WORKLOAD_DEADLINE`].
    pub(crate) async fn local_workload(
        &self,
        namespace: &str,
        name: &str,
        service_account: &str,
    ) -> Option<Arc<Workload>> {
        let find = |snapshot: &Arc<Snapshot>| {
            snapshot.local_workload(namespace, name, service_account).map(Arc::clone)
        };
        let mut latest = self.0.clone();
        let appears = latest.wait_for(|snapshot| find(snapshot).is_some());
        let snapshot = tokio::time::timeout(LOCAL_WORKLOAD_DEADLINE, appears).await.ok()?.ok()?;
        find(&snapshot)
    }
}

fn parse(text: &str, network: &str) -> Result<Snapshot, mesh_file::Error> {
    mesh_file::parse(text).map(|mesh| Snapshot::new(mesh, network))
}

/// Publishes each valid new content of the file.
async fn follow(follower: Option<Follower>, network: String, publish: watch::Sender<Arc<Snapshot>>) {
    let Some(mut follower) = follower else { return publish.closed().await };
    loop {
        let text = follower.changed().await;
        let path = follower.path().display();
        match text.map(|text| apply(&text, &network, &publish)) {
            Err(error) => tracing::error!(%path, %error, "the mesh file is unreadable; the old state stays"),
            Ok(Err(error)) => {
                tracing::error!(%path, error = %Chain(&error), "the mesh file is not valid; the old state stays");
            }
            Ok(Ok(())) => tracing::info!(%path, "mesh state reloaded"),
        }
    }
}

/// Replaces the state by what `text` says, or leaves it when that is not valid.
fn apply(text: &str, network: &str, publish: &watch::Sender<Arc<Snapshot>>) -> Result<(), mesh_file::Error> {
    let snapshot = parse(text, network)?;
    publish.send_replace(Arc::new(snapshot));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inline(text: &str) -> Result<Mesh, Error> {
        let config = MeshConfig { source: MeshSource::Inline(text.into()), network: String::new() };
        Mesh::read(&config).map(|(mesh, _)| mesh)
    }

    fn workload(name: &str) -> String {
        format!(
            "- {{uid: {name}, name: {name}, namespace: ns, serviceAccount: sa, workloadIps: [10.0.0.1], services: {{}}}}\n"
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_workload_that_never_comes_is_given_up_at_the_deadline() {
        let mesh = inline(&format!("workloads:\n{}", workload("here"))).unwrap();
        assert!(mesh.local_workload("ns", "here", "sa").await.is_some());
        assert!(mesh.local_workload("ns", "missing", "sa").await.is_none());
    }

    #[test]
    fn a_bad_edit_keeps_the_old_state() {
        let (publish, latest) = watch::channel(Arc::new(Snapshot::empty()));
        apply(&format!("workloads:\n{}", workload("one")), "", &publish).unwrap();
        apply("workloads: [ nonsense", "", &publish).unwrap_err();
        assert!(Mesh(latest).snapshot().local_workload("ns", "one", "sa").is_some());
    }

    #[tokio::test]
    async fn an_edit_of_the_file_is_taken() {
        let path = std::env::temp_dir().join(format!("culvert-mesh-{}", std::process::id()));
        std::fs::write(&path, format!("workloads:\n{}", workload("one"))).unwrap();
        let config = MeshConfig { source: MeshSource::File(path.clone()), network: String::new() };
        let (mesh, follow) = Mesh::read(&config).unwrap();
        let follow = tokio::spawn(follow);
        std::fs::write(&path, format!("workloads:\n{}{}", workload("one"), workload("two"))).unwrap();
        assert!(mesh.local_workload("ns", "two", "sa").await.is_some());
        follow.abort();
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_bad_state_at_start_names_its_origin() {
        let error = inline("nonsense: 1").unwrap_err();
        assert!(error.to_string().contains("LOCAL_XDS"), "{error}");
    }
}
