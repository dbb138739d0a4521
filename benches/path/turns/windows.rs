//! The windows, in pairs of one of each kind, and what processes use in them.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::memory;
use crate::path::cpu::Cpu;
use crate::path::error::Error;
use crate::path::interrupt::Interrupt;

/// How often memory and descriptors are looked at.
const GLANCE: Duration = Duration::from_millis(50);

/// How many windows there are, and how long they are.
#[derive(Debug, Clone, Copy)]
pub(in crate::path) struct Plan {
    pub(in crate::path) pairs: usize,
    pub(in crate::path) length: Duration,
    /// Before each, what is left of the one before may end, and what it begins with be made.
    pub(in crate::path) settle: Duration,
}

/// The two kinds of windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::path) enum Kind {
    Quiet,
    Disturbed,
}

/// Something of each of the two kinds of windows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::path) struct Kinds<T> {
    pub(in crate::path) quiet: T,
    pub(in crate::path) disturbed: T,
}

/// A time in which requests count.
#[derive(Debug, Clone)]
pub(in crate::path) struct Window {
    pub(in crate::path) from: Instant,
    pub(in crate::path) until: Instant,
    /// Of each process that is looked at.
    pub(in crate::path) usage: Vec<Usage>,
}

/// What a process used in a window.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::path) struct Usage {
    /// Of the processors: 1.0 is one of them.
    pub(in crate::path) cpu: f64,
    /// The most memory it held, in MB.
    pub(in crate::path) resident: f64,
    /// The most descriptors it had.
    pub(in crate::path) descriptors: u64,
}

impl<T> Kinds<T> {
    /// A view of both.
    pub(in crate::path) fn as_ref(&self) -> Kinds<&T> {
        Kinds { quiet: &self.quiet, disturbed: &self.disturbed }
    }
}

impl Plan {
    /// Lets all windows pass. Every other pair begins with the one that is disturbed: what drifts meets both kinds alike.
    pub(in crate::path) fn take<T>(
        &self,
        interrupt: &Interrupt,
        mut window: impl FnMut(Kind) -> Result<T, Error>,
    ) -> Result<Vec<Kinds<T>>, Error> {
        let pair = |nth| {
            interrupt.check()?;
            if nth % 2 == 0 {
                let quiet = window(Kind::Quiet)?;
                Ok(Kinds { quiet, disturbed: window(Kind::Disturbed)? })
            } else {
                let disturbed = window(Kind::Disturbed)?;
                Ok(Kinds { quiet: window(Kind::Quiet)?, disturbed })
            }
        };
        (0..self.pairs).map(pair).collect()
    }

    /// Lets one window pass, and looks at processes.
    pub(in crate::path) fn pass(&self, processes: &[u32]) -> Window {
        let all = || processes.iter().copied();
        let before: Vec<_> = all().map(Cpu::of).collect();
        let mut usage = vec![Usage::default(); processes.len()];
        let from = Instant::now();
        while from.elapsed() < self.length {
            all().zip(&mut usage).for_each(|(process, usage)| usage.glance(process));
            thread::sleep(GLANCE.min(self.length.saturating_sub(from.elapsed())));
        }
        let until = Instant::now();
        for ((process, before), usage) in all().zip(&before).zip(&mut usage) {
            usage.cpu = Cpu::of(process).since(before) / (until - from).as_secs_f64();
        }
        Window { from, until, usage }
    }
}

impl Window {
    /// Looks at the same processes again, after the window.
    pub(in crate::path) fn glance(&mut self, processes: &[u32]) {
        processes.iter().zip(&mut self.usage).for_each(|(process, usage)| usage.glance(*process));
    }
}

impl Usage {
    fn glance(&mut self, process: u32) {
        self.resident = self.resident.max(memory::resident(&process.to_string()));
        self.descriptors = self.descriptors.max(descriptors(process));
    }
}

/// How many descriptors a process has; none when it has gone, or on a kernel before 6.2, which does not tell (`proc_pid_fd(5)`).
pub(in crate::path) fn descriptors(process: u32) -> u64 {
    fs::metadata(format!("/proc/{process}/fd")).map_or(0, |directory| directory.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_other_pair_begins_with_the_disturbed_one() {
        let plan = Plan { pairs: 3, length: Duration::ZERO, settle: Duration::ZERO };
        let mut order = Vec::new();
        let interrupt = Interrupt::listen().unwrap();
        let pairs = plan.take(&interrupt, |kind| {
            order.push(kind);
            Ok(kind)
        });
        let (quiet, disturbed) = (Kind::Quiet, Kind::Disturbed);
        assert_eq!(order, [quiet, disturbed, disturbed, quiet, quiet, disturbed]);
        assert!(pairs.unwrap().iter().all(|pair| *pair == Kinds { quiet, disturbed }));
    }

    #[test]
    fn what_this_process_uses_in_a_window_is_seen() {
        let plan = Plan { pairs: 1, length: Duration::from_millis(20), settle: Duration::ZERO };
        let window = plan.pass(&[std::process::id(), u32::MAX]);
        assert!(window.until - window.from >= plan.length);
        assert!(window.usage[0].resident > 0.5 && window.usage[1].resident < 0.1);
        assert!(window.usage[0].descriptors >= 3 && window.usage[1].descriptors == 0);
    }
}
