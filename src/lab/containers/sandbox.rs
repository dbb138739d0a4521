//! The light kind of container: what kubelet does for a pod before any image matters. A network namespace, the chain of plugins,
//! and a process that holds it, in the control group that tells whose it is.

use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use culvert_sys::child::start_in;
use culvert_sys::netns::Netns;
use serde_json::Value;

use crate::Error;
use crate::error::Doing as _;
use crate::spawner;

use super::FOREVER;

/// What is needed to take one down.
#[derive(Debug)]
pub(super) struct Sandbox {
    pub(super) netns: Arc<Netns>,
    /// What the plugins said of it.
    pub(super) result: Value,
    pause: Mutex<Option<Child>>,
}

impl Sandbox {
    pub(super) fn new(netns: Arc<Netns>, result: Value) -> Self {
        Self { netns, result, pause: Mutex::default() }
    }

    /// Starts the process that holds the namespace; gives its number. The kernel ends it with this one.
    pub(super) fn hold(&self) -> Result<u32, Error> {
        let mut command = Command::new("sleep");
        command.arg(FOREVER).env_clear().current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let doing = || "start the process of a sandbox".to_owned();
        start_in(&mut command, &self.netns).doing(doing)?;
        let child = spawner::spawn(command).doing(doing)?;
        let pid = child.id();
        *self.pause.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        Ok(pid)
    }

    /// Ends that process, and waits until it is gone.
    pub(super) fn let_go(&self) -> Result<(), Error> {
        let child = self.pause.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut child) = child else { return Ok(()) };
        child.kill().and_then(|()| child.wait()).doing(|| "end the process of a sandbox".into()).map(|_| ())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // It ends with this process at the latest.
        let _ = self.let_go();
    }
}
