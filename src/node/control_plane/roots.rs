//! Notices that the roots of the mesh have changed: the file the control plane's roots are read from is written anew when they
//! are rotated, and certificates under the old root should not wait for their half-life then.

use std::path::PathBuf;
use std::time::Duration;

use super::Root;

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Follows the content of a root file; other roots never change.
#[derive(Debug)]
pub(crate) struct RootWatch {
    path: Option<PathBuf>,
    known: Option<Vec<u8>>,
}

impl RootWatch {
    pub(crate) fn new(root: &Root) -> Self {
        let path = match root {
            Root::File(path) => Some(path.clone()),
            Root::System | Root::Pem(_) => None,
        };
        Self { path, known: None }
    }

    /// Resolves when the file has another content than before; one that is missing for a while has not changed. Cancel safe.
    pub(crate) async fn changed(&mut self) {
        let Some(path) = &self.path else { return std::future::pending().await };
        loop {
            if let Ok(content) = tokio::fs::read(path).await
                && !content.is_empty()
                && self.known.as_ref() != Some(&content)
                && self.known.replace(content).is_some()
            {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_another_content_is_a_change() {
        let path = std::env::temp_dir().join(format!("culvert-root-{}", std::process::id()));
        let mut watch = RootWatch::new(&Root::File(path.clone()));
        let quiet = async |watch: &mut RootWatch| {
            tokio::time::timeout(Duration::from_millis(50), watch.changed()).await.is_err()
        };
        assert!(quiet(&mut watch).await, "not there");
        std::fs::write(&path, "one").unwrap();
        assert!(quiet(&mut watch).await, "the first content is no change");
        std::fs::write(&path, "one").unwrap();
        assert!(quiet(&mut watch).await, "the same again");
        std::fs::write(&path, "two").unwrap();
        tokio::time::timeout(Duration::from_secs(10), watch.changed()).await.unwrap();
        std::fs::remove_file(&path).unwrap();
    }
}
