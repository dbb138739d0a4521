//! The files of the mesh, each with the last content that was good.
//!
//! In go the files that changed; out come the problems and the changes to the catalog. A name is defined by one file.
//! When two would define it, the file that changed gives way (of two that changed, the later one) and keeps what it said
//! before; it gets another chance whenever any file changes, because the other file may give the name up.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use culvert_core::mesh_file;
use culvert_discovery::catalog::Change;
use culvert_process::exit::Chain;

use super::Problem;
use super::content::{self, Content, Key};

/// The files by path.
#[derive(Debug, Default)]
pub(super) struct Folder {
    files: BTreeMap<PathBuf, File>,
    /// What was good and was replaced or removed since the changes were last asked for.
    replaced: Vec<Content>,
    /// The files whose good content is new since then.
    renewed: Vec<PathBuf>,
}

/// One file.
#[derive(Debug, Default)]
struct File {
    good: Content,
    /// What it says by now, if that is something else.
    candidate: Option<Content>,
    /// The problem with the candidate that was told last.
    told: Option<(Arc<str>, PathBuf)>,
}

impl Folder {
    /// Reads files that are new or have changed, and forgets those that are gone. Gives what is wrong, once.
    pub(super) fn take<'a>(
        &mut self,
        changed: impl IntoIterator<Item = &'a Path>,
        gone: impl IntoIterator<Item = &'a Path>,
    ) -> Vec<(PathBuf, Problem)> {
        let removed = gone.into_iter().filter_map(|path| self.files.remove(path));
        self.replaced.extend(removed.map(|file| file.good));
        let mut problems = Vec::new();
        for path in changed {
            let file = self.files.entry(path.to_owned()).or_default();
            // What it said before this is of no interest any more.
            (file.candidate, file.told) = (None, None);
            let text = std::fs::read_to_string(path).map_err(Problem::Unreadable);
            match text.and_then(|text| content::read(&text)) {
                Ok(content) => file.candidate = Some(content),
                Err(problem) => problems.push((path.to_owned(), problem)),
            }
        }
        problems.extend(self.settle());
        problems
    }

    /// Gives the changes since this was last asked.
    pub(super) fn changes(&mut self) -> Vec<Change> {
        let mut put: HashMap<&Key, &Arc<_>> = HashMap::new();
        for path in self.renewed.drain(..) {
            put.extend(self.files.get(&path).into_iter().flat_map(|file| &file.good));
        }
        let gone = self.replaced.iter().flat_map(BTreeMap::keys).filter(|key| !put.contains_key(key));
        let gone: Vec<_> = gone.map(|(collection, name)| Change::Remove(*collection, name.clone())).collect();
        let changes = put.into_values().map(|entry| Change::Put(Arc::clone(entry))).chain(gone).collect();
        self.replaced.clear();
        changes
    }

    /// Takes over every candidate that leaves each name to one file.
    fn settle(&mut self) -> Vec<(PathBuf, Problem)> {
        let mut waiting: BTreeMap<PathBuf, (Arc<str>, PathBuf)> = BTreeMap::new();
        while let Some((loser, name, other)) = self.conflict(&waiting) {
            waiting.insert(loser, (name, other));
        }
        let mut problems = Vec::new();
        for (path, file) in &mut self.files {
            let Some(reason) = waiting.remove(path) else {
                file.told = None;
                if let Some(candidate) = file.candidate.take() {
                    self.replaced.push(std::mem::replace(&mut file.good, candidate));
                    self.renewed.push(path.clone());
                }
                continue;
            };
            if file.told.as_ref() != Some(&reason) {
                let (name, other) = reason.clone();
                problems.push((path.clone(), Problem::Twice { name, other }));
                file.told = Some(reason);
            }
        }
        problems
    }

    /// Finds a file that has to give way: its candidate defines a name another file defines.
    fn conflict(
        &self,
        waiting: &BTreeMap<PathBuf, (Arc<str>, PathBuf)>,
    ) -> Option<(PathBuf, Arc<str>, PathBuf)> {
        let mut owners: HashMap<&Key, &PathBuf> = HashMap::new();
        for (path, file) in &self.files {
            let candidate = file.candidate.as_ref().filter(|_| !waiting.contains_key(path));
            for key in candidate.unwrap_or(&file.good).keys() {
                let Some(earlier) = owners.insert(key, path) else { continue };
                let (loser, other) = if candidate.is_some() { (path, earlier) } else { (earlier, path) };
                return Some((loser.clone(), key.1.clone(), other.clone()));
            }
        }
        None
    }
}

/// Logs what is wrong with a file.
pub(super) fn report(path: &Path, problem: &Problem) {
    let file = path.display();
    match problem {
        Problem::Unreadable(error) => {
            tracing::warn!(%file, %error, "mesh file cannot be read, keeping its last content");
        }
        Problem::Invalid(mesh_file::Error { line, column, message }) => {
            tracing::warn!(%file, line, column, error = %message, "mesh file is not valid, keeping its last content");
        }
        Problem::Ambiguous { .. } | Problem::Twice { .. } => {
            tracing::warn!(%file, error = %Chain(problem), "mesh file is not valid, keeping its last content");
        }
    }
}

#[cfg(test)]
mod tests;
