//! Pods with users of their own (`hostUsers: false`): their network namespace belongs to another user namespace.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use culvert_sys::netns::Netns;
use ebpf_free_iptables::{Applied, Changed, Options, Plan, Watch};

use crate::harness::{BACKENDS, POD, everything, inside, sentences, tools, traces, word};

/// A user namespace with one user, its root, who is nobody outside; and a network namespace that is its own.
struct Container {
    users: Keeper,
    network: Keeper,
    netns: Netns,
}

impl Container {
    fn new() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--user", "sh", "-c", &Keeper::script("true")]);
        let users = Keeper::start(command);
        for map in ["gid_map", "uid_map"] {
            fs::write(format!("/proc/{}/{map}", users.id()), "0 100000 1").unwrap();
        }
        // The owner of the network namespace is known when it is made, or never.
        let script = Keeper::script("ip link set lo up");
        let network = Keeper::start(as_root_of(&users, &["unshare", "--net", "sh", "-c", &script]));
        let netns = Netns::of_process(network.id()).unwrap();
        Self { users, network, netns }
    }

    /// Runs a shell command as the container's own root.
    fn run(&self, script: &str) {
        let network = format!("--net=/proc/{}/ns/net", self.network.id());
        let mut command = as_root_of(&self.users, &["nsenter", &network, "sh", "-c", script]);
        assert!(command.status().unwrap().success(), "{script}");
    }
}

fn as_root_of(users: &Keeper, what: &[&str]) -> Command {
    let target = format!("--target={}", users.id());
    let mut command = Command::new("nsenter");
    command.args(["--user", "--setuid=0", "--setgid=0", &target]).args(what);
    command
}

/// A process that keeps namespaces alive and does nothing.
struct Keeper {
    process: Child,
}

impl Keeper {
    /// What it has to run, after `first`.
    fn script(first: &str) -> String {
        format!("{first} && echo ready && exec cat")
    }

    fn start(mut command: Command) -> Self {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "this machine lets user namespaces be made");
        Self { process }
    }

    fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // It ends when nobody can write to it any more; waiting for it can only fail if it was waited for.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

fn plan() -> Plan {
    Plan::new(&Options { dns: true, ..Options::default() })
}

#[test]
fn rules_apply_verify_and_go() {
    for backend in BACKENDS {
        let (tools, container) = (tools(backend), Container::new());
        let pod = &container.netns;
        assert_eq!(
            inside(pod, "stat -c %u /proc/self/net/ip_tables_names"),
            "100000\n",
            "it has another owner"
        );
        assert!(!tools.has_traces(pod).unwrap());
        assert_eq!(tools.apply(POD, pod, &plan()).unwrap(), Applied::Installed);
        assert_eq!(sentences(&tools.verify(POD, pod, &plan()).unwrap()), [""; 0]);
        assert_eq!(tools.apply(POD, pod, &plan()).unwrap(), Applied::Unchanged);
        assert!(tools.has_traces(pod).unwrap());
        tools.remove(POD, pod).unwrap();
        assert_eq!(traces(pod), [""; 0]);
        assert!(!tools.has_traces(pod).unwrap());
    }
}

#[test]
fn what_its_root_changes_is_seen_and_put_right() {
    for backend in BACKENDS {
        let (tools, container) = (tools(backend), Container::new());
        let pod = &container.netns;
        tools.apply(POD, pod, &plan()).unwrap();
        let (before, right) = (tools.fingerprint(pod).unwrap(), everything(pod));
        let watch = Watch::open(pod).unwrap();
        let flush = format!("XTABLES_LOCKFILE=/dev/null iptables-{} -t nat -F OUTPUT", word(backend));
        container.run(&format!("[ $(id -u) = 0 ] && {flush} && ip rule del pref 32764"));
        assert_eq!(watch.drain().unwrap(), Changed::Something);
        assert_ne!(tools.fingerprint(pod).unwrap(), before);
        let expected = [
            "IPv4: table nat: OUTPUT does not jump to ISTIO_OUTPUT",
            "IPv4: policy rule 32764 to routing table 100 is missing",
        ];
        assert_eq!(sentences(&tools.verify(POD, pod, &plan()).unwrap()), expected);
        assert_eq!(tools.apply(POD, pod, &plan()).unwrap(), Applied::Repaired);
        assert_eq!(everything(pod), right);
        assert!(inside(pod, "ip rule show pref 32764").contains("lookup 100"));
    }
}
