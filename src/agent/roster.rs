//! Which namespaces have pods in the mesh, written down where it outlives the agent: what the CNI plugin goes by while the agent is
//! away.
//!
//! In go views of the cluster, out comes a small file, replaced whole. It says nothing of single pods, and a file that is missing or
//! makes no sense says nothing at all.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use culvert_process::exit::Chain;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::cluster::{View, Views, Wish};
use crate::durable::{self, Access, LocalDisk};

/// What the file is called, in the directory for state.
pub(crate) const FILE: &str = "namespaces.json";

/// The grammar below. Another one is not understood, and then nothing is known.
const VERSION: u32 = 1;

/// Far more than a cluster has namespaces.
const MAX_SIZE: u64 = 16 << 20;

/// How often the file is compared with what it should be: somebody may have removed it.
const LOOK: Duration = Duration::from_secs(5);

/// Namespaces with pods in the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Roster {
    version: u32,
    /// Their pods are in the mesh unless they say otherwise.
    enrolled: BTreeSet<Arc<str>>,
    /// Some of their pods on this node are in the mesh because they say so themselves.
    partly_enrolled: BTreeSet<Arc<str>>,
}

/// A file that says nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{} cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} makes no sense", path.display())]
    Parse { path: PathBuf, source: serde_json::Error },
    #[error("{} is of version {version}, of which this program knows nothing", path.display())]
    Version { path: PathBuf, version: u32 },
}

impl Roster {
    /// What a view of the cluster says.
    pub(crate) fn of(view: &View) -> Self {
        let whole = view.namespaces.iter().filter(|(_, enrolled)| **enrolled);
        let enrolled: BTreeSet<Arc<str>> = whole.map(|(name, _)| Arc::clone(name)).collect();
        let by_themselves = view.pods.values().filter(|pod| matches!(pod.wish, Wish::Enrol(_)));
        let partly_enrolled = by_themselves
            .map(|pod| pod.workload.namespace.as_str())
            .filter(|namespace| !enrolled.contains(*namespace))
            .map(Arc::from)
            .collect();
        Self { version: VERSION, enrolled, partly_enrolled }
    }

    /// Reads what was written down.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(MAX_SIZE).read_to_string(&mut text))
            .map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let roster: Self =
            serde_json::from_str(&text).map_err(|source| Error::Parse { path: path.to_owned(), source })?;
        match roster.version {
            VERSION => Ok(roster),
            version => Err(Error::Version { path: path.to_owned(), version }),
        }
    }

    /// Whether a pod of the namespace may have to be in the mesh.
    pub(crate) fn concerns(&self, namespace: &str) -> bool {
        self.enrolled.contains(namespace) || self.partly_enrolled.contains(namespace)
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
            durable::sweep(&LocalDisk, directory)?;
        }
        durable::replace(&LocalDisk, path, &mut text.as_slice(), Access::mode(0o644))
    }
}

/// Takes the file away, and what a crash has left of the next one.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    durable::remove(&LocalDisk, path)?;
    path.parent().map_or(Ok(()), |directory| durable::sweep(&LocalDisk, directory))
}

/// Keeps the file as the views say until they end. Views that come while it is being written count as one.
pub(crate) async fn keep(path: PathBuf, views: Views) {
    keep_looking(path, views, LOOK).await;
}

async fn keep_looking(path: PathBuf, mut views: Views, look: Duration) {
    let mut complained = false;
    loop {
        let roster = views.borrow_and_update().as_deref().map(Roster::of);
        if let Some(roster) = roster {
            let path = path.clone();
            let written = tokio::task::spawn_blocking(move || bring_up_to_date(&path, &roster)).await;
            complained = match written.unwrap_or_else(|panic| Err(io::Error::other(panic))) {
                Ok(()) => false,
                Err(error) => {
                    if !complained {
                        let error = Chain(&error).to_string();
                        warn!(
                            error,
                            "the list of enrolled namespaces cannot be written; while the agent is away the CNI plugin goes by an old one"
                        );
                    }
                    true
                }
            };
        }
        match tokio::time::timeout(look, views.changed()).await {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(_)) => return,
        }
    }
}

