//! One look after the other: which files have changed and kept still since.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::published::Published;

use super::folder::{self, Folder};
use super::listing::{Listing, Source};

/// For how many looks the whole mesh is given time to keep still, so that an edit of many files counts as one. After
/// that, single files that keep still count.
const PATIENCE: u32 = 6;

/// The mesh that is being looked at.
#[derive(Debug)]
pub(super) struct Watching {
    source: Source,
    /// What was last taken over.
    taken: Listing,
    previous: Listing,
    /// Looks since the first change that was not taken over.
    waited: u32,
    lost: bool,
    folder: Folder,
    published: Arc<Published>,
}

impl Watching {
    pub(super) fn new(source: Source, listing: Listing, folder: Folder, published: Arc<Published>) -> Self {
        let (taken, previous) = (listing.clone(), listing);
        Self { source, taken, previous, waited: 0, lost: false, folder, published }
    }

    /// Looks once, and takes over what has changed.
    pub(super) fn look(&mut self) {
        let Some(now) = self.listing() else { return };
        let previous = std::mem::replace(&mut self.previous, now.clone());
        if now == self.taken {
            self.waited = 0;
            return;
        }
        self.waited += 1;
        if now == previous || self.waited >= PATIENCE {
            self.take(&now, &previous);
        }
    }

    /// What is there, unless the directory is gone: then everything stays as it was.
    fn listing(&mut self) -> Option<Listing> {
        let path = self.source.path().display();
        match self.source.look() {
            Ok(listing) => {
                if std::mem::take(&mut self.lost) {
                    tracing::info!(%path, "mesh directory is back");
                }
                Some(listing)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.lost, true) {
                    tracing::warn!(%path, %error, "mesh directory cannot be read, keeping its last content");
                }
                None
            }
        }
    }

    fn take(&mut self, now: &Listing, previous: &Listing) {
        let still =
            |path: &&PathBuf| now.of(path) == previous.of(path) && now.of(path) != self.taken.of(path);
        let mut all: Vec<PathBuf> = now.files().chain(self.taken.files()).map(Path::to_owned).collect();
        all.sort();
        all.dedup();
        let (there, gone): (Vec<_>, Vec<_>) =
            all.iter().filter(still).partition(|path| now.of(path).is_some());
        for path in there.iter().chain(&gone) {
            self.taken.copy(path, now);
        }
        self.waited = 0;
        for (path, problem) in
            self.folder.take(there.iter().map(|path| path.as_path()), gone.iter().map(|path| path.as_path()))
        {
            folder::report(&path, &problem);
        }
        let changes = self.folder.changes();
        let (read, removed) = (there.len(), gone.len());
        if !changes.is_empty() {
            self.published.apply(changes);
        }
        let generation = self.published.read().generation();
        tracing::info!(read, removed, generation, "mesh taken");
    }
}
