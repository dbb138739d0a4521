//! A file that is followed: its newest valid content, for readers.
//!
//! A change that cannot be read or is not valid is logged with its reason, and the content before it stays.

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use culvert_process::exit::Chain;
use culvert_process::follow::Follower;
use tokio::sync::watch;

/// The newest valid content of a file.
pub(crate) type Live<T> = watch::Receiver<Arc<T>>;

/// Why a file cannot be used at start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the {what} {} cannot be read", path.display())]
    Unreadable { what: &'static str, path: PathBuf, source: io::Error },
    #[error("the {what} {} is not valid", path.display())]
    Invalid { what: &'static str, path: PathBuf, source: Box<dyn StdError + Send + Sync> },
}

/// Reads a file; the second value follows it for as long as it is run.
pub(crate) fn follow<T, E>(
    what: &'static str,
    path: &Path,
    read: fn(&Path, &str) -> Result<T, E>,
) -> Result<(Live<T>, impl Future<Output = ()> + Send + use<T, E>), Error>
where
    T: Send + Sync + 'static,
    E: StdError + Send + Sync + 'static,
{
    let unreadable = |source| Error::Unreadable { what, path: path.to_owned(), source };
    let (mut follower, text) = Follower::open(path).map_err(unreadable)?;
    let invalid = |source: E| Error::Invalid { what, path: path.to_owned(), source: source.into() };
    let (publish, live) = watch::channel(Arc::new(read(path, &text).map_err(invalid)?));
    let follow = async move {
        loop {
            let changed = follower.changed().await;
            let path = follower.path();
            let text = match changed {
                Ok(text) => text,
                Err(error) => {
                    tracing::warn!(what, path = %path.display(), %error, "file cannot be read, keeping its last content");
                    continue;
                }
            };
            match read(path, &text) {
                Ok(content) => {
                    publish.send_replace(Arc::new(content));
                    tracing::info!(what, path = %path.display(), "file taken");
                }
                Err(error) => {
                    let (path, error) = (path.display(), Chain(&error));
                    tracing::warn!(what, %path, %error, "file is not valid, keeping its last content");
                }
            }
        }
    };
    Ok((live, follow))
}
