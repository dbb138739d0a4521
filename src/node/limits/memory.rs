//! How much memory this process may have, and how much of that is for bytes that applications do not take.
//!
//! In go the files in which the kernel says so; out comes a number, once at start. Deliberately absent: how much memory is in use.

/// This part of the memory there is.
const PART: u64 = 4;
/// Two pods that get nothing else done have a tunnel's window each of it, and leave as much.
const LEAST: u64 = 64 << 20;
/// More than that is of no use to applications that read.
const MOST: u64 = 1 << 30;

/// What version 1 of control groups says where there is no limit is more than this.
const NO_LIMIT: u64 = 1 << 60;

/// What there is for bytes that applications do not take, if nobody has set it.
pub(super) fn for_bytes() -> u64 {
    share(of_process(|path| std::fs::read_to_string(path).ok()))
}

/// Where the kernel says nothing, there is the least.
fn share(memory: Option<u64>) -> u64 {
    memory.map_or(LEAST, |memory| (memory / PART).clamp(LEAST, MOST).min(memory / 2))
}

/// What the process may have: the least of what its control groups and the machine have.
fn of_process(read: impl Fn(&str) -> Option<String>) -> Option<u64> {
    let groups = read("/proc/self/cgroup").unwrap_or_default();
    let of_groups = groups.lines().filter_map(|line| of_group(line, &read));
    of_groups.chain(of_machine(&read("/proc/meminfo")?)).min()
}

/// The least of a group and those around it: a line is `hierarchy:controllers:path` (`cgroups(7)`). In a container the path may be that
/// of the host, and the group's files be at the root all the same.
fn of_group(line: &str, read: impl Fn(&str) -> Option<String>) -> Option<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    let (root, file) = if controllers.is_empty() {
        ("/sys/fs/cgroup", "memory.max")
    } else if controllers.split(',').any(|controller| controller == "memory") {
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
    } else {
        return None;
    };
    let limit = |group: &str| read(&format!("{root}{group}/{file}"))?.trim().parse().ok();
    let around = path.trim_end_matches('/').match_indices('/').map(|(end, _)| &path[..end]);
    around.chain([path.trim_end_matches('/')]).filter_map(limit).filter(|limit| *limit < NO_LIMIT).min()
}

fn of_machine(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: (&str, &str) = ("/proc/meminfo", "MemTotal:        8000000 kB\nMemFree:         1 kB\n");

    fn check(files: &[(&str, &str)], expected: Option<u64>) {
        let found = |path: &str| files.iter().find(|(name, _)| *name == path);
        let read = |path: &str| found(path).map(|(_, text)| (*text).to_owned());
        assert_eq!(of_process(read), expected, "{files:?}");
    }

    #[test]
    fn a_process_without_a_limit_has_the_machine() {
        check(&[], None);
        check(&[("/proc/meminfo", "nothing\n")], None);
        check(&[MACHINE], Some(8_192_000_000));
        let group = ("/proc/self/cgroup", "0::/\n");
        check(&[MACHINE, group, ("/sys/fs/cgroup/memory.max", "max\n")], Some(8_192_000_000));
    }

    #[test]
    fn a_group_holds_those_in_it() {
        let group = ("/proc/self/cgroup", "1:cpu:/other\n0::/pods.slice/node\n");
        let own = ("/sys/fs/cgroup/pods.slice/node/memory.max", "536870912\n");
        let around = ("/sys/fs/cgroup/pods.slice/memory.max", "268435456\n");
        check(&[MACHINE, group, own], Some(512 << 20));
        check(&[MACHINE, group, own, around], Some(256 << 20));
        check(&[MACHINE, group, ("/sys/fs/cgroup/memory.max", "1048576\n")], Some(1 << 20));
    }

    #[test]
    fn version_one_says_so_elsewhere() {
        let group = ("/proc/self/cgroup", "9:cpuset:/docker/1\n8:memory:/docker/1\n0::/\n");
        let path = "/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes";
        check(&[MACHINE, group, (path, "104857600\n")], Some(100 << 20));
        check(&[MACHINE, group, (path, "9223372036854771712\n")], Some(8_192_000_000));
        // In a container its own group is at the root.
        let root = "/sys/fs/cgroup/memory/memory.limit_in_bytes";
        check(&[MACHINE, group, (root, "104857600\n")], Some(100 << 20));
    }

    #[test]
    fn a_quarter_is_for_bytes_within_bounds() {
        let shares = [None, Some(100 << 20), Some(512 << 20), Some(64 << 30)].map(share);
        assert_eq!(shares, [64 << 20, 50 << 20, 128 << 20, 1 << 30]);
        assert!((LEAST..=MOST).contains(&for_bytes()));
    }
}
