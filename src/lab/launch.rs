//! How to start a program: what, where, with which arguments and environment.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use culvert_sys::child::start_in;
use culvert_sys::netns::Netns;

use crate::Error;
use crate::error::Doing as _;
use crate::program::Program;
use crate::spawner;

/// Variables of this process that programs may see; everything else they get is said.
const INHERITED: [&str; 4] = ["PATH", "TMPDIR", "RUST_LOG", "RUST_BACKTRACE"];

/// A program about to be started by [`Lab::start`](crate::Lab::start).
#[derive(Debug, Clone)]
pub struct Launch {
    name: String,
    binary: PathBuf,
    netns: Arc<Netns>,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    stdout: Option<Arc<OwnedFd>>,
}

impl Launch {
    /// A program inside a namespace, with no arguments and an almost empty environment (`RUST_LOG` defaults to
    /// `info`).
    #[must_use]
    pub fn new(name: &str, binary: impl Into<PathBuf>, netns: &Arc<Netns>) -> Self {
        let mut environment: BTreeMap<_, _> = INHERITED
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
            .collect();
        environment.entry("RUST_LOG".into()).or_insert_with(|| "info".into());
        let (name, binary) = (name.to_owned(), binary.into());
        Self { name, binary, netns: Arc::clone(netns), arguments: Vec::new(), environment, stdout: None }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl ToString) -> Self {
        self.arguments.push(argument.to_string());
        self
    }

    /// Adds an option and the path that is its value.
    #[must_use]
    pub fn path_arg(self, option: &str, path: &Path) -> Self {
        self.arg(option).arg(path.display())
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.environment.insert(name.to_owned(), value.to_string());
        self
    }

    /// Takes a variable away.
    #[must_use]
    pub fn without_env(mut self, name: &str) -> Self {
        self.environment.remove(name);
        self
    }

    /// Replaces the program, keeping all else.
    #[must_use]
    pub fn binary(mut self, binary: impl Into<PathBuf>) -> Self {
        self.binary = binary.into();
        self
    }

    /// Has it write to something else than its log; what it says on stderr still goes there.
    #[must_use]
    pub fn stdout(mut self, to: impl Into<OwnedFd>) -> Self {
        self.stdout = Some(Arc::new(to.into()));
        self
    }

    pub(crate) fn netns(&self) -> &Arc<Netns> {
        &self.netns
    }

    /// Starts the program with its working directory and its log in `directory`.
    pub(crate) fn start(self, directory: &Path) -> Result<Program, Error> {
        let (log_path, log) = new_log(directory, &self.name)?;
        let doing = || format!("start {} from {}", self.name, self.binary.display());
        let errors = log.try_clone().doing(doing)?;
        let mut command = Command::new(&self.binary);
        command.args(&self.arguments).env_clear().envs(&self.environment).current_dir(directory);
        let stdout = match &self.stdout {
            Some(other) => other.try_clone().doing(doing)?.into(),
            None => Stdio::from(log),
        };
        command.stdin(Stdio::null()).stdout(stdout).stderr(errors);
        // Ctrl-C on a terminal is for the lab, which ends its programs itself.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        start_in(&mut command, &self.netns).doing(doing)?;
        let child = spawner::spawn(command).doing(doing)?;
        Ok(Program::new(self.name, log_path, child))
    }
}

/// Makes `NAME.log`, or `NAME-2.log` and so on when the program ran before.
fn new_log(directory: &Path, name: &str) -> Result<(PathBuf, File), Error> {
    for run in 1_u32.. {
        let file = if run == 1 { format!("{name}.log") } else { format!("{name}-{run}.log") };
        let path = directory.join(file);
        match File::options().append(true).create_new(true).open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            result => {
                return result.doing(|| format!("make the log {}", path.display())).map(|log| (path, log));
            }
        }
    }
    unreachable!("a program was started four billion times")
}
