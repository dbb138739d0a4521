//! Puts the CNI plugin on the host and keeps it there, however often others rewrite their configuration.
//!
//! In go two directories and what the plugin shall be told, out come an executable, an entry in the configuration of the CNI, and
//! word of whether they are in place. [`plan`] decides what to change, [`apply`] changes it; what the CNI itself writes is kept to the
//! byte. Which pods the plugin asks about is decided elsewhere.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use culvert_cni::{AgentPods, Entry, PLUGIN};
use culvert_process::exit::Chain;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::durable::{self, Disk, LocalDisk};
use crate::roster;

use apply::Applied;
use directory::Fingerprint;
use struggle::Struggle;

mod apply;
mod chain;
mod directory;
mod executable;
mod plan;
mod struggle;
#[cfg(test)]
mod tests;

/// Time between two looks at the directories. A change has to keep still for one look, and is repaired within two seconds.
const LOOK: Duration = Duration::from_millis(500);

/// Time after a failure. Comparing executables is not for nothing.
const RETRY: Duration = Duration::from_secs(5);

/// So often files may change between looks before that is no reason to wait any more.
const RESTLESS: u32 = 2;

/// What is installed, and where. Off unless both directories are given.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    /// Install the CNI plugin: the directory of the plugins' executables
    #[arg(long, value_name = "DIR", requires = "cni_conf_dir")]
    cni_bin_dir: Option<PathBuf>,

    /// Install the CNI plugin: the directory of the CNI configuration
    #[arg(long, value_name = "DIR", requires = "cni_bin_dir")]
    cni_conf_dir: Option<PathBuf>,

    /// The configuration to be joined; the lexically first valid one unless given
    #[arg(long, value_name = "FILE", env = "CNI_CONF_NAME")]
    cni_conf_name: Option<String>,

    /// How the plugin gets into the configuration
    #[arg(long, value_name = "MODE", value_enum, default_value_t)]
    cni_mode: Mode,

    /// What has to survive the agent; the same path inside the agent's container and on the host
    #[arg(long, value_name = "DIR", default_value = "/var/lib/culvert")]
    state_dir: PathBuf,
}

/// How the plugin gets into the configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// Into the list of plugins of the CNI's own file
    #[default]
    Append,
    /// Into a copy of that file, 00-culvert.conflist, which wins over all others
    Own,
}

impl Args {
    /// The file in which enrolled namespaces are written down.
    pub(crate) fn state_file(&self) -> PathBuf {
        self.state_dir.join(roster::FILE)
    }

    /// What is to be installed, if anything: with where the agent answers, which pods are its own, and which namespaces
    /// are none of its business.
    pub(crate) fn settings(
        &self,
        socket: &Path,
        agent: Option<AgentPods>,
        excluded: BTreeSet<String>,
    ) -> Option<Settings> {
        let (bin, conf) = (self.cni_bin_dir.clone()?, self.cni_conf_dir.clone()?);
        // Charts set what is not wanted to nothing.
        let file = self.cni_conf_name.clone().filter(|name| !name.is_empty());
        let entry = Entry {
            kind: PLUGIN.to_owned(),
            agent_socket: socket.to_owned(),
            state_file: self.state_file(),
            excluded_namespaces: excluded,
            agent_pods: agent,
            made_from: None,
        };
        Some(Settings { bin, conf, wanted: plan::Wanted { mode: self.cni_mode, file, entry } })
    }
}

/// All the installation needs.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    bin: PathBuf,
    conf: PathBuf,
    wanted: plan::Wanted,
}

impl Settings {
    fn executable(&self) -> PathBuf {
        self.bin.join(PLUGIN)
    }
}

/// How far the installation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Installation {
    /// The plugin is in place.
    Done,
    /// It is not, and why.
    Missing(String),
}

impl Installation {
    /// What is to be waited for, before the installation has begun.
    pub(crate) fn begun() -> Self {
        Self::Missing("the plugin has not been installed yet".to_owned())
    }

    /// Why the plugin is not in place.
    pub(crate) fn why_not(&self) -> Option<&str> {
        match self {
            Self::Done => None,
            Self::Missing(why) => Some(why),
        }
    }
}

