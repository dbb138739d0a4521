//! Which user kubelet runs as.
//!
//! In go the processes that live in the host's network namespace; out comes a user, if all that are called as kubelet is have the
//! same one. A name proves nothing, so this may only narrow what is taken for kubelet: whoever calls himself kubelet as somebody
//! else gets it left open, which is how it is where nobody looks.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use culvert_sys::netns::Netns;

/// What kubelet is called, alone or as a part of a program that is a whole node.
const NAMES: [&str; 5] = ["kubelet", "kubelite", "k3s", "k3s-server", "k3s-agent"];

/// The user of the host's kubelet. `proc` is `/proc` as the host has it.
pub(crate) fn user(proc: &Path, host: &Netns) -> Option<u32> {
    let mut users = fs::read_dir(proc).ok()?.flatten().filter_map(|entry| {
        let process = entry.path();
        let name = fs::read_to_string(process.join("comm")).ok()?;
        let is_kubelet = NAMES.contains(&name.trim_end());
        let lives_there = || Netns::open(&process.join("ns/net")).is_ok_and(|netns| netns.id() == host.id());
        if is_kubelet && lives_there() { Some(fs::metadata(&process).ok()?.uid()) } else { None }
    });
    let first = users.next()?;
    users.all(|user| user == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};
    use std::path::PathBuf;

    use super::*;

    /// A directory that looks like `/proc`.
    struct Proc(PathBuf);

    impl Proc {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("culvert-proc-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn runs(self, pid: u32, name: &str, (user, netns): (u32, &Netns)) -> Self {
            let process = self.0.join(pid.to_string());
            fs::create_dir_all(process.join("ns")).unwrap();
            fs::write(process.join("comm"), format!("{name}\n")).unwrap();
            symlink(netns.path(), process.join("ns/net")).unwrap();
            chown(&process, Some(user), None).unwrap();
            self
        }
    }

    impl Drop for Proc {
        fn drop(&mut self) {
            // Best effort: it is in the directory for such things.
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn kubelets_user_is_found_among_the_hosts_processes() {
        let (host, pod) = (Netns::create().unwrap(), Netns::create().unwrap());
        let proc = Proc::new("found").runs(1, "systemd", (0, &host)).runs(2, "kubelet", (7, &host));
        assert_eq!(user(&proc.0, &host), Some(7));
        let proc = proc.runs(3, "kubelet", (1000, &pod)).runs(4, "kubelet-helper", (1000, &host));
        assert_eq!(user(&proc.0, &host), Some(7), "pods and others may be called what they like");
        let proc = proc.runs(5, "kubelite", (7, &host));
        assert_eq!(user(&proc.0, &host), Some(7));
    }

    #[test]
    fn where_it_is_not_clear_nobody_is_kept_out() {
        let host = Netns::create().unwrap();
        let proc = Proc::new("unclear").runs(1, "systemd", (0, &host));
        assert_eq!(user(&proc.0, &host), None);
        let proc = proc.runs(2, "k3s-server", (0, &host)).runs(3, "kubelet", (1000, &host));
        assert_eq!(user(&proc.0, &host), None);
        assert_eq!(user(Path::new("/nonexistent"), &host), None);
    }
}
