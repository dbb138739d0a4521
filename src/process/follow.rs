//! Follows a file: its text once at the start, and again each time it has changed.
//!
//! Looks at the file's metadata a few times a second instead of using inotify: a node can run out of inotify
//! instances, and inotify misses bind mounts that are replaced as a whole. A change counts once the file has kept
//! still for one look, so that a half-written file is not taken for a short one; one that cannot be read then, for want
//! of descriptors perhaps, is read again until it can. It does not parse.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time between two looks; a change is reported one to two looks after it happened.
const LOOK: Duration = Duration::from_millis(150);

/// When a file is read again that could not be read.
const AGAIN: Duration = Duration::from_secs(1);

/// A file being followed.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    reported: Fingerprint,
    /// Why what was reported could not be read.
    unread: Option<io::ErrorKind>,
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
        Ok((Self { path: path.to_owned(), reported, unread: None }, text))
    }

    /// Starts to follow a file that need not exist, nor be text. What it has now is for the caller to read.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), reported: fingerprint(path), unread: None }
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
        self.changed_by(|path| std::fs::read_to_string(path)).await
    }

    async fn changed_by(&mut self, read: impl Fn(&Path) -> io::Result<String>) -> io::Result<String> {
        loop {
            match self.unread {
                // It may be changed meanwhile, or not.
                Some(_) => drop(tokio::time::timeout(AGAIN, self.settled()).await),
                None => self.settled().await,
            }
            let known = self.unread.take();
            let result = read(&self.path);
            if known.is_some() && !self.is_settled() {
                // Somebody writes it at the moment: half of it is none.
                self.unread = known;
                continue;
            }
            match result {
                Err(error) if may_pass(error.kind()) => {
                    self.unread = Some(error.kind());
                    if known != self.unread {
                        return Err(error);
                    }
                }
                result => return result,
            }
        }
    }

    /// Whether the file is what it was when it was last reported: nobody is writing it.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        fingerprint(&self.path) == self.reported
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

/// Whether a file that could not be read can be without being changed.
fn may_pass(error: io::ErrorKind) -> bool {
    !matches!(error, io::ErrorKind::NotFound | io::ErrorKind::InvalidData)
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

    #[tokio::test(start_paused = true)]
    async fn a_change_that_cannot_be_read_is_reported_once_and_read_when_it_can_be() {
        let path = file("unread");
        std::fs::write(&path, "one").unwrap();
        let (mut follower, _) = Follower::open(&path).unwrap();
        std::fs::write(&path, "two!").unwrap();
        let attempts = std::cell::Cell::new(0);
        let read = |path: &Path| {
            attempts.set(attempts.get() + 1);
            if attempts.get() < 4 {
                return Err(io::Error::from_raw_os_error(24));
            }
            std::fs::read_to_string(path)
        };
        follower.changed_by(read).await.unwrap_err();
        assert_eq!((attempts.get(), follower.changed_by(read).await.unwrap().as_str()), (1, "two!"));
        let none = tokio::time::timeout(AGAIN * 10, follower.changed_by(read)).await;
        assert!(none.is_err(), "it has not changed since");
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
