//! Runs one command to its end inside a namespace: bounded in time and in what it may say.
//!
//! In go a program, its arguments and its input; out come its status and its two outputs as text. What they mean is
//! for the caller ([`crate::tool`]).

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use culvert_sys::child;
use culvert_sys::netns::Netns;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// Where the xtables tools look for their lock file. The namespace itself serves as the file: whoever programs the
/// same pod takes turns, and nobody waits for another pod.
const LOCK_FILE: &str = "XTABLES_LOCKFILE";
/// The most a command may print. A pod's owner may have written any number of rules.
const OUTPUT_LIMIT: u64 = 8 << 20;
const ERROR_LIMIT: u64 = 64 << 10;
/// How long a killed command may take to disappear.
const GRACE: Duration = Duration::from_secs(1);

/// A command to run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job<'j> {
    pub(crate) program: &'j Path,
    pub(crate) arguments: &'j [&'j str],
    pub(crate) input: &'j str,
    pub(crate) within: Duration,
    pub(crate) lock: Lock,
}

/// Whom the xtables tools take turns with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    /// Whoever programs the same namespace by this crate: it is a pod's, and nobody else does.
    OfNamespace,
    /// Everybody on the machine: it is the machine's own namespace.
    Common,
}

/// What a command that ended left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
    pub(crate) complaint: String,
}

/// Runs the command in the namespace; `None` when it had to be killed because its time was up.
pub(crate) fn run(job: Job<'_>, netns: &Netns) -> io::Result<Option<Ended>> {
    // Files in memory rather than pipes: nobody has to read while the command writes, and a grandchild that keeps one
    // open keeps nobody waiting.
    let mut output = Capture::new(OUTPUT_LIMIT)?;
    let mut complaint = Capture::new(ERROR_LIMIT)?;
    let mut command = Command::new(job.program);
    command.args(job.arguments).env("LC_ALL", "C");
    if job.lock == Lock::OfNamespace {
        command.env(LOCK_FILE, netns.path());
    }
    command.stdin(input(job.input)?).stdout(output.stdio()?).stderr(complaint.stdio()?);
    child::die_with_parent(child::start_in(&mut command, netns)?);
    let deadline = Instant::now() + job.within;
    let mut running = command.spawn()?;
    let Some(status) = child::wait_until(&mut running, deadline)? else {
        kill(&mut running)?;
        return Ok(None);
    };
    Ok(Some(Ended { status, output: output.text()?, complaint: complaint.text()? }))
}

fn kill(running: &mut Child) -> io::Result<()> {
    running.kill()?;
    child::wait_until(running, Instant::now() + GRACE)?;
    Ok(())
}

fn input(text: &str) -> io::Result<Stdio> {
    let mut file = File::from(memfd_create(c"input", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file.into())
}

/// Output of a command, in a file that cannot grow. The command shares the file's position, which therefore is the
/// length of what it wrote.
struct Capture {
    file: File,
}

impl Capture {
    fn new(limit: u64) -> io::Result<Self> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let file = File::from(memfd_create(c"output", flags)?);
        file.set_len(limit)?;
        fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_GROW))?;
        Ok(Self { file })
    }

    fn stdio(&self) -> io::Result<Stdio> {
        Ok(self.file.try_clone()?.into())
    }

    fn text(&mut self) -> io::Result<String> {
        let length = self.file.stream_position()?;
        self.file.seek(SeekFrom::Start(0))?;
        let mut bytes = Vec::new();
        (&self.file).take(length).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// How a command ended, in words.
pub(crate) fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no exit code".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, within: Duration) -> Option<Ended> {
        let arguments = ["-c", script];
        let job = Job {
            program: Path::new("/bin/sh"),
            arguments: &arguments,
            input: "in",
            within,
            lock: Lock::OfNamespace,
        };
        run(job, &Netns::create().unwrap()).unwrap()
    }

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn both_outputs_and_the_status_come_back() {
        let ended = shell("cat; echo out; echo err >&2; exit 4", LONG).unwrap();
        assert_eq!((ended.output.as_str(), ended.complaint.as_str()), ("inout\n", "err\n"));
        assert_eq!(ending(ended.status), "exit code 4");
    }

    #[test]
    fn it_runs_inside_with_a_lock_of_its_own() {
        let netns = Netns::create().unwrap();
        let script = "readlink /proc/self/ns/net; stat -Lc 'net:[%i]' $XTABLES_LOCKFILE";
        let job = Job {
            program: Path::new("/bin/sh"),
            arguments: &["-c", script],
            input: "",
            within: LONG,
            lock: Lock::OfNamespace,
        };
        let ended = run(job, &netns).unwrap().unwrap();
        assert_eq!(ended.output, format!("{0}\n{0}\n", netns.id()));
    }

    #[test]
    fn a_command_that_hangs_is_killed_even_if_a_grandchild_stays() {
        assert!(shell("sleep 5 & sleep 5", Duration::from_millis(100)).is_none());
    }

    #[test]
    fn output_cannot_grow_without_bound() {
        let ended = shell("head -c 9000000 /dev/zero", LONG).unwrap();
        assert!(ended.output.len() as u64 <= OUTPUT_LIMIT);
        assert!(!ended.status.success());
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let job = Job {
            program: Path::new("/nonexistent"),
            arguments: &[],
            input: "",
            within: LONG,
            lock: Lock::OfNamespace,
        };
        let error = run(job, &Netns::create().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
