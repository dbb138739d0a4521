//! Whether the agent can have its sockets and its state where it wants them. Nothing is written to find out.

use std::io;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, access, geteuid};

use super::Context;
use super::catalogue::Family;
use super::finding::{Check, Finding, Verdict};

pub(crate) const FAMILY: Family = Family { name: "storage", checks: &[&DIRECTORIES], look };

const DIRECTORIES: Check = Check {
    name: "directories",
    why: "agent and node meet at a socket; the agent keeps which namespaces are enrolled, for the moments it is away",
};

/// Where the agent keeps what outlives it.
const STATE: &str = "/var/lib/culvert";
/// Less than this is full for anybody who writes.
const LEAST: u64 = 16 << 20;

/// A directory that is there, or the nearest one above that is.
struct Place {
    wanted: PathBuf,
    there: PathBuf,
    is_writable: bool,
    is_read_only: bool,
    free: u64,
}

fn look(context: &Context<'_>) -> Vec<Finding> {
    let sockets = [&context.options.agent_socket, &context.options.node_socket];
    let mut wanted: Vec<PathBuf> =
        sockets.iter().filter_map(|socket| Some(socket.parent()?.to_owned())).collect();
    wanted.push(STATE.into());
    wanted.dedup();
    let is_root = geteuid().is_root();
    wanted.iter().map(|path| DIRECTORIES.judged(place(path), |place| judge(&place, is_root))).collect()
}

fn place(wanted: &Path) -> io::Result<Place> {
    let there = wanted.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/")).to_owned();
    let system = statvfs(&there)?;
    Ok(Place {
        is_writable: access(&there, AccessFlags::W_OK).is_ok(),
        is_read_only: system.flags().contains(FsFlags::ST_RDONLY),
        free: system.blocks_available() * system.fragment_size(),
        wanted: wanted.to_owned(),
        there,
    })
}

fn judge(place: &Place, is_root: bool) -> Verdict {
    let Place { wanted, there, is_writable, is_read_only, free } = place;
    let (wanted, there) = (wanted.display(), there.display());
    if *is_read_only {
        let found = format!("{wanted} cannot be written: {there} is mounted read-only");
        return Verdict::problem(
            found,
            format!("mount a writable volume (hostPath, DirectoryOrCreate) at {wanted}"),
        );
    }
    if *free < LEAST {
        return Verdict::problem(
            format!("{wanted}: {} KiB are free", free >> 10),
            format!("make room: df {there}"),
        );
    }
    if *is_writable {
        return Verdict::ok(format!("{wanted} can be written, {} MiB are free", free >> 20));
    }
    if is_root {
        return Verdict::problem(
            format!("{there} cannot be written, not even by root"),
            format!("see: namei -l {there}"),
        );
    }
    Verdict::needs_root()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::State;

    #[test]
    fn places_that_cannot_be_written_are_named() {
        let good = Place {
            wanted: "/a/b".into(),
            there: "/a".into(),
            is_writable: true,
            is_read_only: false,
            free: 1 << 30,
        };
        assert_eq!(judge(&good, true).state, State::Ok);
        let read_only = Place { is_read_only: true, wanted: "/a/b".into(), there: "/a".into(), ..good };
        assert!(judge(&read_only, true).found.contains("/a is mounted read-only"));
        let full = Place { is_read_only: false, free: 4096, ..read_only };
        assert_eq!(judge(&full, true).state, State::Problem);
        let forbidden = Place { is_writable: false, free: 1 << 30, ..full };
        assert_eq!(judge(&forbidden, true).state, State::Problem);
        assert_eq!(judge(&forbidden, false).state, State::Unknown);
    }

    #[test]
    fn what_is_not_there_is_judged_by_what_it_would_be_made_in() {
        let place = place(Path::new("/proc/sys/no/such/thing")).unwrap();
        assert_eq!(place.there, Path::new("/proc/sys"));
    }
}
