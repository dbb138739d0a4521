//! Namespaces to work on, tools to work with, and looking at the kernel with the ordinary programs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use culvert_sys::child;
use culvert_sys::netns::Netns;
use ebpf_free_iptables::{Backend, Drift, Iptables, Search};

pub(crate) const POD: &str = "shop/cart-0";
pub(crate) const SYSTEM: &str = "/usr/sbin";
pub(crate) const BACKENDS: [Backend; 2] = [Backend::Nft, Backend::Legacy];

/// The tools of this machine, one backend only.
pub(crate) fn tools(backend: Backend) -> Iptables {
    static NFT: LazyLock<Iptables> = LazyLock::new(|| search(Some(Backend::Nft)));
    static LEGACY: LazyLock<Iptables> = LazyLock::new(|| search(Some(Backend::Legacy)));
    match backend {
        Backend::Nft => NFT.clone(),
        Backend::Legacy => LEGACY.clone(),
    }
}

/// The tools of this machine, the crate's choice.
pub(crate) fn any_tools() -> Iptables {
    static ANY: LazyLock<Iptables> = LazyLock::new(|| search(None));
    ANY.clone()
}

/// Trying tools out takes longer than most tests, so it is done once for all of them.
fn search(only: Option<Backend>) -> Iptables {
    Iptables::search(&Search { directories: vec![SYSTEM.into()], only }).unwrap()
}

pub(crate) fn word(backend: Backend) -> &'static str {
    match backend {
        Backend::Nft => "nft",
        Backend::Legacy => "legacy",
    }
}

/// The version the tools say they have, such as `v1.8.9`.
pub(crate) fn version() -> String {
    let output = Command::new(Path::new(SYSTEM).join("iptables")).arg("--version").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().nth(1).unwrap().to_owned()
}

/// A namespace with `lo` up, as a network plugin leaves it.
pub(crate) fn pod() -> Netns {
    let netns = Netns::create().unwrap();
    inside(&netns, "ip link set lo up");
    netns
}

/// Runs a shell command inside; it must succeed.
pub(crate) fn inside(netns: &Netns, script: &str) -> String {
    let mut command = Command::new("sh");
    command.args(["-c", script]).env("LC_ALL", "C");
    let output = child::start_in(&mut command, netns).unwrap().output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

/// Everything the programs show of a namespace, without what changes by itself: rules of both backends, policy rules,
/// and the routing table.
pub(crate) fn everything(netns: &Netns) -> String {
    let mut all = String::new();
    for program in ["iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy"] {
        all += &format!("== {program}\n");
        let text = inside(netns, &format!("{program}-save 2>/dev/null"));
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            // The counters of built-in chains count any packet.
            all += line.split(" [").next().unwrap();
            all += "\n";
        }
    }
    for command in ["ip rule", "ip -6 rule", "ip route show table 100", "ip -6 route show table 100"] {
        all += &format!("== {command}\n{}", inside(netns, &format!("{command} 2>/dev/null || true")));
    }
    all
}

/// The lines of [`everything`] that are rules, chains of somebody's making, or routing.
pub(crate) fn traces(netns: &Netns) -> Vec<String> {
    let plain =
        ["0:\tfrom all lookup local", "32766:\tfrom all lookup main", "32767:\tfrom all lookup default"];
    let is_trace = |line: &&str| {
        let built_in = line.starts_with(':') && !line.ends_with(" -");
        let frame = line.starts_with("==") || line.starts_with('*') || *line == "COMMIT";
        !built_in && !frame && !plain.contains(&line.trim_end())
    };
    everything(netns).lines().filter(is_trace).map(str::to_owned).collect()
}

pub(crate) fn sentences(drift: &[Drift]) -> Vec<String> {
    drift.iter().map(ToString::to_string).collect()
}

/// A directory of programs: links to the real ones, which a test may replace.
pub(crate) struct Programs {
    pub(crate) directory: PathBuf,
}

impl Programs {
    /// The programs whose names begin with one of these.
    pub(crate) fn linked(stems: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = format!("capture-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(unique);
        fs::create_dir_all(&directory).unwrap();
        for stem in stems {
            for suffix in ["", "-save", "-restore"] {
                let name = format!("{stem}{suffix}");
                symlink(Path::new(SYSTEM).join(&name), directory.join(&name)).unwrap();
            }
        }
        Self { directory }
    }

    pub(crate) fn search(&self) -> Search {
        Search { directories: vec![self.directory.clone()], only: None }
    }

    /// Replaces a program by a shell script; `$REAL` is the program it replaces.
    pub(crate) fn replace(&self, name: &str, script: &str) {
        let path = self.directory.join(name);
        self.delete(name);
        let script = format!("#!/bin/sh\nREAL={SYSTEM}/{name}\n{script}\n");
        // Written by another process: a child that is forked meanwhile would hold the file open for writing, and such a file
        // cannot be run (ETXTBSY).
        let write = ["-c", "printf %s \"$2\" > \"$1\" && chmod 755 \"$1\"", "sh"];
        let written = Command::new("sh").args(write).arg(&path).arg(script).status().unwrap();
        assert!(written.success(), "{name} can be replaced");
    }

    pub(crate) fn delete(&self, name: &str) {
        fs::remove_file(self.directory.join(name)).unwrap();
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        // Best effort: it is in the directory for such things.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// An error with its causes, as a program prints it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
