//! Searches the node's processes for the namespaces of pods.
//!
//! In go UIDs with the pods' addresses, out come open namespaces, each with the process it was found by. A process counts when
//! its control groups name the pod, and its namespace when an interface in it carries one of the pod's addresses: a process of
//! one pod may be in another's namespace, or in one that it has made. Of several namespaces the one counts whose process has
//! started first: sandboxes begin before anything that runs in them. Reads `/proc` only, and starts nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use culvert_sys::netns::{Netns, NetnsId};
use culvert_sys::process::{Process, Processes};

use super::addresses::footing;
use super::cgroup;
use super::choice::Footing;
use super::host::Host;

#[cfg(test)]
mod tests;

/// Namespaces looked into for one pod. The first is the right one, unless the pod's addresses are not known as they are.
const MOST_TRIED: usize = 16;

/// The pods to be found, with their addresses.
pub(super) type Sought<'a> = BTreeMap<&'a str, &'a [IpAddr]>;

/// A process of a pod that was seen in a namespace of the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Witness {
    started: u64,
    number: u32,
}

/// A pod's namespace.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) netns: Arc<Netns>,
    pub(super) witness: Witness,
}

/// What a search has brought.
#[derive(Debug, Default)]
pub(super) struct Findings<'a> {
    pub(super) found: BTreeMap<&'a str, Found>,
    /// Pods with processes that may not be looked at.
    pub(super) hidden: BTreeSet<&'a str>,
    /// Why the search ended early; what was not found by then may be there.
    pub(super) stopped: Option<Arc<io::Error>>,
}

impl Witness {
    /// Whether the same process is in the same namespace still.
    pub(super) fn is_in(self, netns: NetnsId, processes: &Processes) -> io::Result<bool> {
        let process = processes.process(self.number)?;
        Ok(process.started()? == self.started && process.netns_id()? == netns)
    }
}

/// Searches once for all of them.
pub(super) fn scan<'a>(proc: &Path, sought: &Sought<'a>) -> Findings<'a> {
    let mut findings = Findings::default();
    let result = Scan::begin(proc, sought).and_then(|mut scan| {
        scan.walk(&mut findings)?;
        scan.settle(&mut findings)
    });
    findings.stopped = result.err().map(Arc::new);
    findings
}

/// A search at work.
struct Scan<'s, 'a> {
    processes: Processes,
    host: Host,
    sought: &'s Sought<'a>,
    /// The processes of each pod, and where they were seen.
    candidates: BTreeMap<&'a str, Vec<(Witness, NetnsId)>>,
}

impl<'s, 'a> Scan<'s, 'a> {
    fn begin(proc: &Path, sought: &'s Sought<'a>) -> io::Result<Self> {
        let processes = Processes::open(proc)?;
        let host = Host::of(&processes)?;
        Ok(Self { processes, host, sought, candidates: BTreeMap::new() })
    }

    fn walk(&mut self, findings: &mut Findings<'a>) -> io::Result<()> {
        for number in self.processes.numbers()? {
            // Processes end while they are looked at.
            essential(self.look(number?, findings))?;
        }
        Ok(())
    }

    fn look(&mut self, number: u32, findings: &mut Findings<'a>) -> io::Result<()> {
        let process = self.processes.process(number)?;
        let netns = match process.netns_id() {
            Ok(netns) if self.host.is(netns) => return Ok(()),
            Ok(netns) => Some(netns),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
            Err(error) => return Err(error),
        };
        let Some(uid) = self.pod_of(&process)? else { return Ok(()) };
        let Some(netns) = netns else {
            findings.hidden.insert(uid);
            return Ok(());
        };
        let witness = Witness { started: process.started()?, number };
        self.candidates.entry(uid).or_default().push((witness, netns));
        Ok(())
    }

    /// The pod that the process belongs to, if it is one of those sought.
    fn pod_of(&self, process: &Process) -> io::Result<Option<&'a str>> {
        let pod = cgroup::pod_of(&process.control_groups()?);
        Ok(pod.and_then(|uid| self.sought.get_key_value(uid.as_str())).map(|(uid, _)| *uid))
    }

    /// Opens what was seen, and takes what stands up to it.
    fn settle(&mut self, findings: &mut Findings<'a>) -> io::Result<()> {
        for (uid, mut seen) in std::mem::take(&mut self.candidates) {
            seen.sort_unstable_by_key(|(witness, _)| *witness);
            if let Some(found) = self.first_own(uid, &seen)? {
                findings.found.insert(uid, found);
            }
        }
        Ok(())
    }

    fn first_own(&self, uid: &str, seen: &[(Witness, NetnsId)]) -> io::Result<Option<Found>> {
        let mut foreign = Vec::new();
        for (witness, id) in seen {
            if foreign.contains(id) {
                continue;
            }
            // Another process may be in the same namespace.
            let Some(netns) = essential(self.open(uid, *witness))?.filter(|netns| netns.id() == *id) else {
                continue;
            };
            let addresses = self.sought.get(uid).copied().unwrap_or_default();
            if essential(footing(&netns, addresses))? == Some(Footing::Carries) {
                return Ok(Some(Found { netns: Arc::new(netns), witness: *witness }));
            }
            foreign.push(*id);
            if foreign.len() == MOST_TRIED {
                break;
            }
        }
        Ok(None)
    }

    /// Asks everything again of the process that is held by now: another one may have got the number.
    fn open(&self, uid: &str, witness: Witness) -> io::Result<Netns> {
        let process = self.processes.process(witness.number)?;
        if process.started()? != witness.started || self.pod_of(&process)? != Some(uid) {
            return Err(io::ErrorKind::NotFound.into());
        }
        process.netns()
    }
}

/// Passes on what ends a search, and drops what is wrong with one process only.
fn essential<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    const ENOMEM: i32 = 12;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.raw_os_error(), Some(ENOMEM | ENFILE | EMFILE)) => Err(error),
        Err(_) => Ok(None),
    }
}
