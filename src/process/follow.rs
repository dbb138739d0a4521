//! Follows a file: its text once at the start, and again each time it has changed.
//!
//! Looks at the file's metadata a few times a second instead of using inotify: a node can run out of inotify
//! instances, and inotify misses bind mounts that are replaced as a whole. A change counts once the file has kept
//! still for one look and while it was read, so that a half-written file is not taken for a short one; one that cannot be
//! read then, for want of descriptors perhaps, is read again until it can. It does not parse.

use std::future::ready;
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
    /// What it was when it was last seen to have changed.
    settled: Fingerprint,
    content: Content,
}

/// What has become of the file's content since it changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Read,
    /// Nobody has come to it yet.
    Due,
    /// It could not be read, which was said.
    Unread(io::ErrorKind),
    /// Somebody wrote it while it was read: what was read may be half of it.
    Torn,
}

/// What changes when a file's content is replaced or rewritten. `Err` keeps the kind of error of a missing file.
type Fingerprint = Result<(u64, u64, u64, i64, i64), io::ErrorKind>;

impl Follower {
    /// Reads the file and starts to follow it.
    ///
    /// # Errors
    /// When the file cannot be read, or is not UTF-8.
    pub fn open(path: &Path) -> io::Result<(Self, String)> {
        let (follower, text) = Self::of(path, |path| std::fs::read_to_string(path));
        Ok((follower, text?))
    }

    /// Starts to follow a file that need not exist, nor be text, and gives what it has now. What could not be read is read again as any
    /// change is.
    pub fn of<T>(path: &Path, read: impl FnOnce(&Path) -> io::Result<T>) -> (Self, io::Result<T>) {
        // First: what changes while it is read is a change.
        let settled = fingerprint(path);
        let first = read(path);
        let content = if fingerprint(path) == settled { Content::after(&first) } else { Content::Torn };
        (Self { path: path.to_owned(), settled, content }, first)
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
        self.changed_as(|path| ready(std::fs::read_to_string(path))).await
    }

    /// Waits until the file has changed and returns what is read of it. Cancel safe: what was being read is read again.
    ///
    /// # Errors
    /// When it has become unreadable; reported once, until that changes again.
    pub async fn changed_as<T, F>(&mut self, read: impl Fn(PathBuf) -> F) -> io::Result<T>
    where
        F: Future<Output = io::Result<T>>,
    {
        loop {
            match self.content {
                Content::Read => {
                    self.settled().await;
                    self.content = Content::Due;
                }
                Content::Due => {}
                // It may be changed meanwhile, or be again what it was.
                Content::Unread(_) | Content::Torn => drop(tokio::time::timeout(AGAIN, self.settled()).await),
            }
            let known = self.content;
            let result = read(self.path.clone()).await;
            if !self.is_settled() {
                self.content = Content::Torn;
                continue;
            }
            self.content = Content::after(&result);
            if self.content == Content::Read || self.content != known {
                return result;
            }
        }
    }

    /// Whether the file is what it was when it was last seen to have changed: nobody is writing it.
    fn is_settled(&self) -> bool {
        fingerprint(&self.path) == self.settled
    }

    /// Waits until the file has changed, appeared or disappeared. Cancel safe.
    async fn settled(&mut self) {
        let mut previous = self.settled;
        loop {
            tokio::time::sleep(LOOK).await;
            let now = fingerprint(&self.path);
            if now != self.settled && now == previous {
                self.settled = now;
                return;
            }
            previous = now;
        }
    }
}

