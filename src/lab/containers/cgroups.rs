//! The control groups of a node's pods, where kubelet would have them: `.../kubepods/burstable/podUID/CONTAINER`.
//!
//! Everything is below one group of the lab's own, as kubelet's are below another one when it runs in a container itself. Only the
//! hierarchy of version 2 is written to: that one tells whose a process is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::error::Doing as _;

/// The groups of one node.
#[derive(Debug)]
pub(super) struct Cgroups {
    name: String,
    unified: PathBuf,
}

impl Cgroups {
    /// Nothing is made yet. `name` must be unique on the machine.
    pub(super) fn new(name: String) -> Result<Self, Error> {
        let mounts = fs::read_to_string("/proc/self/mounts").doing(|| "read /proc/self/mounts".into())?;
        let unified = unified(&mounts).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
        Ok(Self { name, unified: unified.doing(|| "find where control groups are mounted".into())? })
    }

    /// The group that all others are in.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The group of a pod, as `/proc/PID/cgroup` shows it.
    pub(super) fn of_pod(&self, uid: &str) -> String {
        format!("/{}/kubepods/burstable/pod{uid}", self.name)
    }

    /// Puts a process into the group of a container, which is made.
    pub(super) fn put(&self, uid: &str, container: &str, pid: u32) -> Result<(), Error> {
        let group = self.directory(uid).join(container);
        let write = fs::create_dir_all(&group);
        let write = write.and_then(|()| fs::write(group.join("cgroup.procs"), pid.to_string()));
        write.doing(|| format!("put process {pid} into {}", group.display()))
    }

    /// Removes the groups of a pod with one container; succeeds when there are none.
    pub(super) fn remove(&self, uid: &str, container: &str) -> Result<(), Error> {
        let pod = self.directory(uid);
        [pod.join(container), pod].iter().try_for_each(|group| remove(group))
    }

    fn directory(&self, uid: &str) -> PathBuf {
        self.unified.join(self.of_pod(uid).trim_start_matches('/'))
    }
}

fn remove(group: &Path) -> Result<(), Error> {
    match fs::remove_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.doing(|| format!("remove the control group {}", group.display())),
    }
}

/// Finds where the hierarchy of version 2 is mounted: device, place, kind (`proc_mounts(5)`).
fn unified(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (_, place, kind) = (words.next()?, words.next()?, words.next()?);
        (kind == "cgroup2").then(|| place.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unified_hierarchy_is_found_alone_and_beside_others() {
        let mixed =
            "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(unified(mixed), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(unified("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n"), Some("/sys/fs/cgroup".into()));
        assert_eq!(unified("cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n"), None);
    }
}
