//! The plugin's executable on the host: a copy of the running one.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::Error;
use crate::durable::{self, Access, Disk};

const MODE: u32 = 0o755;

/// Pieces in which files are compared: the whole would be resident in every node's memory.
const PIECE: usize = 64 << 10;

/// Puts the program there, unless it is there. Says whether it was not.
pub(super) fn install(disk: &dyn Disk, path: &Path, program: &Path) -> Result<bool, Error> {
    let copied = || {
        if is_in_place(path, program)? {
            return Ok(false);
        }
        if let Some(directory) = path.parent() {
            durable::sweep(disk, directory)?;
        }
        durable::replace(disk, path, &mut File::open(program)?, Access::mode(MODE))?;
        Ok(true)
    };
    copied().map_err(|source| Error::Executable { path: path.to_owned(), source })
}

fn is_in_place(path: &Path, program: &Path) -> io::Result<bool> {
    let (Ok(there), wanted) = (fs::metadata(path), fs::metadata(program)?) else { return Ok(false) };
    if !there.is_file() || there.len() != wanted.len() || there.permissions().mode() & 0o777 != MODE {
        return Ok(false);
    }
    same(File::open(path)?, File::open(program)?)
}

fn same(one: impl Read, other: impl Read) -> io::Result<bool> {
    let (mut one, mut other) = (BufReader::with_capacity(PIECE, one), BufReader::with_capacity(PIECE, other));
    let (mut a, mut b) = (vec![0; PIECE], vec![0; PIECE]);
    loop {
        let read = fill(&mut one, &mut a)?;
        if read != fill(&mut other, &mut b)? || a[..read] != b[..read] {
            return Ok(false);
        }
        if read == 0 {
            return Ok(true);
        }
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}
