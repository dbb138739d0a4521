//! The programs of a town, and the disks they keep their files on.

use std::collections::BTreeMap;
use std::path::PathBuf;

use culvert_lab::{Lab, Launch, Node, Pod, Program, SmallDisk};

use super::{Town, lock};

/// A program: of the mesh, of the first node or the second; or the waypoint, which is nobody's of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Control,
    Agent(usize),
    Node(usize),
    Waypoint,
}

/// The programs of the mesh.
pub(crate) const OURS: [Part; 5] =
    [Part::Control, Part::Agent(0), Part::Agent(1), Part::Node(0), Part::Node(1)];
/// All there are.
pub(crate) const PARTS: [Part; 6] =
    [Part::Control, Part::Agent(0), Part::Agent(1), Part::Node(0), Part::Node(1), Part::Waypoint];

/// What each program of ours keeps its files on.
pub(super) struct Disks(BTreeMap<Part, SmallDisk>);

impl Disks {
    #[track_caller]
    pub(super) fn of(lab: &Lab, nodes: &[Node; 2]) -> Self {
        let directory = |part| match part {
            Part::Control => lab.directory().join("ca"),
            Part::Agent(index) => nodes[index].agent_socket().parent().expect("it is below it").to_owned(),
            Part::Node(index) => nodes[index].directory().join("admin"),
            Part::Waypoint => unreachable!("it is none of ours"),
        };
        Self(OURS.into_iter().map(|part| (part, SmallDisk::at(&directory(part)).unwrap())).collect())
    }
}

impl Town {
    /// What a program of ours keeps its files on.
    pub(crate) fn disk(&self, part: Part) -> &SmallDisk {
        &self.disks.0[&part]
    }

    /// What a program of ours writes there, sooner or later.
    pub(crate) fn written_by(&self, part: Part) -> PathBuf {
        self.disk(part).directory().join(match part {
            Part::Control => "leaves.json",
            Part::Agent(_) => "agent.sock",
            Part::Node(_) | Part::Waypoint => "admin.sock",
        })
    }

    /// Whether an agent says that it has enrolled a pod. What comes before is in clear, and anybody's.
    pub(super) fn has_enrolled(&self, pod: &Pod) -> bool {
        let line = format!("pod enrolled\tpod={}/{} ", pod.namespace(), pod.name());
        [0, 1].into_iter().any(|index| self.program(Part::Agent(index)).log_text().contains(&line))
    }

    /// Starts a program unless it runs, and does not wait until it is ready.
    #[track_caller]
    pub(crate) fn run(&self, part: Part) {
        self.run_with(part, |launch| launch);
    }

    /// The same, of a program that is started in another way.
    #[track_caller]
    pub(crate) fn run_with(&self, part: Part, change: impl FnOnce(Launch) -> Launch) {
        let mut programs = lock(&self.programs);
        if programs.get(&part).is_some_and(Program::is_running) {
            return;
        }
        let launch = match part {
            Part::Control => self.lab.control_launch().unwrap(),
            Part::Agent(index) => self.lab.agent_launch(&self.nodes[index]).unwrap(),
            Part::Node(index) => self.lab.node_launch(&self.nodes[index]).unwrap(),
            Part::Waypoint => self.waypoint_launch(),
        };
        let launch = (self.settings)(self, part, launch);
        programs.insert(part, self.lab.start(change(launch)).unwrap());
    }

    /// A program, which may have ended.
    #[track_caller]
    pub(crate) fn program(&self, part: Part) -> Program {
        lock(&self.programs)[&part].clone()
    }
}
