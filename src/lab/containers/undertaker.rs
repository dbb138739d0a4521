//! A process that outlives the lab, to take down what would outlive both.
//!
//! Containers are children of nobody, and control groups are files: the kernel takes neither away with this process. So a shell
//! waits for the end of a pipe, which comes when this process lets go of it or dies.

use std::io;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use culvert_sys::child::{start_in, wait_until};
use culvert_sys::netns::Netns;

use crate::Error;
use crate::error::Doing as _;

/// How long it may take to remove everything.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Undertaker {
    child: Child,
    /// Its end is the signal.
    pipe: Option<ChildStdin>,
}

impl Undertaker {
    /// Has it wait, on the node that the containers are on.
    pub(super) fn engage(node: &Netns, group: &str, run: &Path, removal: &Command) -> Result<Self, Error> {
        let mut command = Command::new("sh");
        command.args(["-c", include_str!("undertaker.sh"), "undertaker", group]).arg(run);
        command.arg(removal.get_program()).args(removal.get_args());
        for (name, value) in removal.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        // Ctrl-C on a terminal is not for it.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let doing = || "start what cleans up after containers".to_owned();
        let mut child = start_in(&mut command, node).doing(doing)?.spawn().doing(doing)?;
        Ok(Self { pipe: child.stdin.take(), child })
    }

    /// Has it do its work, and waits until that is done.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        if self.pipe.take().is_none() {
            return Ok(());
        }
        let status = match wait_until(&mut self.child, Instant::now() + PATIENCE) {
            Ok(Some(status)) if status.success() => Ok(()),
            Ok(Some(status)) => Err(io::Error::other(status.to_string())),
            Ok(None) => Err(io::ErrorKind::TimedOut.into()),
            Err(error) => Err(error),
        };
        status.doing(|| "clean up after containers".into())
    }
}
