//! A running program of the lab, its log, and its end.
//!
//! stdout and stderr go to one file, which is what gets searched. The program is killed when its last handle goes,
//! and by the kernel when this process ends, however it ends.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Error;
use crate::error::Doing as _;
use crate::wait::wait_for;

/// How long a program has to end after being asked to.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many lines of a log an error shows.
const TAIL: usize = 25;

/// A program. Cheap to clone; killed when the last handle and its lab are gone.
#[derive(Debug, Clone)]
pub struct Program(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    log: PathBuf,
    pid: u32,
    child: Mutex<Child>,
}

/// A position in a log: what was written before it is not looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPosition(u64);

impl Program {
    pub(crate) fn new(name: String, log: PathBuf, child: Child) -> Self {
        Self(Arc::new(Inner { name, log, pid: child.id(), child: Mutex::new(child) }))
    }

    /// What it is called in errors and in the name of its log file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.pid
    }

    /// Whether it has not ended. A paused program is running.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.exit_status().is_none()
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn exit_status(&self) -> Option<ExitStatus> {
        // The kernel cannot fail to answer for a child that has not been waited for.
        self.child().try_wait().ok().flatten()
    }

    /// The file its output goes to.
    #[must_use]
    pub fn log_file(&self) -> &Path {
        &self.0.log
    }

    /// All it has written so far.
    #[must_use]
    pub fn log_text(&self) -> String {
        self.log_since(LogPosition::default())
    }

    /// The current end of its log.
    #[must_use]
    pub fn log_position(&self) -> LogPosition {
        LogPosition(fs::metadata(&self.0.log).map_or(0, |metadata| metadata.len()))
    }

    /// What it has written since.
    #[must_use]
    pub fn log_since(&self, position: LogPosition) -> String {
        String::from_utf8_lossy(&self.log_bytes(position)).into_owned()
    }

    /// The last lines of its log, for errors.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = self.log_text();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }

    /// Waits until it writes a line that contains `text`; gives back that line.
    ///
    /// # Errors
    /// When it ends before that, or the deadline passes; with the end of its log.
    pub fn wait_for_log(&self, text: &str, deadline: Duration) -> Result<String, Error> {
        self.wait_for_log_since(LogPosition::default(), text, deadline)
    }

    /// Like [`Self::wait_for_log`], for what is written after a position.
    ///
    /// # Errors
    /// When it ends before that, or the deadline passes; with the end of its log.
    pub fn wait_for_log_since(
        &self,
        position: LogPosition,
        text: &str,
        deadline: Duration,
    ) -> Result<String, Error> {
        let what = format!("{} logs `{text}`", self.name());
        self.wait_for_line(position, &what, deadline, |line| line.contains(text))
    }

    pub(crate) fn wait_for_line(
        &self,
        position: LogPosition,
        what: &str,
        deadline: Duration,
        is_it: impl Fn(&str) -> bool,
    ) -> Result<String, Error> {
        let (mut seen, mut at) = (String::new(), position);
        let found = wait_for(deadline, what, || {
            // Asked before reading: what a program wrote before its end is found after its end.
            let ended = self.exit_status();
            let new = self.log_bytes(at);
            at = LogPosition(at.0 + new.len() as u64);
            seen.push_str(&String::from_utf8_lossy(&new));
            // The last line is not whole until its end is there, or the program's.
            let whole = seen.rfind('\n').map_or(0, |end| end + 1);
            let lines = if ended.is_some() { seen.as_str() } else { &seen[..whole] };
            let line = lines.lines().find(|line| is_it(line)).map(str::to_owned);
            seen.drain(..whole);
            line.map(Ok).or_else(|| ended.map(Err))
        });
        match found {
            Ok(Ok(line)) => Ok(line),
            Ok(Err(status)) => Err(self.ended(status, what.to_owned())),
            Err(error) => Err(with_evidence(error, || self.evidence())),
        }
    }

    /// Ends it at once (`SIGKILL`), as a crash would, and waits until it is gone.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kill_hard(&self) -> Result<ExitStatus, Error> {
        self.signal(Signal::SIGKILL)?;
        self.wait_for_exit(PATIENCE)
    }

    /// Asks it to end (`SIGTERM`) and waits until it has.
    ///
    /// # Errors
    /// When it is still there after ten seconds; with the end of its log.
    pub fn stop(&self) -> Result<ExitStatus, Error> {
        self.terminate()?;
        self.wait_for_exit(PATIENCE)
    }

    /// Asks it to end (`SIGTERM`), and does not wait.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn terminate(&self) -> Result<(), Error> {
        self.signal(Signal::SIGTERM)
    }

    /// Stops the clock for it (`SIGSTOP`): it keeps its sockets, and does nothing.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn pause(&self) -> Result<(), Error> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets it go on (`SIGCONT`).
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn resume(&self) -> Result<(), Error> {
        self.signal(Signal::SIGCONT)
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// When it is still there after the deadline; with the end of its log.
    pub fn wait_for_exit(&self, deadline: Duration) -> Result<ExitStatus, Error> {
        let what = format!("{} ends", self.name());
        wait_for(deadline, &what, || self.exit_status())
            .map_err(|error| with_evidence(error, || self.evidence()))
    }

    /// The end of the log under a heading, to be shown in an error.
    pub(crate) fn evidence(&self) -> String {
        format!(
            "\n--- {} (pid {}), end of {}:\n{}",
            self.name(),
            self.pid(),
            self.0.log.display(),
            self.log_tail()
        )
    }

    pub(crate) fn ended(&self, status: ExitStatus, what: String) -> Error {
        let (program, outcome) = (self.name().to_owned(), status.to_string());
        Error::Ended { program, outcome, what, evidence: self.evidence() }
    }

    fn signal(&self, signal: Signal) -> Result<(), Error> {
        // Holding the child while signalling it: nobody can reap it in between and free its process id.
        let mut child = self.child();
        let doing = || format!("send {signal} to {}", self.name());
        if child.try_wait().doing(doing)?.is_some() {
            return Ok(());
        }
        let pid = Pid::from_raw(self.0.pid.cast_signed());
        kill(pid, signal).map_err(std::io::Error::from).doing(doing)
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.0.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was logged after a position. A log that cannot be read reads as empty: it then shows nothing in errors.
    fn log_bytes(&self, position: LogPosition) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Ok(mut file) = File::open(&self.0.log)
            && file.seek(SeekFrom::Start(position.0)).is_ok()
        {
            let _ = file.read_to_end(&mut bytes);
        }
        bytes
    }
}

/// Adds to a timeout what helps to understand it.
pub(crate) fn with_evidence(mut error: Error, more: impl FnOnce() -> String) -> Error {
    if let Error::Timeout { evidence, .. } | Error::Ended { evidence, .. } = &mut error
        && evidence.is_empty()
    {
        *evidence = more();
    }
    error
}

impl Drop for Inner {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Fails only when it has ended already.
        let _ = child.kill();
        let _ = child.wait();
    }
}
