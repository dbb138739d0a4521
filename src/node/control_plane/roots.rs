//! Notices that the roots of the mesh have changed: the file the control plane's roots are read from is written anew when they
//! are rotated, and certificates under the old root should not wait for their half-life then.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

use super::Root;

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Follows the content of a root file; other roots never change.
#[derive(Debug)]
pub(crate) struct RootWatch {
    path: Option<PathBuf>,
    /// What was there when a change was last told.
    told: Option<Vec<u8>>,
    /// What was there at the last look.
    seen: Option<Vec<u8>>,
    looks: Interval,
}

impl RootWatch {
    /// What counts as the content before is what is there at this moment: certificates that are fetched later may already
    /// come with other roots, and those fetched earlier must not be missed. Must be used within a tokio runtime.
    pub(crate) fn new(root: &Root) -> Self {
        let path = match root {
            Root::File(path) => Some(path.clone()),
            Root::System | Root::Pem(_) => None,
        };
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let told = path.as_ref().and_then(|path| std::fs::read(path).ok()).filter(|it| !it.is_empty());
        Self { path, seen: told.clone(), told, looks }
    }

    /// Resolves when the file has another content than before, and has kept it for one look: half a file is no change. The
    /// first content is none either, nor is a file that is missing or empty for a while. Cancel safe.
    pub(crate) async fn changed(&mut self) {
        let Some(path) = self.path.clone() else { return std::future::pending().await };
        loop {
            self.looks.tick().await;
            let content = tokio::fs::read(&path).await.ok().filter(|content| !content.is_empty());
            if self.is_change(content) {
                return;
            }
        }
    }

    /// Takes what is there at a look.
    fn is_change(&mut self, content: Option<Vec<u8>>) -> bool {
        let still = self.seen == content;
        self.seen = content;
        if !still || self.seen.is_none() || self.seen == self.told {
            return false;
        }
        let first = self.told.is_none();
        self.told.clone_from(&self.seen);
        !first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is there at each look, and whether that is a change.
    async fn check(looks: &[(Option<&str>, bool)]) {
        let mut watch = RootWatch::new(&Root::File("root".into()));
        for (at, (content, change)) in looks.iter().enumerate() {
            let content = content.map(|text| text.as_bytes().to_vec());
            assert_eq!(watch.is_change(content), *change, "{looks:?} at {at}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_before_the_first_look_counts() {
        let path = std::env::temp_dir().join(format!("culvert-root-early-{}", std::process::id()));
        std::fs::write(&path, "one").unwrap();
        let mut watch = RootWatch::new(&Root::File(path.clone()));
        std::fs::write(&path, "two").unwrap();
        tokio::time::timeout(LOOK * 5, watch.changed()).await.unwrap();
        std::fs::remove_file(&path).unwrap();
    }

    #[tokio::test]
    async fn only_another_content_that_stays_is_a_change() {
        let (one, two) = (Some("one"), Some("two"));
        // The first content is none, whenever it comes.
        check(&[(one, false), (one, false), (one, false)]).await;
        check(&[(None, false), (None, false), (one, false), (one, false)]).await;
        check(&[(one, false), (one, false), (two, false), (two, true), (two, false)]).await;
        // Half a file, then all of it.
        let half = Some("tw");
        check(&[(one, false), (one, false), (half, false), (two, false), (two, true)]).await;
        // Gone for a while.
        check(&[(one, false), (one, false), (None, false), (None, false), (one, false), (one, false)]).await;
        check(&[(one, false), (one, false), (None, false), (two, false), (two, true)]).await;
        // There and back between two looks, or for one.
        check(&[(one, false), (one, false), (two, false), (one, false), (one, false)]).await;
    }

    /// The clock of the test is stopped, and goes ahead when nothing else does.
    #[tokio::test(start_paused = true)]
    async fn a_file_is_followed_and_other_roots_never_change() {
        let path = std::env::temp_dir().join(format!("culvert-root-{}", std::process::id()));
        let told =
            async |watch: &mut RootWatch| tokio::time::timeout(LOOK * 5, watch.changed()).await.is_ok();
        let mut watch = RootWatch::new(&Root::File(path.clone()));
        for (content, change) in [("", false), ("one", false), ("two", true), ("two", false)] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(told(&mut watch).await, change, "{content}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(!told(&mut watch).await, "a file that is gone is no change");
        assert!(!told(&mut RootWatch::new(&Root::System)).await);
    }
}