fn bring_up_to_date(path: &Path, roster: &Roster) -> io::Result<()> {
    if Roster::read(path).is_ok_and(|written| written == *roster) {
        return Ok(());
    }
    roster.write(path)?;
    let (enrolled, partly) = (roster.enrolled.len(), roster.partly_enrolled.len());
    info!(enrolled, partly, path = %path.display(), "wrote the list of enrolled namespaces");
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::api::tests::cluster::{pod, view};
    use crate::durable::tests::Scratch;

    async fn until_it_says(path: &Path, wanted: &Roster) {
        let end = Instant::now() + Duration::from_secs(20);
        while !Roster::read(path).is_ok_and(|found| found == *wanted) {
            assert!(Instant::now() < end, "{:?}", Roster::read(path));
            sleep(Duration::from_millis(10)).await;
        }
    }

    #[test]
    fn namespaces_and_single_pods_count() {
        let roster = Roster::of(&view(
            &[("shop", true), ("tools", false), ("idle", false)],
            [pod("a", "tools/x", true)],
        ));
        assert!(roster.concerns("shop"));
        assert!(roster.concerns("tools"), "a pod in it is enrolled by its own label");
        assert!(!roster.concerns("idle") && !roster.concerns("unheard-of"));
        let passing = Roster::of(&view(&[("tools", false)], [pod("a", "tools/x", false)]));
        assert!(!passing.concerns("tools"));
    }

    #[tokio::test]
    async fn the_file_follows_the_cluster_and_is_not_touched_otherwise() {
        let scratch = Scratch::new();
        let path = scratch.join("deep/down/namespaces.json");
        let first = view(&[("shop", true)], []);
        let (cluster, views) = watch::channel(None);
        let task = tokio::spawn(keep_looking(path.clone(), views, Duration::from_millis(100)));
        cluster.send_replace(Some(Arc::new(first.clone())));
        until_it_says(&path, &Roster::of(&first)).await;

        let modified = || std::fs::metadata(&path).unwrap().modified().unwrap();
        let written = modified();
        bring_up_to_date(&path, &Roster::of(&first)).unwrap();
        assert_eq!(modified(), written);

        let second = view(&[("shop", false), ("bank", true)], []);
        cluster.send_replace(Some(Arc::new(second.clone())));
        until_it_says(&path, &Roster::of(&second)).await;
        std::fs::remove_file(&path).unwrap();
        until_it_says(&path, &Roster::of(&second)).await;
        drop(cluster);
        tokio::time::timeout(Duration::from_secs(20), task).await.expect("it ends in time").unwrap();
    }

    #[test]
    fn the_file_goes_with_what_a_crash_has_left() {
        let scratch = Scratch::new();
        let path = scratch.join("namespaces.json");
        let roster = Roster::of(&view(&[("shop", true)], []));
        roster.write(&path).unwrap();
        durable::Draft::write(&LocalDisk, &path, &mut "half".as_bytes(), Access::mode(0o644)).unwrap();
        assert_eq!(std::fs::read_dir(scratch.join("")).unwrap().count(), 2);
        remove(&path).unwrap();
        assert_eq!(std::fs::read_dir(scratch.join("")).unwrap().count(), 0);
        let nowhere = scratch.join("nowhere/namespaces.json");
        assert_eq!(remove(&nowhere).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_makes_no_sense_says_nothing() {
        let scratch = Scratch::new();
        for text in [
            "",
            "{}",
            "[]",
            r#"{"version":1,"enrolled":[]"#,
            r#"{"version":2,"enrolled":[],"partlyEnrolled":[]}"#,
        ] {
            scratch.write("f", text);
            Roster::read(&scratch.join("f")).unwrap_err();
        }
        assert!(matches!(Roster::read(&scratch.join("none")), Err(Error::Read { .. })));
        scratch.write("f", r#"{"version":1,"enrolled":["a"],"partlyEnrolled":[]}"#);
        assert!(Roster::read(&scratch.join("f")).unwrap().concerns("a"));
    }
}
