//! The mesh as it is written down: one file, or a directory of files that is followed.
//!
//! In go `*.yaml`, `*.yml` and `*.json` files; out come the changes to a [`Published`] catalog. A file counts whole or not
//! at all: a bad edit keeps what the file said before, and the other files go on. It does not understand what resources
//! mean to each other, with one exception: a name belongs to one file.

mod content;
mod folder;
mod listing;
mod watching;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use culvert_core::mesh_file;
use culvert_discovery::catalog::{Catalog, Collection};

use crate::published::Published;

use folder::Folder;
use listing::{Listing, Source};
use watching::Watching;

/// Time between two looks at the files.
const LOOK: Duration = Duration::from_millis(150);

/// The mesh cannot be used at start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the mesh {} cannot be read", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the mesh file {} is not valid{}", path.display(), rest(*others))]
    Invalid { path: PathBuf, others: usize, source: Problem },
}

/// What is wrong with one file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("it cannot be read")]
    Unreadable(#[source] io::Error),
    #[error(transparent)]
    Invalid(#[from] mesh_file::Error),
    #[error("`{name}` is the name of a workload and of a service; rename one of them")]
    Ambiguous { name: Arc<str> },
    #[error("`{name}` is also defined in {}; remove one of the two", other.display())]
    Twice { name: Arc<str>, other: PathBuf },
}

/// What a mesh consists of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) files: usize,
    pub(crate) addresses: usize,
    pub(crate) policies: usize,
}

/// Reads the mesh; the second value follows it for as long as it is run.
pub(crate) fn follow(
    path: &Path,
) -> Result<(Arc<Published>, impl Future<Output = ()> + Send + use<>), Error> {
    let (source, listing, mut folder) = open(path)?;
    let problems = folder.take(listing.files(), []);
    let others = problems.len().saturating_sub(1);
    for (path, problem) in &problems {
        folder::report(path, problem);
    }
    if let Some((path, source)) = problems.into_iter().next() {
        return Err(Error::Invalid { path, others, source });
    }
    let mut catalog = Catalog::default();
    catalog.apply(folder.changes());
    let published = Arc::new(Published::new(catalog));
    let mut watching = Watching::new(source, listing, folder, Arc::clone(&published));
    let follow = async move {
        loop {
            tokio::time::sleep(LOOK).await;
            // Reads files and parses them: a large mesh takes its time.
            tokio::task::block_in_place(|| watching.look());
        }
    };
    Ok((published, follow))
}

/// Reads the mesh and gives all that is wrong with it, or what it consists of.
pub(crate) fn check(path: &Path) -> Result<Result<Size, Vec<(PathBuf, Problem)>>, Error> {
    let (_, listing, mut folder) = open(path)?;
    let problems = folder.take(listing.files(), []);
    if !problems.is_empty() {
        return Ok(Err(problems));
    }
    let mut catalog = Catalog::default();
    catalog.apply(folder.changes());
    Ok(Ok(Size {
        files: listing.len(),
        addresses: catalog.len(Collection::Addresses),
        policies: catalog.len(Collection::Policies),
    }))
}

fn open(path: &Path) -> Result<(Source, Listing, Folder), Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let source = Source::at(path).map_err(unreadable)?;
    let listing = source.look().map_err(unreadable)?;
    Ok((source, listing, Folder::default()))
}

fn rest(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => " (and another one is not either)".to_owned(),
        more => format!(" (and {more} others are not either)"),
    }
}
