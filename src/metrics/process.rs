//! What the kernel knows of this process, looked up when somebody asks. The names are those every Prometheus client uses.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::{TimeVal, TimeValLike as _};

use crate::{Collected, Metrics};

/// Has the process looked at. It counts as started at this moment.
pub fn collect(metrics: &Metrics) {
    let started = SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs_f64());
    metrics.collect(move || {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let memory = |what, name, help| Collected::gauge(name, help).of(kibibytes(&status, what));
        vec![
            Collected::counter("process_cpu_seconds_total", "CPU time used, in user mode and by the kernel.")
                .of(cpu_seconds()),
            memory("VmRSS:", "process_resident_memory_bytes", "Memory that is resident."),
            memory("VmSize:", "process_virtual_memory_bytes", "Address space that is in use."),
            Collected::gauge("process_start_time_seconds", "When the process started, since 1970.")
                .of(started),
            Collected::gauge("process_open_fds", "File descriptors that are open.").of(open_files()),
            Collected::gauge("process_max_fds", "File descriptors that may be open at once.")
                .of(most_files()),
        ]
    });
}

/// A line of /proc/self/status (proc_pid_status(5)), in bytes.
fn kibibytes(status: &str, what: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(what))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|number| (number << 10) as f64)
}

fn cpu_seconds() -> Option<f64> {
    let used = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let microseconds = |time: TimeVal| time.num_microseconds() as f64;
    Some((microseconds(used.user_time()) + microseconds(used.system_time())) / 1e6)
}

fn open_files() -> Option<f64> {
    // Kernels since 6.2 tell at once. Before, all are listed, for each of which the kernel keeps some hundred bytes; one of them is the
    // look itself.
    let told = fs::metadata("/proc/self/fd").ok()?.len();
    if told > 0 {
        return Some(told as f64);
    }
    let listed = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(listed.saturating_sub(1) as f64)
}

fn most_files() -> Option<f64> {
    getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    fn value(text: &str, name: &str) -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is not in {text}")).parse().unwrap()
    }

    #[test]
    fn the_process_is_seen_as_it_is() {
        let metrics = Metrics::new(Settings::default());
        collect(&metrics);
        let before = value(&metrics.text(), "process_open_fds");
        let files: Vec<_> = (0..200).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        let text = metrics.text();
        // Other tests of this process open files as well, but not so many.
        let more = value(&text, "process_open_fds") - before;
        assert!((150.0..250.0).contains(&more), "{more}");
        drop(files);
        assert!(value(&text, "process_max_fds") >= before);
        assert!(value(&text, "process_cpu_seconds_total") > 0.0);
        let resident = value(&text, "process_resident_memory_bytes");
        assert!(resident > 1e5 && resident < value(&text, "process_virtual_memory_bytes"), "{text}");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let age = now - value(&text, "process_start_time_seconds");
        assert!((0.0..60.0).contains(&age), "{age}");
    }

    #[test]
    fn a_line_that_is_not_there_is_no_value() {
        assert_eq!(kibibytes("VmSize:\t  20 kB\nVmRSS:\t   12 kB\n", "VmRSS:"), Some(12_288.0));
        for status in ["", "VmRSS: x kB", "VmRSS: 12"] {
            assert_eq!(kibibytes(status, "VmRSS:"), None);
        }
    }
}
