//! The root filesystem of a program's image, and containers of it as Kubernetes would run them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use culvert_sys::netns::Netns;
use serde_json::Value;

use crate::harness::chart::{Container, at};
use crate::harness::cluster::programs;

/// A container ends after this many seconds, whatever becomes of the test.
const AT_MOST: &str = "120";

/// The root filesystem of an image. It goes with this, and so do its containers.
pub(super) struct Image {
    program: String,
    /// Made for this image alone; short, because podman takes 50 characters at most.
    directory: PathBuf,
}

/// What a container is given beside its image.
#[derive(Default)]
pub(super) struct Extras<'e> {
    /// Directories of the host, and where they are in the container.
    pub(super) directories: &'e [(&'e Path, &'e str)],
    /// The network it is in; one of its own without.
    pub(super) network: Option<&'e Netns>,
}

impl Image {
    /// Assembles the image of a program as the Dockerfile does.
    #[track_caller]
    pub(super) fn assemble(program: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("culvert-image-{}-{number}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let image = Self { program: program.to_owned(), directory };
        let binary = programs().unwrap().agent.with_file_name(program);
        let mut command = Command::new(at("deploy/image/rootfs.sh"));
        let output = command.arg(program).arg(binary).arg(image.root()).output().unwrap();
        assert!(output.status.success(), "rootfs.sh {program}: {}", String::from_utf8_lossy(&output.stderr));
        // Limits are below what podman asks for by itself: raising them is refused where root is not all-powerful.
        let settings = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]\n\
                        [engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nruntime = \"runc\"\n";
        fs::write(image.directory.join("containers.conf"), settings).unwrap();
        image
    }

    /// Where the files of its containers are.
    pub(super) fn root(&self) -> PathBuf {
        self.directory.join("root")
    }

    /// Runs the program to its end, with what the chart gives the container.
    #[track_caller]
    pub(super) fn run(&self, container: &Container<'_>, arguments: &[&str]) -> Output {
        let mut command = self.order(container, &Extras::default());
        command.args(arguments).output().unwrap()
    }

    /// Starts the program, with what the chart gives the container; gives the container's id.
    #[track_caller]
    pub(super) fn start(&self, container: &Container<'_>, extras: &Extras<'_>, arguments: &[&str]) -> String {
        let mut command = self.order(container, extras);
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// What a container has said.
    #[track_caller]
    pub(super) fn log(&self, id: &str) -> String {
        let output = self.podman().args(["logs", id]).output().unwrap();
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat()
    }

    fn order(&self, container: &Container<'_>, extras: &Extras<'_>) -> Command {
        let mut command = self.podman();
        command.args([
            "run",
            "--timeout",
            AT_MOST,
            "--read-only",
            "--read-only-tmpfs=false",
            "--cap-drop",
            "all",
        ]);
        let detached = extras.network.is_some();
        command.args(if detached {
            ["--detach", "--log-driver=k8s-file"]
        } else {
            ["--rm", "--log-driver=none"]
        });
        let network = extras.network.map(|it| format!("ns:{}", it.path().display()));
        command.arg("--network").arg(network.as_deref().unwrap_or("none"));
        for (host, inside) in extras.directories {
            command.arg("--volume").arg(format!("{}:{inside}", host.display()));
        }
        confine(&mut command, container);
        command.arg("--rootfs").arg(self.root()).arg(format!("/usr/local/bin/{}", self.program));
        command
    }

    fn podman(&self) -> Command {
        let mut command = Command::new("podman");
        command.env("CONTAINERS_CONF", self.directory.join("containers.conf"));
        for (option, name) in [("--root", "storage"), ("--tmpdir", "tmp"), ("--runroot", "run")] {
            command.arg(option).arg(self.directory.join(name));
        }
        command.args(["--storage-driver", "vfs"]);
        command
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = self.podman().args(["rm", "--all", "--force", "--time", "0"]).output();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// What the chart says of a container's rights, as podman says it; system calls are filtered as runtimes do by default.
fn confine(command: &mut Command, container: &Container<'_>) {
    let (pod, own) = (&container.workload["spec"]["template"]["spec"], &container.it["securityContext"]);
    for capability in own["capabilities"]["add"].as_array().into_iter().flatten() {
        command.arg("--cap-add").arg(capability.as_str().unwrap());
    }
    let said = |key: &str| own.get(key).or_else(|| pod["securityContext"].get(key)).and_then(Value::as_u64);
    let (user, group) = (said("runAsUser").unwrap(), said("runAsGroup").unwrap());
    command.arg("--user").arg(format!("{user}:{group}"));
    if own["allowPrivilegeEscalation"] == false {
        command.args(["--security-opt", "no-new-privileges"]);
    }
    if pod["hostPID"] == true {
        command.args(["--pid", "host"]);
    }
}
