//! Reads the revocation lists from their file and follows it.
//!
//! The file is PEM with any number of lists, other blocks skipped, or one list in DER. Without a list nothing is
//! revoked. A file that is missing, or that cannot be understood whole, changes nothing: what was in force stays in
//! force, and the file is looked at again when it changes; or soon, when it could not be read, for want of descriptors
//! perhaps. What changes while it is read is not taken: half of a list that somebody is writing would lift the rest of it.
//! An unusable one is complained about once a minute.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use culvert_process::exit::Chain;
use culvert_process::follow::Follower;
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use tokio::sync::watch;
use webpki::BorrowedCertRevocationList;

use super::{Lists, Revocation, Status};

/// Time between two complaints.
const REMINDER: Duration = Duration::from_secs(60);

/// Why a file does not count.
#[derive(Debug, thiserror::Error)]
pub(in crate::identity) enum Error {
    #[error("it cannot be read")]
    Unreadable(#[source] io::Error),
    #[error("it is not PEM: {0}")]
    Pem(rustls_pki_types::pem::Error),
    #[error("list {number} is not a revocation list that can be used: {reason}")]
    List { number: usize, reason: webpki::Error },
}

/// What is in a file that could be read.
type Content = Result<Lists, Error>;

/// How the file is read.
type Reader = fn(&Path) -> io::Result<Vec<u8>>;

/// Follows the file; must be run for changes to count.
#[derive(Debug)]
pub(crate) struct Follow {
    follower: Follower,
    reader: Reader,
    publish: watch::Sender<Arc<Lists>>,
    revocation: Revocation,
}

impl Revocation {
    /// Reads the lists in a file, if there is one.
    pub(crate) fn of_file(path: &Path) -> (Self, Follow) {
        Self::read_by(|path| std::fs::read(path), path)
    }

    pub(super) fn read_by(reader: Reader, path: &Path) -> (Self, Follow) {
        let (follower, content) = Follower::of(path, |path| read(reader, path));
        let (publish, lists) = watch::channel(Arc::default());
        let revocation = Self::of(lists, Status::Missing);
        let follow = Follow { follower, reader, publish, revocation: revocation.clone() };
        follow.take(content);
        (revocation, follow)
    }
}

impl Follow {
    /// Runs for ever.
    pub(crate) async fn run(mut self) {
        let mut reminder = tokio::time::interval(REMINDER);
        loop {
            tokio::select! {
                content = self.follower.changed_as(|path| read_aside(self.reader, path)) => {
                    self.take(content);
                    self.report();
                }
                _ = reminder.tick() => self.report(),
            }
        }
    }

    fn take(&self, content: io::Result<Content>) {
        let path = self.follower.path().display();
        let status = match content {
            Ok(Ok(lists)) => {
                let (count, certificates) = (lists.lists.len(), lists.certificates);
                tracing::info!(%path, lists = count, certificates, "certificate revocation lists loaded");
                self.publish.send_replace(Arc::new(lists));
                Status::Valid { lists: count, certificates }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::warn!(%path, "there is no file with certificate revocation lists; it is waited for");
                Status::Missing
            }
            Ok(Err(error)) => Status::invalid(&error),
            Err(error) => Status::invalid(&Error::Unreadable(error)),
        };
        self.revocation.set(status);
    }

    /// Complains about a file that is of no use.
    fn report(&self) {
        let status = self.revocation.status();
        metrics::gauge!("culvert_crl_valid").set(u8::from(matches!(status, Status::Valid { .. })));
        let Status::Invalid { why } = status else { return };
        let path = self.follower.path().display();
        let in_force = self.publish.borrow().lists.len();
        tracing::error!(
            %path, error = why, in_force,
            "certificate revocation lists cannot be used; those read before stay in force"
        );
    }
}

impl Status {
    fn invalid(error: &Error) -> Self {
        Self::Invalid { why: Chain(error).to_string() }
    }
}

fn read(reader: Reader, path: &Path) -> io::Result<Content> {
    reader(path).map(|content| Lists::parse(&content))
}

/// Likewise: a long list takes a while, and this thread serves connections.
async fn read_aside(reader: Reader, path: PathBuf) -> io::Result<Content> {
    tokio::task::spawn_blocking(move || read(reader, &path)).await.expect("reading does not panic")
}

impl Lists {
    /// The lists in a text or in bytes.
    pub(in crate::identity) fn parse(content: &[u8]) -> Result<Self, Error> {
        let content = content.trim_ascii_start();
        let mut lists = Self::default();
        if content.is_empty() {
            return Ok(lists);
        }
        if !is_pem(content) {
            lists.add(content)?;
            return Ok(lists);
        }
        for block in <(SectionKind, Vec<u8>)>::pem_slice_iter(content) {
            let (kind, der) = block.map_err(Error::Pem)?;
            if kind == SectionKind::Crl {
                lists.add(&der)?;
            }
        }
        Ok(lists)
    }

    fn add(&mut self, der: &[u8]) -> Result<(), Error> {
        let number = self.lists.len() + 1;
        let wrong = |reason| Error::List { number, reason };
        let list = BorrowedCertRevocationList::from_der(der).map_err(wrong)?;
        self.lists.push(list.to_owned().map_err(wrong)?.into());
        self.certificates += list.into_iter().count();
        Ok(())
    }
}

/// Text before the first block is a comment.
fn is_pem(content: &[u8]) -> bool {
    str::from_utf8(content).is_ok_and(|text| text.starts_with("-----BEGIN") || text.contains("\n-----BEGIN"))
}
