//! What the programs and the kernel hold for the traffic of a town: descriptors, threads, memory, sockets, tracked connections and
//! entries of the books.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;

use culvert_lab::{Pod, Program};
use culvert_sys::netns::Netns;
use culvert_sys::sockets::{Connection, connections};

use super::town::{OURS, Part, Town};
use crate::harness::kernel::belongings;
use crate::harness::v1;

/// A quantity, and how much more of it than before is not growth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Connections to the control plane that are made anew while the old ones go.
    OpenFiles,
    /// The pool of blocking threads, which has those for ten seconds that were needed.
    Threads,
    /// Kilobytes of its own; an allocator does not give everything back.
    Memory,
    /// TCP connections in a pod's network that a process has open. Those nobody has are the kernel's, which says the last word of each for
    /// minutes to an address that may be somebody else's.
    Sockets,
    /// Connections that are tracked as going on in a pod's network or a node's.
    Tracked,
    /// Live connections in a node's books.
    Booked,
    /// Tunnels a node has.
    Tunnels,
}

impl Kind {
    fn slack(self) -> u64 {
        match self {
            Self::OpenFiles | Self::Threads | Self::Tracked => 8,
            Self::Memory => 12 * 1024,
            Self::Sockets | Self::Booked | Self::Tunnels => 0,
        }
    }
}

/// All of it at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Footprint(BTreeMap<(Kind, String), u64>);

impl Footprint {
    /// Looks. What cannot be seen counts as nothing: a program that does not answer is found by other means.
    #[track_caller]
    pub(crate) fn of(town: &Town) -> Self {
        let mut all = Self::default();
        for part in OURS {
            all.look_at(&town.program(part));
            if let Part::Node(index) = part {
                let node = &town.nodes[index];
                let count = |path| v1::list(node, path).len() as u64;
                all.note(Kind::Booked, node.name(), count("connections?limit=1000"));
                all.note(Kind::Tunnels, node.name(), count("tunnels?limit=1000"));
                all.note(Kind::Tracked, &format!("node {}", node.name()), tracked(node.netns()));
            }
        }
        for pod in town.pods() {
            // A pod that is replaced is not another quantity.
            let name = pod.name().split_once("tenant-").map_or(pod.name(), |_| "tenant");
            all.note(Kind::Sockets, name, held(&pod).count() as u64);
            all.note(Kind::Tracked, name, tracked(pod.netns()));
        }
        all
    }

    #[track_caller]
    fn look_at(&mut self, program: &Program) {
        let (files, memory) = belongings(program);
        let threads = fs::read_dir(format!("/proc/{}/task", program.pid())).unwrap().count();
        self.note(Kind::OpenFiles, program.name(), files as u64);
        self.note(Kind::Threads, program.name(), threads as u64);
        self.note(Kind::Memory, program.name(), memory / 1024);
    }

    fn note(&mut self, kind: Kind, whose: &str, quantity: u64) {
        self.0.insert((kind, whose.to_owned()), quantity);
    }

    /// What is under way, or kept for what may come, beside what was before.
    pub(crate) fn busy_beside(&self, before: &Self) -> Vec<String> {
        let moving = |kind: &Kind| matches!(kind, Kind::Booked | Kind::Tunnels | Kind::Sockets);
        let busy = self
            .0
            .iter()
            .filter(|(key, now)| moving(&key.0) && **now > before.0.get(*key).copied().unwrap_or_default());
        busy.map(|((kind, whose), now)| format!("{kind:?} of {whose}: {now}")).collect()
    }

    /// What is more than before, beyond what is not growth.
    pub(crate) fn growth_since(&self, before: &Self) -> Vec<String> {
        let grown = self.0.iter().filter_map(|(key, now)| {
            let then = before.0.get(key).copied().unwrap_or_default();
            let (kind, whose) = key;
            (*now > then + kind.slack()).then(|| format!("{kind:?} of {whose}: {then} before, {now} now"))
        });
        grown.collect()
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = None;
        for ((kind, whose), quantity) in &self.0 {
            if last != Some(kind) {
                write!(f, "\n  {kind:?}:")?;
                last = Some(kind);
            }
            write!(f, " {whose} {quantity}")?;
        }
        Ok(())
    }
}

/// The connections in a pod's network that a process has open.
pub(crate) fn held(pod: &Pod) -> impl Iterator<Item = Connection> {
    connections(Some(pod.netns()), 10_000).unwrap().into_iter().filter(|connection| connection.is_held)
}

/// How many connections the kernel tracks in a namespace as going on: those that have ended are forgotten after two minutes, and
/// must not be sooner, for one of which the end was sent twice counts as ended while the other side may have more to say.
fn tracked(netns: &Netns) -> u64 {
    let text = netns.run(|| fs::read_to_string("/proc/thread-self/net/nf_conntrack"));
    let text = text.and_then(|text| text).unwrap_or_default();
    text.lines().filter(|line| line.contains(" ESTABLISHED ")).count() as u64
}

#[test]
fn growth_is_what_is_beyond_the_slack() {
    let of = |kind: Kind, quantity: u64| {
        let mut all = Footprint::default();
        all.note(kind, "one", quantity);
        all
    };
    for kind in [Kind::OpenFiles, Kind::Threads, Kind::Memory, Kind::Sockets, Kind::Tracked, Kind::Booked] {
        let (before, most) = (of(kind, 5), 5 + kind.slack());
        assert!(of(kind, most).growth_since(&before).is_empty());
        assert_eq!(of(kind, most + 1).growth_since(&before).len(), 1, "{kind:?}");
    }
    assert!(of(Kind::Booked, 1).busy_beside(&Footprint::default()).len() == 1);
}
