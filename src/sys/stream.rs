//! Reading and writing connected sockets in several pieces at once (`readv(2)`, `writev(2)`).

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::AsFd;

/// Reads into the pieces in order; 0 at the end.
///
/// # Errors
/// As `readv(2)`.
pub fn read(socket: &impl AsFd, pieces: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    match pieces {
        [one] => nix::unistd::read(socket, one),
        pieces => nix::sys::uio::readv(socket, pieces),
    }
    .map_err(io::Error::from)
}

/// Writes the pieces in order; says how much of them.
///
/// # Errors
/// As `writev(2)`.
pub fn write(socket: &impl AsFd, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    match pieces {
        [one] => nix::unistd::write(socket, one),
        pieces => nix::sys::uio::writev(socket, pieces),
    }
    .map_err(io::Error::from)
}
