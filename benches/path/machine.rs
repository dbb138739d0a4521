//! Where and when it was measured.

use std::fs;
use std::thread;
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;

/// How long it is watched what else the machine does.
const WATCH: Duration = Duration::from_millis(1000);
/// More than this share of the machine in use by others makes figures doubtful.
const BUSY: f64 = 0.1;

/// The machine, and its state before the run.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    date: String,
    kernel: String,
    processor: String,
    cores: usize,
    /// The share of its processors that was in use before anything was started.
    busy: f64,
}

impl Machine {
    /// Looks at this machine.
    pub(super) fn look() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let before = read("/proc/stat");
        thread::sleep(WATCH);
        Self {
            date: OffsetDateTime::now_utc().date().to_string(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            processor: processor(&read("/proc/cpuinfo")).unwrap_or("unknown").to_owned(),
            cores: thread::available_parallelism().map_or(1, usize::from),
            busy: busy(&before, &read("/proc/stat")).unwrap_or_default(),
        }
    }

    /// A warning when something else is running.
    pub(super) fn warning(&self) -> Option<String> {
        let percent = 100.0 * self.busy;
        (self.busy > BUSY).then(|| {
            format!("the machine was {percent:.0} % busy before the run began: figures are doubtful")
        })
    }

    /// As a list in Markdown.
    pub(super) fn markdown(&self, command: &str) -> String {
        let Self { date, kernel, processor, cores, busy } = self;
        format!(
            "- Measured with: `{command}`\n- Date: {date}\n- Kernel: {kernel}\n- Processor: {processor}, {cores} cores\n\
             - In use before the run: {:.0} %",
            100.0 * busy
        )
    }
}

/// Reads the first `model name` of `/proc/cpuinfo`.
fn processor(text: &str) -> Option<&str> {
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim())
}

/// The share of time that was not idle, of two states of `/proc/stat`.
fn busy(before: &str, after: &str) -> Option<f64> {
    let (idle_before, all_before) = times(before)?;
    let (idle_after, all_after) = times(after)?;
    let (idle, all) = (idle_after.checked_sub(idle_before)?, all_after.checked_sub(all_before)?);
    (all > 0).then(|| 1.0 - idle as f64 / all as f64)
}

/// Reads idle time (with waiting for I/O) and all time of all processors: `cpu user nice system idle iowait ...`.
fn times(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    // Guests' time, fields 9 and 10, is part of user time.
    let fields: Vec<u64> = line.split_whitespace().take(8).map_while(|field| field.parse().ok()).collect();
    Some((fields.get(3)? + fields.get(4)?, fields.iter().sum()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_idle_is_busy() {
        let before = "cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 1 1 1\n";
        let after = "cpu  120 0 110 760 110 0 0 0 20 0\ncpu0 1 1 1 1\n";
        let share = busy(before, after).unwrap();
        assert!((share - 0.3).abs() < 1e-9, "{share}");
        assert_eq!(busy(before, before), None);
        assert_eq!(busy("", ""), None);
    }

    #[test]
    fn the_processor_has_a_name() {
        assert_eq!(processor("processor\t: 0\nmodel name\t: AMD EPYC\nflags: x\n"), Some("AMD EPYC"));
        assert_eq!(processor(""), None);
    }
}
