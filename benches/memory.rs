//! What the kernel says a process holds.

use std::fs;
use std::time::{Duration, Instant};

/// Time between two looks at memory that settles.
const LOOK: Duration = Duration::from_millis(100);

/// Resident memory of a process in MB (10^6 bytes); `self` is this one. Zero when it has gone.
pub(crate) fn resident(process: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    in_status(&status, "VmRSS:").unwrap_or_default()
}

/// The most that a process has held since that was forgotten.
pub(crate) fn peak(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    in_status(&status, "VmHWM:").unwrap_or_default()
}

/// Forgets what a process has held at most. Where the kernel refuses, it is remembered from the start on.
pub(crate) fn forget_peak(process: u32) {
    // `proc_pid_clear_refs(5)`: 5 sets the peak to what is resident.
    let _ = fs::write(format!("/proc/{process}/clear_refs"), "5");
}

/// The least that each process holds within a time: what a burst needed may be given back a moment later.
pub(crate) fn settled<const N: usize>(processes: [u32; N], within: Duration) -> [f64; N] {
    let end = Instant::now() + within;
    let look = || processes.map(|process| resident(&process.to_string()));
    let mut least = look();
    while Instant::now() < end {
        std::thread::sleep(LOOK);
        for (least, now) in least.iter_mut().zip(look()) {
            *least = least.min(now);
        }
    }
    least
}

/// Reads a line like `VmRSS:      5528 kB` of `/proc/PID/status`, whose kB are 1024 bytes.
fn in_status(text: &str, key: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_in_millions_of_bytes() {
        let text = "Name:\tnode\nVmPeak:\t  9999 kB\nVmRSS:\t    5000 kB\nThreads:\t3\n";
        assert_eq!(in_status(text, "VmRSS:"), Some(5.12));
        assert_eq!(in_status("Name:\tkthread\n", "VmRSS:"), None);
    }

    #[test]
    fn this_process_holds_something_and_one_that_has_gone_nothing() {
        let [own, gone] = settled([std::process::id(), u32::MAX], Duration::ZERO);
        assert!(own > 0.5);
        assert!(gone.abs() < 1e-9);
    }
}
