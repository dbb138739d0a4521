//! The legacy packet filters (`ip_tables`, `ip6_tables`): reading a table as the kernel keeps it.
//!
//! The kernel has no other way to tell than the socket options that the legacy tools use. What the bytes mean is for the
//! caller.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use socket2::{Domain, Socket, Type};

/// The most bytes a table is read of: some ten thousand rules.
pub const LARGEST_TABLE: usize = 16 << 20;

/// The tables of one IP version in the namespace the socket was made in.
#[derive(Debug)]
pub struct Tables {
    socket: Socket,
    level: i32,
}

/// An IP version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Tables {
    /// Opens those of the namespace the calling thread is in.
    ///
    /// # Errors
    /// When the kernel does not have the IP version.
    pub fn open(version: Version) -> io::Result<Self> {
        let (domain, level) = match version {
            Version::V4 => (Domain::IPV4, nix::libc::IPPROTO_IP),
            Version::V6 => (Domain::IPV6, nix::libc::IPPROTO_IPV6),
        };
        // Any socket of that version will do.
        Ok(Self { socket: Socket::new(domain, Type::DGRAM, None)?, level })
    }

    /// The entries of a table, one behind the other (`struct ipt_entry`, `struct ip6t_entry`).
    ///
    /// Asking for a table makes it, if the kernel can: ask only for those it says it has, in `/proc/net/ip_tables_names`.
    ///
    /// # Errors
    /// `NotFound` when there is no such table, `WouldBlock` when it keeps changing; when it is larger than
    /// [`LARGEST_TABLE`]; or without `CAP_NET_ADMIN`.
    pub fn entries(&self, table: &str) -> io::Result<Vec<u8>> {
        let name = name(table)?;
        let mut outcome = Err(io::ErrorKind::WouldBlock.into());
        for _ in 0..MOST_READINGS {
            let size = self.size(name)?;
            outcome = self.read(name, size);
            // It has another size than a moment ago.
            if !matches!(&outcome, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                break;
            }
        }
        outcome
    }

    fn size(&self, name: [u8; NAME]) -> io::Result<usize> {
        let mut info = [0; INFO];
        info[..NAME].copy_from_slice(&name);
        option(self.socket.as_fd(), self.level, GET_INFO, &mut info)?;
        let size = info.last_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes) as usize);
        if size > LARGEST_TABLE {
            return Err(io::Error::other(format!("a table of {size} bytes is more than {LARGEST_TABLE}")));
        }
        Ok(size)
    }

    fn read(&self, name: [u8; NAME], size: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; ENTRIES + size];
        bytes[..NAME].copy_from_slice(&name);
        let told = u32::try_from(size).expect("a table is smaller than its bound");
        bytes[NAME..NAME + 4].copy_from_slice(&told.to_ne_bytes());
        option(self.socket.as_fd(), self.level, GET_ENTRIES, &mut bytes)?;
        Ok(bytes.split_off(ENTRIES))
    }
}

/// How often a table is read that changes its size meanwhile.
const MOST_READINGS: usize = 16;

// linux/netfilter_ipv4/ip_tables.h; those of IPv6 have the same numbers and sizes.
const GET_INFO: i32 = 64;
const GET_ENTRIES: i32 = 65;
/// `XT_TABLE_MAXNAMELEN`.
const NAME: usize = 32;
/// `struct ipt_getinfo`: the name, eleven numbers about hooks, how many entries, and last how many bytes.
const INFO: usize = NAME + 13 * 4;
/// What is before the entries in `struct ipt_get_entries`: the name, how many bytes, and what aligns the entries.
const ENTRIES: usize = (NAME + 4).next_multiple_of(align_of::<u64>());

fn name(table: &str) -> io::Result<[u8; NAME]> {
    let mut name = [0; NAME];
    // One byte has to stay zero.
    if table.len() >= NAME {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    name[..table.len()].copy_from_slice(table.as_bytes());
    Ok(name)
}

/// Reads an option that is also told what to read.
#[expect(unsafe_code, reason = "getsockopt has no safe wrapper for options of this kind")]
fn option(socket: BorrowedFd<'_>, level: i32, option: i32, bytes: &mut [u8]) -> io::Result<()> {
    let mut length = nix::libc::socklen_t::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the descriptor is open for the call; the kernel reads and writes at most `length` bytes, which is how many
    // `bytes` has, and any bytes are valid there.
    let result = unsafe {
        nix::libc::getsockopt(socket.as_raw_fd(), level, option, bytes.as_mut_ptr().cast(), &raw mut length)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netns::Netns;

    #[test]
    fn a_new_table_lets_everything_pass() {
        let netns = Netns::create().unwrap();
        for version in [Version::V4, Version::V6] {
            let tables = netns.run(|| Tables::open(version)).unwrap().unwrap();
            let entries = tables.entries("mangle").unwrap();
            // One for each of the five hooks, and one for the end.
            let verdicts = entries.windows(5).filter(|bytes| bytes == b"ERROR").count();
            assert_eq!(verdicts, 2, "the last entry has the name twice");
            assert!(entries.len() > 6 * 112, "{}", entries.len());
        }
    }

    #[test]
    fn there_is_no_table_of_that_name() {
        let netns = Netns::create().unwrap();
        let tables = netns.run(|| Tables::open(Version::V4)).unwrap().unwrap();
        assert_eq!(tables.entries("nonsense").unwrap_err().kind(), io::ErrorKind::NotFound);
        let long = "a-name-of-thirty-two-bytes-is-it";
        assert_eq!(long.len(), 32);
        assert_eq!(tables.entries(long).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
