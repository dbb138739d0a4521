//! Pods to look for: real processes in real namespaces and control groups.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use culvert_sys::child;
use culvert_sys::netns::NetnsId;

use super::*;
use crate::pod::Workload;

/// A node whose `/proc` shows what the test has put there.
pub(in crate::namespaces) struct Node {
    pub(in crate::namespaces) namespaces: Namespaces,
    pub(in crate::namespaces) handed: Handed,
    pub(in crate::namespaces) proc: PathBuf,
    groups: PathBuf,
}

/// A process that sleeps.
pub(in crate::namespaces) struct Sleeper(pub(in crate::namespaces) Child);

/// Different for every test, and for every run of them.
fn fresh() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub(in crate::namespaces) fn uid() -> Uid {
    Uid::from(&*format!("{:08x}-0000-4000-8000-{:012x}", fresh(), std::process::id()))
}

pub(in crate::namespaces) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(in crate::namespaces) fn spec(uid: &Uid, addresses: &[&str]) -> PodSpec {
    let workload = Workload { name: "web".into(), namespace: "shop".into(), service_account: "web".into() };
    let netns = NetnsSource::Found(addresses.iter().map(|text| ip(text)).collect());
    PodSpec { uid: uid.clone(), workload, netns, capture: Arc::default(), expected: false }
}

/// A namespace with an address.
pub(in crate::namespaces) fn netns(address: &str) -> Arc<Netns> {
    let netns = Arc::new(Netns::create().unwrap());
    address_in(&netns, "add", address);
    netns
}

/// Adds or deletes an address.
pub(in crate::namespaces) fn address_in(netns: &Netns, what: &str, address: &str) {
    let ip = || Command::new("ip").args(["address", what, address, "dev", "lo"]).status();
    assert!(netns.run(ip).unwrap().unwrap().success(), "{what} {address}");
}

/// Starts processes until one is later by the clock of `/proc`, which is coarse.
pub(in crate::namespaces) fn later_process(
    node: &Node,
    pod: &Uid,
    netns: &Netns,
    first: &Sleeper,
) -> Sleeper {
    let all = Processes::open(Path::new("/proc")).unwrap();
    let started = |process: &Sleeper| all.process(process.0.id()).unwrap().started().unwrap();
    loop {
        let next = node.process(pod, netns);
        if started(&next) > started(first) {
            return next;
        }
        node.hide(&next);
    }
}

impl Node {
    pub(in crate::namespaces) fn new() -> Self {
        let name = format!("culvert-test-{}-{}", std::process::id(), fresh());
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let version_2 = |line: &str| {
            let mut words = line.split(' ').skip(1);
            words.next().filter(|_| words.next() == Some("cgroup2")).map(PathBuf::from)
        };
        let groups =
            mounts.lines().find_map(version_2).expect("a cgroup2 file system is mounted").join(&name);
        let proc = std::env::temp_dir().join(name);
        fs::create_dir(&proc).unwrap();
        symlink("/proc/1", proc.join("1")).unwrap();
        let handed = Handed::default();
        Self { namespaces: Namespaces::new(proc.clone(), handed.clone()), handed, proc, groups }
    }

    /// Starts a process in the pod's control group, and shows it.
    pub(in crate::namespaces) fn process(&self, pod: &Uid, netns: &Netns) -> Sleeper {
        let process = self.passer_by(netns);
        self.sort(pod, &process);
        process
    }

    /// Puts the process into the pod's control group.
    pub(in crate::namespaces) fn sort(&self, pod: &Uid, process: &Sleeper) {
        let group = self.groups.join(format!("kubepods/burstable/pod{pod}/c0ffee"));
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("cgroup.procs"), process.0.id().to_string()).unwrap();
    }

    /// Starts a process that is no pod's, and shows it.
    pub(in crate::namespaces) fn passer_by(&self, netns: &Netns) -> Sleeper {
        self.start(Command::new("sleep").arg("600"), netns)
    }

    /// Starts the command, and shows its process.
    pub(in crate::namespaces) fn start(&self, command: &mut Command, netns: &Netns) -> Sleeper {
        let started = child::die_with_parent(child::start_in(command, netns).unwrap()).spawn();
        let sleeper = Sleeper(started.unwrap());
        self.show(sleeper.0.id(), &sleeper);
        sleeper
    }

    /// Starts a process in the pod's control group that will enter the other namespace when it is told to.
    pub(in crate::namespaces) fn wanderer(&self, pod: &Uid, (from, to): (&Netns, &Netns)) -> Sleeper {
        let script = format!("read go; exec nsenter --net={} sleep 600", to.path().display());
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stdin(Stdio::piped());
        let process = self.start(&mut command, from);
        self.sort(pod, &process);
        process
    }

    /// Shows the process under this number.
    pub(in crate::namespaces) fn show(&self, number: u32, process: &Sleeper) {
        let entry = self.proc.join(number.to_string());
        let _ = fs::remove_file(&entry);
        symlink(Path::new("/proc").join(process.0.id().to_string()), entry).unwrap();
    }

    pub(in crate::namespaces) fn hide(&self, process: &Sleeper) {
        fs::remove_file(self.proc.join(process.0.id().to_string())).unwrap();
    }

    pub(in crate::namespaces) fn survey(
        &mut self,
        spec: &PodSpec,
        held: Option<&Arc<Netns>>,
    ) -> Result<Arc<Netns>, Missing> {
        let held = held.map(|held| (spec.uid.clone(), Arc::clone(held))).into_iter().collect();
        self.namespaces.survey(std::slice::from_ref(spec), &held).remove(0).found
    }

    /// Where the pod is found to be.
    pub(in crate::namespaces) fn finds(
        &mut self,
        spec: &PodSpec,
        held: Option<&Arc<Netns>>,
        expected: &Netns,
    ) -> Arc<Netns> {
        let found = self.survey(spec, held).unwrap();
        assert_eq!(found.id(), expected.id());
        found
    }

    pub(in crate::namespaces) fn hand(&self, uid: &Uid, netns: &Arc<Netns>) {
        let sandbox = Sandbox { container: "c".into(), netns: Arc::clone(netns) };
        self.handed.put(uid.clone(), sandbox);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.proc);
        remove_groups(&self.groups);
    }
}

/// Control groups go one by one, the innermost first.
fn remove_groups(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}

impl Sleeper {
    /// Lets a wanderer go, and waits until it has arrived.
    pub(in crate::namespaces) fn go_to(&mut self, netns: &Netns) {
        drop(self.0.stdin.take());
        self.netns_that(|id| id == netns.id());
    }

    /// Waits until it is in such a namespace.
    pub(in crate::namespaces) fn netns_that(&self, fits: impl Fn(NetnsId) -> bool) -> Netns {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let netns = Netns::of_process(self.0.id()).unwrap();
            if fits(netns.id()) {
                return netns;
            }
            assert!(Instant::now() < deadline, "it does not get there");
            std::thread::yield_now();
        }
    }

    pub(in crate::namespaces) fn end(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
