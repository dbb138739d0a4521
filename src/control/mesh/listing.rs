//! Which mesh files there are, and what their metadata says.
//!
//! Links are followed: in a mounted Kubernetes ConfigMap each file is a link through `..data`, which is itself replaced.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The endings that make a file a mesh file.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// Where the mesh is written down.
#[derive(Debug)]
pub(super) enum Source {
    /// In this file, whatever its name; once it was there it is missed when it is gone.
    File(PathBuf),
    /// In the files of this directory.
    Dir(PathBuf),
}

/// The files of one look, in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Listing(BTreeMap<PathBuf, Fingerprint>);

/// What changes when a file's content is replaced or rewritten. `Err` is for a file that cannot be looked at.
pub(super) type Fingerprint = Result<(u64, u64, u64, i64, i64), io::ErrorKind>;

impl Source {
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let path = path.to_owned();
        Ok(if fs::metadata(&path)?.is_dir() { Self::Dir(path) } else { Self::File(path) })
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Dir(path) => path,
        }
    }

    pub(super) fn look(&self) -> io::Result<Listing> {
        match self {
            Self::File(path) => Ok(Listing(BTreeMap::from([(path.clone(), fingerprint(path))]))),
            Self::Dir(dir) => files_of(dir),
        }
    }
}

impl Listing {
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn of(&self, path: &Path) -> Option<&Fingerprint> {
        self.0.get(path)
    }

    /// Takes over what another listing says of one file.
    pub(super) fn copy(&mut self, path: &Path, from: &Self) {
        match from.of(path) {
            Some(fingerprint) => self.0.insert(path.to_owned(), *fingerprint),
            None => self.0.remove(path),
        };
    }
}

fn files_of(dir: &Path) -> io::Result<Listing> {
    let mut files = BTreeMap::new();
    for item in fs::read_dir(dir)? {
        let path = item?.path();
        if is_mesh_file(&path) {
            files.insert(path.clone(), fingerprint(&path));
        }
    }
    Ok(Listing(files))
}

/// A name that counts, on anything but a directory. What cannot be looked at counts: it is no reason to forget a file.
fn is_mesh_file(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let ending = path.extension().and_then(|ending| ending.to_str());
    !hidden
        && ending.is_some_and(|ending| ENDINGS.contains(&ending))
        && fs::metadata(path).map_or(true, |metadata| metadata.is_file())
}

fn fingerprint(path: &Path) -> Fingerprint {
    let metadata = fs::metadata(path).map_err(|error| error.kind())?;
    Ok((metadata.dev(), metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec()))
}
