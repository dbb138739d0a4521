//! Which files there are, and what is written in them.
//!
//! Goes in: what somebody named: files, directories, `-`. Come out: texts by name, one at a time, none longer than [`LONGEST`].

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Where a text is to be had.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Input,
    File(PathBuf),
}

/// What a cluster of some ten thousand objects comes to.
const LONGEST: u64 = 128 << 20;
/// How deep directories may be in each other.
const DEEPEST: usize = 32;
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

impl Source {
    /// Finds what these names stand for: what is named itself whatever it is called, and in directories what is called like manifests.
    ///
    /// # Errors
    /// When what is named is not there, or a directory cannot be searched.
    pub(super) fn all(named: &[PathBuf]) -> Result<Vec<Self>, (PathBuf, io::Error)> {
        let mut found = Vec::new();
        for path in named {
            if path.as_os_str() == "-" {
                found.push(Self::Input);
            } else if fs::metadata(path).map_err(|error| (path.clone(), error))?.is_dir() {
                search(path, DEEPEST, &mut found)?;
            } else {
                found.push(Self::File(path.clone()));
            }
        }
        found.dedup();
        Ok(found)
    }

    /// What people know it by.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Input => "stdin".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it as a whole.
    pub(super) fn text(&self) -> Result<String, String> {
        let read = match self {
            Self::Input => limited(io::stdin().lock()),
            Self::File(path) => File::open(path).and_then(limited),
        };
        let bytes = read.map_err(|error| format!("cannot be read: {error}"))?;
        if bytes.len() as u64 > LONGEST {
            return Err(format!("is longer than {} MiB", LONGEST >> 20));
        }
        String::from_utf8(bytes).map_err(|_| "is no UTF-8 text".to_owned())
    }
}

fn limited(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(LONGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Searches a directory, in the order of names. What is hidden is nobody's manifest, and links to directories may lead in circles.
fn search(directory: &Path, depth: usize, found: &mut Vec<Source>) -> Result<(), (PathBuf, io::Error)> {
    let failed = |error| (directory.to_owned(), error);
    let entries: Result<Vec<_>, _> = fs::read_dir(directory).map_err(failed)?.collect();
    let mut entries = entries.map_err(failed)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if entry.file_type().map_err(failed)?.is_dir() {
            if let Some(depth) = depth.checked_sub(1) {
                search(&path, depth, found)?;
            }
        } else if is_called_like_manifests(&path) && fs::metadata(&path).is_ok_and(|it| !it.is_dir()) {
            found.push(Source::File(path));
        }
    }
    Ok(())
}

fn is_called_like_manifests(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_searched_for_what_is_called_like_manifests() {
        let directory = std::env::temp_dir().join(format!("culvert-source-{}", std::process::id()));
        fs::create_dir_all(directory.join("b/c")).unwrap();
        fs::create_dir_all(directory.join(".git")).unwrap();
        for name in
            ["z.yaml", "b/c/a.yml", "b/x.json", "b/readme.md", ".git/no.yaml", "b/.hidden.yaml", "yaml"]
        {
            fs::write(directory.join(name), "").unwrap();
        }
        std::os::unix::fs::symlink(&directory, directory.join("b/circle.yaml")).unwrap();
        std::os::unix::fs::symlink(directory.join("yaml"), directory.join("linked.yaml")).unwrap();
        let found = |named: &[PathBuf]| -> Vec<String> {
            let names = Source::all(named).unwrap();
            names.iter().map(|it| it.name().replace(&format!("{}/", directory.display()), "")).collect()
        };
        let named = [directory.clone(), directory.join("b/readme.md"), PathBuf::from("-")];
        assert_eq!(found(&named), ["b/c/a.yml", "b/x.json", "linked.yaml", "z.yaml", "b/readme.md", "stdin"]);
        let (missing, _) = Source::all(&[directory.join("absent")]).unwrap_err();
        assert!(missing.ends_with("absent"));
        fs::write(directory.join("yaml"), [b'a', 0xff]).unwrap();
        assert_eq!(Source::File(directory.join("yaml")).text(), Err("is no UTF-8 text".to_owned()));
        fs::remove_dir_all(&directory).unwrap();
    }
}
