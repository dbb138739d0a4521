//! A small disk at a directory, which can be full.
//!
//! In go a directory and how much fits in; out comes a guard that takes the disk away, and leaves the directory as it was before. It is
//! a file system in memory, and nobody else's room is used up.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::Doing as _;
use crate::{Error, tool};

/// How much fits in: bytes, and files.
const BYTES: usize = 128 * 1024;
const FILES: usize = 32;
/// What takes up the room.
const FILLER: &str = "filler-";
const PIECE: [u8; 4096] = [0; 4096];
/// `mount` does not take long.
const PATIENCE: Duration = Duration::from_secs(10);

/// The disk. It is gone when dropped; programs that have files open on it keep those.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Puts an empty disk at a directory, which is made if there is none.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn at(directory: &Path) -> Result<Self, Error> {
        fs::create_dir_all(directory).doing(|| format!("make the directory {}", directory.display()))?;
        let options = format!("size={BYTES},nr_inodes={FILES},mode=0700");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &options, "culvert-lab"]).arg(directory);
        tool::run(command, "", PATIENCE)?;
        Ok(Self(directory.to_owned()))
    }

    /// Where it is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.0
    }

    /// Takes up all the room there is: nobody can write a byte more, or make a file.
    ///
    /// # Errors
    /// When it is something else than room that is missing.
    pub fn fill(&self) -> Result<(), Error> {
        let filler = |number: usize| self.0.join(format!("{FILLER}{number}"));
        let bytes = || File::options().create(true).append(true).open(filler(0))?.write_all(&PIECE);
        let mut numbers = 1..;
        let file = || File::create(filler(numbers.next().expect("they do not end"))).map(drop);
        until_full(bytes).and_then(|()| until_full(file)).doing(|| format!("fill {}", self.0.display()))
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn clear(&self) -> Result<(), Error> {
        let clear = || {
            for entry in fs::read_dir(&self.0)? {
                let entry = entry?;
                if entry.file_name().to_string_lossy().starts_with(FILLER) {
                    fs::remove_file(entry.path())?;
                }
            }
            Ok(())
        };
        clear().doing(|| format!("clear {}", self.0.display()))
    }
}

/// Does it again and again until there is no room.
fn until_full(mut act: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    // As often as fits in at most: something else than this disk must not be filled.
    for _ in 0..=FILES.max(BYTES / PIECE.len()) {
        match act() {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
            other => other?,
        }
    }
    Err(io::Error::other("more fits in than should"))
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let mut command = Command::new("umount");
        // Programs may have files open on it.
        command.arg("--lazy").arg(&self.0);
        if let Err(error) = tool::run(command, "", PATIENCE) {
            eprintln!("a small disk is left: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_takes_nothing_until_it_is_cleared() {
        let directory = std::env::temp_dir().join(format!("culvert-lab-disk-{}", std::process::id()));
        let disk = SmallDisk::at(&directory).unwrap();
        let kept = directory.join("kept");
        fs::write(&kept, "before").unwrap();
        disk.fill().unwrap();
        let full = |result: io::Result<()>| result.unwrap_err().kind() == io::ErrorKind::StorageFull;
        assert!(full(fs::write(directory.join("more"), "")));
        assert!(full(fs::write(&kept, PIECE.repeat(2))));
        disk.clear().unwrap();
        fs::write(directory.join("more"), "after").unwrap();
        drop(disk);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0, "the disk is gone with all that was on it");
        fs::remove_dir(&directory).unwrap();
    }
}
