//! The agent's files beside its plugin: sockets that a killed one has left, the list of namespaces, and directories of its own.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::roster;

/// Something that stays.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be removed", path.display())]
pub(super) struct Error {
    path: PathBuf,
    source: io::Error,
}

/// Removes the list of namespaces, whether or not a plugin was ever there to go by it.
pub(super) fn remove_roster(path: &Path) -> Result<(), Error> {
    unless(&[ErrorKind::NotFound], path, roster::remove(path))
}

/// Removes a socket that nobody listens on.
pub(super) fn remove_socket(path: &Path) -> Result<(), Error> {
    unless(&[ErrorKind::NotFound], path, fs::remove_file(path))
}

/// Removes the directory in which something of the agent was, if nothing else is in it. Where it is mounted it stays: then it was
/// made by somebody else.
pub(super) fn remove_directory_of(path: &Path) -> Result<(), Error> {
    // A mount point in a container whose own files are read-only is that before it is busy.
    const IN_USE: [ErrorKind; 4] = [
        ErrorKind::NotFound,
        ErrorKind::DirectoryNotEmpty,
        ErrorKind::ResourceBusy,
        ErrorKind::ReadOnlyFilesystem,
    ];
    let directory = path.parent().unwrap_or(path);
    unless(&IN_USE, directory, fs::remove_dir(directory))
}

fn unless(fine: &[ErrorKind], path: &Path, result: io::Result<()>) -> Result<(), Error> {
    match result {
        Err(source) if !fine.contains(&source.kind()) => Err(Error { path: path.to_owned(), source }),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::tests::Scratch;

    #[test]
    fn only_an_empty_directory_goes() {
        let scratch = Scratch::new();
        let own = scratch.join("own");
        fs::create_dir(&own).unwrap();
        fs::write(own.join("others"), "").unwrap();
        remove_directory_of(&own.join("socket")).unwrap();
        assert!(own.join("others").exists());
        fs::remove_file(own.join("others")).unwrap();
        for _ in 0..2 {
            remove_directory_of(&own.join("socket")).unwrap();
            assert!(!own.exists());
        }
    }

    #[test]
    fn what_stays_is_named() {
        let scratch = Scratch::new();
        let directory = scratch.join("no-socket");
        fs::create_dir(&directory).unwrap();
        let error = remove_socket(&directory).unwrap_err();
        assert!(error.to_string().contains("no-socket"), "{error}");
    }
}
