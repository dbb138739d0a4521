//! A network namespace to look into: its files under `/proc`, and what read-only commands print there.
//!
//! Nothing is written through it. Everything read is bounded, and every command has a deadline.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use culvert_sys::child;
use culvert_sys::netns::Netns;

/// The most that is read of a file or an output.
const LONGEST: u64 = 8 << 20;
/// Commands that only print take no longer, unless they are stuck.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long what it has printed may take to be read after its end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The namespace, or the one this process is in.
#[derive(Debug)]
pub(crate) struct Sight(Option<Netns>);

impl Sight {
    /// Of the namespace this process is in; that takes no rights.
    pub(crate) fn here() -> Self {
        Self(None)
    }

    pub(crate) fn of(netns: Netns) -> Self {
        Self(Some(netns))
    }

    /// The namespace itself.
    pub(crate) fn netns(&self) -> io::Result<Netns> {
        self.0.as_ref().map_or_else(Netns::current, Netns::try_clone)
    }

    /// The content of a file as seen from inside.
    pub(crate) fn read(&self, path: &str) -> io::Result<String> {
        self.inside(|| read(Path::new(path)))?
    }

    /// The number a file holds.
    pub(crate) fn number(&self, path: &str) -> io::Result<u64> {
        let text = self.read(path)?;
        text.trim()
            .parse()
            .map_err(|_| io::Error::other(format!("{path} holds {:?}, not a number", text.trim())))
    }

    /// The names in a directory as seen from inside, in order.
    pub(crate) fn names(&self, path: &str) -> io::Result<Vec<String>> {
        self.inside(|| names(Path::new(path)))?
    }

    /// What a command prints that is run inside.
    pub(crate) fn run(&self, words: &[&str]) -> io::Result<String> {
        let [program, arguments @ ..] = words else { return Err(io::ErrorKind::InvalidInput.into()) };
        let mut command = Command::new(find(program)?);
        command.args(arguments);
        if let Some(netns) = &self.0 {
            child::start_in(&mut command, netns)?;
        }
        run(command, &words.join(" "))
    }

    fn inside<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        match &self.0 {
            Some(netns) => netns.run(work),
            None => Ok(work()),
        }
    }
}

/// The content of a file, as much as anybody needs of it.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The names in a directory, in order.
pub(crate) fn names(path: &Path) -> io::Result<Vec<String>> {
    let name =
        |entry: io::Result<fs::DirEntry>| entry.map(|it| it.file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = fs::read_dir(path)?.map(name).collect::<Result<_, _>>()?;
    names.sort();
    Ok(names)
}

/// Where a program is; users' search paths often lack the directories of system tools.
pub(crate) fn find(program: &str) -> io::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    let mut candidates = std::env::split_paths(&path).chain(usual).map(|directory| directory.join(program));
    let found = candidates.find(|candidate| candidate.is_file());
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{program} is not installed")))
}

/// Runs a command to its end and gives what it printed; what it complained about when it failed.
fn run(mut command: Command, shown: &str) -> io::Result<String> {
    command.env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = child::die_with_parent(&mut command).spawn()?;
    let outputs = [drain(running.stdout.take()), drain(running.stderr.take())];
    let Some(status) = child::wait_until(&mut running, Instant::now() + DEADLINE)? else {
        running.kill()?;
        running.wait()?;
        return Err(io::Error::new(io::ErrorKind::TimedOut, format!("`{shown}` did not end within 10 s")));
    };
    let [output, complaint] = outputs.map(|reader| reader.recv_timeout(LAST_WORDS));
    let (Ok(output), Ok(complaint)) = (output, complaint) else {
        return Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("`{shown}` has ended, and its output has not"),
        ));
    };
    if status.success() {
        return Ok(output);
    }
    // Programs that warn first say last why they failed.
    let mut lines = complaint.lines().map(str::trim).filter(|line| !line.is_empty());
    let said = lines.next_back().unwrap_or("it gave no reason");
    if says_who_may(said) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("for `{shown}`")));
    }
    Err(io::Error::other(format!("`{shown}` failed: {said}")))
}

fn says_who_may(said: &str) -> bool {
    let said = said.to_ascii_lowercase();
    ["permission denied", "operation not permitted", "must be root", "be root"]
        .iter()
        .any(|it| said.contains(it))
}

/// Reads on a thread of its own, so that whoever writes much is not kept waiting, nor is anybody by a grandchild that keeps the
/// pipe open.
fn drain(pipe: Option<impl io::Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            // What was read before a failure is still worth having; the exit code tells the rest.
            let _ = pipe.take(LONGEST).read_to_end(&mut bytes);
        }
        // Fails only when nobody waits any more.
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fails_says_why() {
        let error =
            Sight::here().run(&["sh", "-c", "echo; echo 'you must be root' >&2; exit 4"]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        let error = Sight::here().run(&["sh", "-c", "echo; echo 'no such table' >&2; exit 4"]).unwrap_err();
        assert!(error.to_string().ends_with("failed: no such table"), "{error}");
        let error = Sight::here().run(&["no-such-program-here"]).unwrap_err();
        assert_eq!(error.to_string(), "no-such-program-here is not installed");
    }

    #[test]
    fn a_grandchild_that_stays_keeps_nobody_waiting() {
        let before = Instant::now();
        let error = Sight::here().run(&["sh", "-c", "sleep 8 & echo x"]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(before.elapsed() < Duration::from_secs(7));
        let said = Sight::here().run(&["sh", "-c", "head -c 300000 /dev/zero"]).unwrap();
        assert_eq!(said.len(), 300_000, "more than a pipe holds");
    }

    #[test]
    fn files_and_commands_are_those_of_the_namespace() {
        let sight = Sight::of(Netns::create().unwrap());
        assert_eq!(sight.names("/proc/thread-self/net/dev_snmp6").unwrap(), ["lo"]);
        assert!(sight.run(&["ip", "-o", "link"]).unwrap().contains("lo:"));
        assert_eq!(sight.number("/proc/sys/net/ipv4/ip_forward").unwrap(), 0);
        assert!(sight.number("/proc/sys/net/ipv4/ip_local_port_range").is_err());
    }
}
