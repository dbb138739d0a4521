//! Real containers: podman with its CNI back end, run on a node, with all of its state in one directory.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use culvert_sys::child::start_in;
use culvert_sys::netns::Netns;

use crate::Error;
use crate::directory::replace;
use crate::error::Doing as _;
use crate::tool;

use super::FOREVER;
use super::network::Network;

/// A container starts in half a second when nothing else runs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The runtime of one node.
#[derive(Debug)]
pub(super) struct Podman {
    node: Arc<Netns>,
    directory: PathBuf,
    run: PathBuf,
}

/// What a container shall be.
pub(super) struct Order<'o> {
    pub(super) name: &'o str,
    pub(super) uid: &'o str,
    /// `CNI_ARGS`; podman adds the name.
    pub(super) arguments: &'o str,
    /// The name of the list of plugins.
    pub(super) network: &'o str,
    pub(super) cgroup: &'o str,
}

impl Podman {
    pub(super) fn create(node: &Arc<Netns>, directory: &Path, network: &Network) -> Result<Self, Error> {
        let podman = Self { node: Arc::clone(node), directory: directory.to_owned(), run: run_directory() };
        replace(&podman.configuration(), &settings(network))?;
        make_root(&podman.root())
            .doing(|| format!("make the files of containers in {}", directory.display()))?;
        Ok(podman)
    }

    /// Starts a container; gives its id and the process that is its first.
    pub(super) fn run(&self, order: &Order<'_>) -> Result<(String, u32), Error> {
        let pid_file = self.directory.join(format!("{}.pid", order.uid));
        let mut command = self.command();
        command.env("CNI_ARGS", order.arguments);
        command.args(["run", "--detach", "--name", order.name, "--network", order.network]);
        command.args(["--cgroup-parent", order.cgroup]).arg("--pidfile").arg(&pid_file);
        command.arg("--rootfs").arg(self.root()).args(["/bin/sleep", FOREVER]);
        let id = self.in_node(command)?;
        let pid =
            fs::read_to_string(&pid_file).and_then(|text| text.trim().parse().map_err(std::io::Error::other));
        let pid = pid.doing(|| format!("read {}", pid_file.display()))?;
        Ok((id.trim().to_owned(), pid))
    }

    /// Ends a container and removes it; succeeds when there is none.
    pub(super) fn remove(&self, name: &str, arguments: &str) -> Result<(), Error> {
        let mut command = self.command();
        command.env("CNI_ARGS", arguments);
        command.args(["rm", "--force", "--ignore", "--time", "0", name]);
        self.in_node(command).map(|_| ())
    }

    /// The command with the options all of its uses have in common.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new("podman");
        command.env("CONTAINERS_CONF", self.configuration());
        command
            .arg("--root")
            .arg(self.directory.join("storage"))
            .arg("--tmpdir")
            .arg(self.directory.join("tmp"));
        command.arg("--runroot").arg(&self.run).args(["--storage-driver", "vfs"]);
        command
    }

    /// What podman makes as soon as it runs for the first time.
    pub(super) fn run_directory(&self) -> &Path {
        &self.run
    }

    fn in_node(&self, mut command: Command) -> Result<String, Error> {
        start_in(&mut command, &self.node).doing(|| "prepare podman".into())?;
        tool::run(command, "", PATIENCE)
    }

    fn configuration(&self) -> PathBuf {
        self.directory.join("containers.conf")
    }

    fn root(&self) -> PathBuf {
        self.directory.join("root")
    }
}

/// A directory with a short name, which the others' is not always: podman takes 50 characters at most.
fn run_directory() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("culvert-run-{}-{number}", std::process::id()))
}

/// Limits are below what podman asks for by itself: raising them is refused where root is not all-powerful.
fn settings(network: &Network) -> String {
    format!(
        "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]\n\
         [engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nruntime = \"runc\"\n\
         [network]\nnetwork_backend = \"cni\"\nnetwork_config_dir = {:?}\ncni_plugin_dirs = {:?}\n",
        network.configuration(),
        network.path()
    )
}

/// The files of every container: one program that is all of them.
fn make_root(root: &Path) -> std::io::Result<()> {
    for directory in ["bin", "dev", "etc", "proc", "run", "sys", "tmp"] {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::copy("/bin/busybox", root.join("bin/busybox"))?;
    for name in ["cat", "nc", "sh", "sleep"] {
        symlink("busybox", root.join("bin").join(name))?;
    }
    Ok(())
}
