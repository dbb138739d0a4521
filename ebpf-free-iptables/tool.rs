//! One set of iptables programs: what it is, reading with its `-save`, writing with its `-restore`.
//!
//! In go namespaces and scripts; out come parsed rules, or an error that names the program and, where the program said
//! so, the rule. Which set is used for a pod is decided in [`crate::binary`] and [`crate::observe`].

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use culvert_sys::netns::Netns;

use crate::parse::{Malformed, Saved};
use crate::rule::{Family, Table};
use crate::run::{self, Ended, Job, Lock};
use crate::script::{Place, Script};

/// How long one run of a program may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long the legacy tools wait for their lock, in seconds; less than the deadline, so that they can say so.
const LOCK_WAIT: &str = "--wait=5";

/// Which machinery of the kernel a tool programs. Both can hold rules at once, and the kernel runs both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// `nf_tables`.
    Nft,
    /// `ip_tables`.
    Legacy,
}

impl Backend {
    /// The word in program names and in `FORCE_IPTABLES_BINARY`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Nft => "nft",
            Self::Legacy => "legacy",
        }
    }
}

/// A set of programs that belongs together.
#[derive(Debug, Clone)]
pub(crate) struct Tool {
    pub(crate) backend: Backend,
    pub(crate) name: String,
    pub(crate) version: Version,
    directory: PathBuf,
    deadline: Duration,
    lock: Lock,
}

/// A version of iptables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

/// Why a program did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is in none of the directories.
    #[error("{program} is not in {directories}: install the iptables package or set PATH")]
    Missing {
        /// The program.
        program: String,
        /// Where it was looked for.
        directories: String,
    },
    /// It could not be started in the namespace.
    #[error("cannot run {program}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It did not end in time and was killed.
    #[error("{program} did not end within {} s and was killed", .within.as_secs_f32())]
    TimedOut {
        /// The program.
        program: String,
        /// The time it had.
        within: Duration,
    },
    /// It ended with an error.
    #[error("{program} failed ({ending}): {said}")]
    Failed {
        /// The program.
        program: String,
        /// Exit code or signal.
        ending: String,
        /// What it printed.
        said: String,
    },
    /// It refused a rule.
    #[error("{program} refused {}table {table}: {said}", rule_of(.rule.as_ref()))]
    Refused {
        /// The program.
        program: String,
        /// The table it was about.
        table: Table,
        /// The rule, unless the table as a whole was refused.
        rule: Option<String>,
        /// What it printed.
        said: String,
    },
    /// It printed what it should not.
    #[error("cannot understand line {line} of the output of {program}: {text}")]
    Output {
        /// The program.
        program: String,
        /// The number of the line, from 1.
        line: usize,
        /// The line.
        text: String,
    },
}

/// What stands before "table TABLE" in the sentence about a refusal.
pub(crate) fn rule_of(rule: Option<&String>) -> String {
    rule.map_or_else(String::new, |rule| format!("rule `{rule}` of "))
}

impl Tool {
    /// Finds the set called `name` and checks that it runs.
    pub(crate) fn find(name: &str, directories: &[PathBuf], netns: &Netns) -> Result<Self, Error> {
        let complete = |directory: &&PathBuf| {
            ["", "-save", "-restore"].iter().all(|suffix| directory.join(format!("{name}{suffix}")).is_file())
        };
        let Some(directory) = directories.iter().find(complete) else {
            let directories: Vec<_> = directories.iter().map(|path| path.to_string_lossy()).collect();
            return Err(Error::Missing { program: name.to_owned(), directories: directories.join(":") });
        };
        let (version, backend) = version(&directory.join(name), name, netns)?;
        let directory = directory.clone();
        let tool = Self {
            backend,
            name: name.to_owned(),
            version,
            directory,
            deadline: DEADLINE,
            lock: Lock::OfNamespace,
        };
        tool.save(netns)?;
        Ok(tool)
    }

    /// The same programs, taking turns with others.
    pub(crate) fn with_lock(self, lock: Lock) -> Self {
        Self { lock, ..self }
    }

    /// Reads what the namespace holds.
    pub(crate) fn save(&self, netns: &Netns) -> Result<Saved, Error> {
        let program = format!("{}-save", self.name);
        let ended = self.run(&program, &[], "", netns)?;
        if !ended.status.success() {
            return Err(failed(program, &ended));
        }
        Saved::parse(&ended.output).map_err(|Malformed(line)| {
            let text = ended.output.lines().nth(line.saturating_sub(1)).unwrap_or_default();
            Error::Output { program, line, text: shortened(text) }
        })
    }

    /// Applies the script. On an error, tables before the one at fault are applied and the others are not.
    pub(crate) fn restore(&self, script: &Script, netns: &Netns) -> Result<(), Error> {
        let program = format!("{}-restore", self.name);
        let mut arguments = vec!["--noflush"];
        if self.takes_a_lock() {
            arguments.push(LOCK_WAIT);
        }
        let ended = self.run(&program, &arguments, &script.text(), netns)?;
        if ended.status.success() {
            return Ok(());
        }
        let at = line_number(&ended.complaint).and_then(|number| script.place(number));
        Err(match at {
            Some(Place { table, rule }) => Error::Refused { program, table, rule, said: said(&ended) },
            None => failed(program, &ended),
        })
    }

