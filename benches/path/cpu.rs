//! How much CPU time a process has used.

use std::collections::BTreeMap;
use std::fs;

/// Ticks a second of `/proc/PID/stat`: fixed for user space (`USER_HZ`).
const TICKS: f64 = 100.0;

/// CPU time of a process up to a moment.
#[derive(Debug, Default)]
pub(crate) struct Cpu {
    /// Nanoseconds of each thread, where the kernel tells.
    threads: BTreeMap<u32, u64>,
    /// User and system time of the whole process in ticks.
    ticks: u64,
}

impl Cpu {
    /// Of a process; nothing when it has gone.
    pub(crate) fn of(pid: u32) -> Self {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        Self { threads: threads(pid), ticks: ticks(&stat).unwrap_or_default() }
    }

    /// Seconds since an earlier moment. Exact to the nanosecond unless a thread has ended in between: then to the tick.
    pub(crate) fn since(&self, earlier: &Self) -> f64 {
        let ticks = self.ticks.saturating_sub(earlier.ticks) as f64 / TICKS;
        let all_there = earlier.threads.keys().all(|thread| self.threads.contains_key(thread));
        if self.threads.is_empty() || !all_there {
            return ticks;
        }
        let before = |thread| earlier.threads.get(thread).copied().unwrap_or_default();
        let spent = self.threads.iter().map(|(thread, now)| now.saturating_sub(before(thread)));
        spent.sum::<u64>() as f64 / 1e9
    }
}

fn threads(pid: u32) -> BTreeMap<u32, u64> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return BTreeMap::new() };
    let one = |task: std::io::Result<fs::DirEntry>| {
        let task = task.ok()?;
        let thread = task.file_name().to_str()?.parse().ok()?;
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        Some((thread, nanoseconds(&text)?))
    };
    tasks.filter_map(one).collect()
}

/// Reads `/proc/PID/task/TID/schedstat`: time on a CPU, time waiting for one, number of turns.
fn nanoseconds(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// Reads user and system time out of `/proc/PID/stat` (`proc_pid_stat(5)`), whose second field is a name in parentheses
/// that may hold anything.
fn ticks(text: &str) -> Option<u64> {
    let (_, rest) = text.rsplit_once(')')?;
    // The state is field 3; user and system time are 14 and 15.
    let mut fields = rest.split_whitespace().skip(11);
    let (user, system) = (fields.next()?.parse::<u64>().ok()?, fields.next()?.parse::<u64>().ok()?);
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_blanks_does_not_confuse() {
        let text = "1234 (a) b (c) S 1 1234 1234 0 -1 4194304 100 0 0 0 71 29 5 6 20 0 3 0 100 1 2";
        assert_eq!(ticks(text), Some(100));
        assert_eq!(ticks("1234 (short) S 1"), None);
        assert_eq!(ticks(""), None);
    }

    #[test]
    fn time_on_the_cpu_is_the_first_field() {
        assert_eq!(nanoseconds("67360 12 1\n"), Some(67_360));
        assert_eq!(nanoseconds(""), None);
    }

    #[test]
    fn new_threads_count_and_lost_ones_fall_back_to_ticks() {
        let cpu = |threads: &[(u32, u64)], ticks| Cpu { threads: threads.iter().copied().collect(), ticks };
        let before = cpu(&[(1, 1_000_000_000), (2, 0)], 100);
        let later = cpu(&[(1, 1_500_000_000), (2, 250_000_000), (3, 250_000_000)], 205);
        assert!((later.since(&before) - 1.0).abs() < 1e-9);
        let lost = cpu(&[(1, 1_500_000_000)], 205);
        assert!((lost.since(&before) - 1.05).abs() < 1e-9);
    }

    #[test]
    fn this_process_has_used_some() {
        let now = Cpu::of(std::process::id());
        assert!(!now.threads.is_empty());
    }
}