/// Something that could not be installed, or not be taken away.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the plugin cannot be copied to {}; mount that directory of the host into the agent, writable", path.display())]
    Executable { path: PathBuf, source: io::Error },
    #[error("the CNI configuration in {} cannot be read; mount that directory of the host into the agent", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the CNI configuration in {} cannot be changed; mount that directory of the host into the agent, writable", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} cannot be removed", path.display())]
    Remove { path: PathBuf, source: io::Error },
}

/// Installs the plugin and keeps it installed, until nobody wants to know any more.
pub(crate) async fn run(settings: Settings, installation: watch::Sender<Installation>) {
    let settings = Arc::new(settings);
    let mut struggle = Struggle::default();
    let mut seen = Seen::default();
    while !installation.is_closed() {
        let (before, known) = (seen.clone(), Arc::clone(&settings));
        let look = tokio::task::spawn_blocking(move || look(&known, before)).await;
        let Ok((now, outcome)) = look else {
            warn!("a look at the CNI configuration has failed, trying again");
            sleep(LOOK).await;
            continue;
        };
        seen = now;
        let failed = outcome.as_ref().is_some_and(|outcome| outcome.result.is_err());
        if let Some(outcome) = outcome {
            struggle.note(&outcome);
            installation.send_if_modified(|state| {
                let new = outcome.state();
                std::mem::replace(state, new.clone()) != new
            });
        }
        sleep(if failed { RETRY } else { LOOK }).await;
    }
}

/// Takes away all that has been installed, and all else even if some of it cannot be. The list of namespaces is not of it.
pub(crate) fn remove(settings: &Settings) -> Vec<Error> {
    let mut errors = Vec::new();
    let mut attempt = |result: Result<(), Error>| errors.extend(result.err());
    // The configuration first: a runtime must not look for an executable that is gone.
    attempt(apply::remove(&LocalDisk, settings));
    let path = settings.executable();
    attempt(durable::remove(&LocalDisk, &path).map_err(|source| Error::Remove { path, source }));
    if errors.is_empty() {
        info!(bin = %settings.bin.display(), conf = %settings.conf.display(), "removed the CNI plugin");
    }
    errors
}

/// What was there at the last looks.
#[derive(Debug, Clone, Default)]
struct Seen {
    /// At the last pass that had nothing to change.
    settled: Option<Fingerprint>,
    latest: Option<Fingerprint>,
    /// Looks at which something had changed since the one before.
    restless: u32,
}

/// What came of a pass.
#[derive(Debug)]
struct Outcome {
    /// Names of the files that were changed.
    changed: Vec<String>,
    result: Result<Applied, Error>,
}

impl Outcome {
    fn state(&self) -> Installation {
        match &self.result {
            Ok(Applied { interrupted: true, .. }) => {
                Installation::Missing("somebody else is changing the CNI configuration".to_owned())
            }
            Ok(Applied { missing: Some(why), .. }) => Installation::Missing(why.clone()),
            Ok(_) => Installation::Done,
            Err(error) => Installation::Missing(Chain(error).to_string()),
        }
    }

    /// Whether all was as it should be already, or could not be made so for reasons that lie in the files.
    fn has_settled(&self) -> bool {
        self.changed.is_empty() && self.result.as_ref().is_ok_and(|applied| !applied.interrupted)
    }
}

/// Looks whether anything has changed, and if so puts it right. Files that are being changed are left alone for a moment.
fn look(settings: &Settings, before: Seen) -> (Seen, Option<Outcome>) {
    let now = directory::fingerprint(settings);
    if before.settled.as_ref() == Some(&now) {
        return (Seen { latest: Some(now), restless: 0, ..before }, None);
    }
    let still = before.latest.as_ref().is_none_or(|latest| *latest == now);
    if !still && before.restless < RESTLESS {
        return (Seen { latest: Some(now), restless: before.restless + 1, ..before }, None);
    }
    let outcome = pass(&LocalDisk, settings);
    // Changes are looked at again: `now` was before them, and somebody else may have changed something since.
    let settled = outcome.has_settled().then_some(now);
    (Seen { settled, latest: None, restless: 0 }, Some(outcome))
}

/// Puts everything in place, once.
fn pass(disk: &dyn Disk, settings: &Settings) -> Outcome {
    let mut changed = Vec::new();
    let result = executable::install(disk, &settings.executable(), Path::new("/proc/self/exe"))
        .map(|copied| changed.extend(copied.then(|| PLUGIN.to_owned())))
        .and_then(|()| apply::install(disk, settings, &mut changed));
    Outcome { changed, result }
}