    /// The kernel serialises nft by transactions; legacy tools replace whole tables and have to take turns, which their
    /// restore learnt in 1.6.2.
    fn takes_a_lock(&self) -> bool {
        self.backend == Backend::Legacy && self.version >= Version { major: 1, minor: 6, patch: 2 }
    }

    fn run(&self, program: &str, arguments: &[&str], input: &str, netns: &Netns) -> Result<Ended, Error> {
        let path = self.directory.join(program);
        let job = Job { program: &path, arguments, input, within: self.deadline, lock: self.lock };
        run(job, program, netns)
    }
}

impl std::fmt::Display for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Version { major, minor, patch } = self.version;
        write!(f, "{} v{major}.{minor}.{patch}", self.name)
    }
}

/// The plain name of a family's tools, and the names that say which machinery they are for.
pub(crate) fn name(family: Family, backend: Option<Backend>) -> String {
    match backend {
        Some(backend) => format!("{}-{}", family.tool_stem(), backend.word()),
        None => family.tool_stem().to_owned(),
    }
}

/// Runs a program; an end too late is an error of its own.
pub(crate) fn run(job: Job<'_>, program: &str, netns: &Netns) -> Result<Ended, Error> {
    match run::run(job, netns) {
        Ok(Some(ended)) => Ok(ended),
        Ok(None) => Err(Error::TimedOut { program: program.to_owned(), within: job.within }),
        Err(source) => Err(Error::Start { program: program.to_owned(), source }),
    }
}

fn version(path: &Path, program: &str, netns: &Netns) -> Result<(Version, Backend), Error> {
    let job = Job {
        program: path,
        arguments: &["--version"],
        input: "",
        within: DEADLINE,
        lock: Lock::OfNamespace,
    };
    let ended = run(job, program, netns)?;
    if !ended.status.success() {
        return Err(failed(program.to_owned(), &ended));
    }
    let parsed = ended.output.split_whitespace().find_map(Version::parse);
    let Some(version) = parsed else {
        let text = shortened(ended.output.lines().next().unwrap_or_default());
        return Err(Error::Output { program: program.to_owned(), line: 1, text });
    };
    let backend = if ended.output.contains("nf_tables") { Backend::Nft } else { Backend::Legacy };
    Ok((version, backend))
}

impl Version {
    /// Reads `v1.8.9`; the third number may be missing or carry a suffix.
    fn parse(word: &str) -> Option<Self> {
        let mut parts = word.strip_prefix('v')?.splitn(3, '.');
        let mut next = || {
            let part = parts.next()?;
            let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..digits].parse().ok()
        };
        Some(Self { major: next()?, minor: next()?, patch: next().unwrap_or(0) })
    }
}

/// The line of its input the tool complains about: `line 5 failed` or `Error occurred at line: 5`.
fn line_number(complaint: &str) -> Option<usize> {
    complaint.match_indices("line").find_map(|(at, word)| {
        let rest = complaint[at + word.len()..].trim_start_matches([':', ' ']);
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..digits].parse().ok()
    })
}

/// What a program that failed is reported as.
pub(crate) fn failed(program: String, ended: &Ended) -> Error {
    Error::Failed { program, ending: run::ending(ended.status), said: said(ended) }
}

/// What the tool printed, on one line and without its advice to read its manual.
pub(crate) fn said(ended: &Ended) -> String {
    let complaint = ended.complaint.lines().map(str::trim);
    let lines: Vec<&str> = complaint.filter(|line| !line.is_empty() && !line.starts_with("Try `")).collect();
    if lines.is_empty() { "it printed no reason".to_owned() } else { shortened(&lines.join("; ")) }
}

/// As much of a text as an error may carry.
pub(crate) fn shortened(text: &str) -> String {
    const LONGEST: usize = 500;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found() {
        let check = |word: &str, expected: Option<(u32, u32, u32)>| {
            let version = Version::parse(word).map(|v| (v.major, v.minor, v.patch));
            assert_eq!(version, expected, "{word}");
        };
        check("v1.8.9", Some((1, 8, 9)));
        check("v1.8.10-rc1", Some((1, 8, 10)));
        check("v1.8", Some((1, 8, 0)));
        check("v1", None);
        check("1.8.9", None);
        check("version", None);
    }

    #[test]
    fn line_numbers_are_found_in_what_either_tool_says() {
        let check = |said: &str, expected: Option<usize>| assert_eq!(line_number(said), expected, "{said}");
        check("iptables-restore: line 28 failed", Some(28));
        check("unknown option \"--dprt\"\nError occurred at line: 25\nTry `iptables-restore -h'", Some(25));
        check("v1.8.9 (nf_tables): \nline 29: RULE_APPEND failed (Too many links)\nline 30: x", Some(29));
        check("command line is bad", None);
        check("", None);
    }

    #[test]
    fn a_tool_that_hangs_is_killed_and_named() {
        let directory = std::env::temp_dir().join(format!("hanging-tool-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::os::unix::fs::symlink("/bin/sleep", directory.join("slow-save")).unwrap();
        let tool = Tool {
            backend: Backend::Nft,
            name: "slow".to_owned(),
            version: Version { major: 1, minor: 8, patch: 9 },
            directory: directory.clone(),
            deadline: Duration::from_millis(200),
            lock: Lock::OfNamespace,
        };
        let error = tool.run("slow-save", &["60"], "", &Netns::create().unwrap()).unwrap_err();
        std::fs::remove_dir_all(directory).unwrap();
        assert_eq!(error.to_string(), "slow-save did not end within 0.2 s and was killed");
    }
}
