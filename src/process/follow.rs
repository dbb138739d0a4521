//! Follows a file: its text once at the start, and again each time it has changed.
//!
//! Looks at the file's metadata a few times a second instead of using inotify: a node can run out of inotify
//! instances, and inotify misses bind mounts that are replaced as a whole. A change counts once the file has kept
//! still for one look, so that a half-written file is not taken for a short one. It does not parse.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time between two looks; a change is reported one to two looks after it happened.
const LOOK: Duration = Duration::from_millis(150);

/// A file being followed.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    reported: Fingerprint,
}

/// What changes when a file's content is replaced or rewritten. `Err` keeps the kind of error of a missing file.
type Fingerprint = Result<(u64, u64, u64, i64, i64), io::ErrorKind>;

impl Follower {
    /// Reads the file and starts to follow it.
    ///
    /// # Errors
    /// When the file cannot be read, or is not UTF-8.
    pub fn open(path: &Path) -> io::Result<(Self, String)> {
        let reported = fingerprint(path);
        let text = std::fs::read_to_string(path)?;
        Ok((Self { path: path.to_owned(), reported }, text))
    }

    /// Starts to follow a file that need not exist, nor be text. What it has now is for the caller to read.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), reported: fingerprint(path) }
    }

    /// The file being followed.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until the file has changed and returns its new text. Cancel safe.
    ///
    /// # Errors
    /// When it has become unreadable; reported once, until that changes again.
    pub async fn changed(&mut self) -> io::Result<String> {
        self.settled().await;
        std::fs::read_to_string(&self.path)
    }

    /// Waits until the file has changed, appeared or disappeared, and leaves it to the caller to read it. Cancel safe.
    pub async fn settled(&mut self) {
        let mut previous = self.reported;
        loop {
            tokio::time::sleep(LOOK).await;
            let now = fingerprint(&self.path);
            if now != self.reported && now == previous {
                self.reported = now;
                return;
            }
            previous = now;
        }
    }
}

fn fingerprint(path: &Path) -> Fingerprint {
    let metadata = std::fs::metadata(path).map_err(|error| error.kind())?;
    Ok((metadata.dev(), metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("culvert-follow-{name}-{}", std::process::id()))
    }

    async fn next(follower: &mut Follower) -> io::Result<String> {
        tokio::time::timeout(Duration::from_secs(10), follower.changed())
            .await
            .expect("a change is seen in time")
    }

    #[tokio::test]
    async fn rewrites_replacements_and_disappearance_are_seen() {
        let path = file("all");
        std::fs::write(&path, "one").unwrap();
        let (mut follower, text) = Follower::open(&path).unwrap();
        assert_eq!(text, "one");

        std::fs::write(&path, "two!").unwrap();
        assert_eq!(next(&mut follower).await.unwrap(), "two!");

        let other = path.with_extension("new");
        std::fs::write(&other, "three").unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert_eq!(next(&mut follower).await.unwrap(), "three");

        std::fs::remove_file(&path).unwrap();
        assert_eq!(next(&mut follower).await.unwrap_err().kind(), io::ErrorKind::NotFound);

        std::fs::write(&path, "four").unwrap();
        assert_eq!(next(&mut follower).await.unwrap(), "four");
        std::fs::remove_file(&path).unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_yet_can_be_followed() {
        let path = file("later");
        let mut follower = Follower::of(&path);
        std::fs::write(&path, [0xff]).unwrap();
        tokio::time::timeout(Duration::from_secs(10), follower.settled()).await.expect("it is seen in time");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_missing_file_is_an_error_at_once() {
        assert_eq!(Follower::open(&file("missing")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