impl Content {
    fn after<T>(reading: &io::Result<T>) -> Self {
        match reading {
            Err(error) if may_pass(error.kind()) => Self::Unread(error.kind()),
            Ok(_) | Err(_) => Self::Read,
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
        let read = |path: PathBuf| {
            attempts.set(attempts.get() + 1);
            ready(if attempts.get() < 4 { Err(too_many_files()) } else { std::fs::read_to_string(path) })
        };
        follower.changed_as(read).await.unwrap_err();
        assert_eq!((attempts.get(), follower.changed_as(read).await.unwrap().as_str()), (1, "two!"));
        let none = tokio::time::timeout(AGAIN * 10, follower.changed_as(read)).await;
        assert!(none.is_err(), "it has not changed since");
        std::fs::remove_file(&path).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_read_at_the_start_is_read_again_and_not_reported_again() {
        let path = file("first");
        std::fs::write(&path, "one").unwrap();
        let (mut follower, first) = Follower::of(&path, |_| Err::<String, _>(too_many_files()));
        first.unwrap_err();
        let attempts = std::cell::Cell::new(0);
        let read = |path: PathBuf| {
            attempts.set(attempts.get() + 1);
            ready(if attempts.get() < 3 { Err(too_many_files()) } else { std::fs::read_to_string(path) })
        };
        assert_eq!(follower.changed_as(read).await.unwrap(), "one");
        assert_eq!(attempts.get(), 3);
        std::fs::remove_file(&path).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_whose_reading_was_interrupted_is_not_lost() {
        let path = file("interrupted");
        std::fs::write(&path, "one").unwrap();
        let (mut follower, _) = Follower::open(&path).unwrap();
        std::fs::write(&path, "two!").unwrap();
        let endless = |_| std::future::pending::<io::Result<String>>();
        assert!(tokio::time::timeout(AGAIN * 10, follower.changed_as(endless)).await.is_err());
        assert_eq!(next(&mut follower).await.unwrap(), "two!");
        std::fs::remove_file(&path).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_away_when_it_was_first_read_is_read() {
        let (path, away) = (file("first-away"), file("first-away.not"));
        std::fs::write(&path, "one").unwrap();
        let (mut follower, first) = Follower::of(&path, |path| {
            std::fs::rename(path, &away).unwrap();
            std::fs::read_to_string(path)
        });
        first.unwrap_err();
        std::fs::rename(&away, &path).unwrap();
        let text = tokio::time::timeout(AGAIN * 10, follower.changed()).await.expect("it is read");
        assert_eq!(text.unwrap(), "one");
        std::fs::remove_file(&path).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_away_while_it_was_read_and_is_again_what_it_was_is_read() {
        let (path, away) = (file("away"), file("away.not"));
        std::fs::write(&path, "one").unwrap();
        let (mut follower, first) = Follower::of(&path, |_| Err::<String, _>(too_many_files()));
        first.unwrap_err();
        let attempts = std::cell::Cell::new(0);
        let read = |path: PathBuf| {
            attempts.set(attempts.get() + 1);
            ready(match attempts.get() {
                1 => std::fs::rename(&path, &away).map(|()| String::new()),
                _ => std::fs::read_to_string(path),
            })
        };
        // Before anybody looks whether it has changed.
        let comes_back = async {
            tokio::time::sleep(AGAIN + LOOK / 2).await;
            std::fs::rename(&away, &path).unwrap();
        };
        let (text, ()) = tokio::join!(follower.changed_as(read), comes_back);
        assert_eq!((attempts.get(), text.unwrap().as_str()), (2, "one"));
        std::fs::remove_file(&path).unwrap();
    }

    fn too_many_files() -> io::Error {
        io::Error::from_raw_os_error(24)
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_yet_can_be_followed() {
        let path = file("later");
        let (mut follower, missing) = Follower::of(&path, |path| std::fs::read(path));
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(&path, [0xff]).unwrap();
        let changed = follower.changed_as(|path| ready(std::fs::read(path)));
        let bytes = tokio::time::timeout(Duration::from_secs(10), changed).await.expect("it is seen in time");
        assert_eq!(bytes.unwrap(), [0xff]);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_missing_file_is_an_error_at_once() {
        assert_eq!(Follower::open(&file("missing")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
