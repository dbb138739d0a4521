//! Makes the planned changes, each of them whole or not at all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::directory::{self, Mark};
use super::plan::{self, Change, Listing, Plan};
use super::{Error, Settings};
use crate::durable::{self, Disk, Draft};

/// So often others may get in the way of taking our entry out.
const ATTEMPTS: usize = 20;

/// How far a pass got.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// Why the plugin is not in the configuration.
    pub(super) missing: Option<String>,
    pub(super) warnings: Vec<String>,
    /// Files were changed while they were looked at; the rest is for the next pass.
    pub(super) interrupted: bool,
}

/// Gets the plugin into the configuration, and adds the names of changed files.
pub(super) fn install(
    disk: &dyn Disk,
    settings: &Settings,
    changed: &mut Vec<String>,
) -> Result<Applied, Error> {
    let (conf, state_file) = (&settings.conf, &settings.wanted.entry.state_file);
    if !state_file.exists() {
        // No pod would start without the agent.
        let why = format!("{} has not been written yet, by which the plugin goes", state_file.display());
        return Ok(Applied { missing: Some(why), ..Applied::default() });
    }
    let plan = plan::install(&listing(disk, conf)?, &settings.wanted);
    let interrupted = make(disk, conf, &plan, changed)?;
    Ok(Applied { missing: plan.missing, warnings: plan.warnings, interrupted })
}

/// Takes all of ours out of the configuration.
pub(super) fn remove(disk: &dyn Disk, settings: &Settings) -> Result<(), Error> {
    let conf = &settings.conf;
    for _ in 0..ATTEMPTS {
        let plan = plan::remove(&listing(disk, conf)?);
        if !make(disk, conf, &plan, &mut Vec::new())? {
            return Ok(());
        }
    }
    Err(Error::Write { path: conf.clone(), source: io::ErrorKind::ResourceBusy.into() })
}

fn listing(disk: &dyn Disk, conf: &Path) -> Result<Listing, Error> {
    let look = || -> io::Result<Listing> {
        Ok(Listing {
            files: directory::read(conf)?,
            dangling: directory::dangling(conf)?,
            others: directory::others(conf)?,
        })
    };
    durable::sweep(disk, conf)
        .and_then(|()| look())
        .map_err(|source| Error::Read { path: conf.to_owned(), source })
}

/// Makes the changes in their order. Says whether somebody got in the way; what comes after that is not done.
pub(super) fn make(
    disk: &dyn Disk,
    conf: &Path,
    plan: &Plan,
    changed: &mut Vec<String>,
) -> Result<bool, Error> {
    for change in &plan.changes {
        let made =
            one(disk, conf, change).map_err(|source| Error::Write { path: conf.to_owned(), source })?;
        if !made {
            return Ok(true);
        }
        let (Change::Write { name, .. } | Change::Rename { to: name, .. } | Change::Remove { name }) = change;
        changed.push(name.clone());
    }
    Ok(false)
}

fn one(disk: &dyn Disk, conf: &Path, change: &Change) -> io::Result<bool> {
    match change {
        Change::Write { name, text, access, over } => {
            let path = behind_links(&conf.join(name))?;
            let draft = Draft::write(disk, &path, &mut text.as_bytes(), *access)?;
            // As late as can be: what its owner has written since it was read must not be lost.
            if !is_still(&path, *over) {
                draft.discard();
                return Ok(false);
            }
            draft.commit()?;
        }
        Change::Rename { from, to, over } => {
            let path = conf.join(from);
            let to = conf.join(to);
            let in_the_way = match over {
                Some(_) => !is_still(&path, *over),
                // What comes back: its owner may have written it anew.
                None => fs::symlink_metadata(&to).is_ok(),
            };
            if in_the_way {
                return Ok(false);
            }
            durable::rename(disk, &path, &to)?;
        }
        Change::Remove { name } => durable::remove(disk, &conf.join(name))?,
    }
    Ok(true)
}

/// The file itself: links to it are its owner's, and stay.
fn behind_links(path: &Path) -> io::Result<PathBuf> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => fs::canonicalize(path),
        Ok(_) | Err(_) => Ok(path.to_owned()),
    }
}

fn is_still(path: &Path, mark: Option<Mark>) -> bool {
    directory::mark(path) == mark
}
