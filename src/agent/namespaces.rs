//! Finds the pods' network namespaces: what each source leads to at this moment.
//!
//! In go specs, the namespaces already held, and what the container runtime has named; out come open namespaces or the reasons
//! there are none. Blocking, but short. It does not decide what follows from a namespace that is gone or another one.
//!
//! Pods of a file say where their namespaces are. Those of Kubernetes do not: theirs is the one the runtime has named, the one a
//! process of theirs was seen in that is still there, or else the one a search of all processes finds, in this order; the
//! particulars are in [`choice`].

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use culvert_process::exit::Chain;
use culvert_sys::netns::Netns;
use culvert_sys::process::Processes;
use tracing::{debug, info, warn};

use crate::handed::Handed;
use crate::pod::{NetnsSource, PodSpec, Uid};

mod addresses;
mod cgroup;
mod choice;
mod host;
mod prospect;
mod scan;
#[cfg(test)]
mod tests;

pub(crate) use addresses::addresses;
pub(crate) use host::{Host, Kubelet};
use prospect::{Answer, Answers, Known, Prospect, Seen};
use scan::{Findings, Sought};

/// A pod that shall be in the mesh, and the namespace it has right now.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) spec: PodSpec,
    pub(crate) found: Result<Arc<Netns>, Missing>,
}

/// Why there is no namespace.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Missing {
    /// What the pods file names cannot be opened.
    #[error(transparent)]
    Unopened(Arc<io::Error>),
    /// The pod has not been started, or nothing of it can be seen yet.
    #[error("the pod's sandbox is not there yet")]
    Awaited,
    #[error("the pod's sandbox was taken down")]
    TakenDown,
    #[error("it cannot be seen whether the pod has a sandbox; {REMEDY}")]
    Unclear(#[source] Arc<io::Error>),
}

/// What helps against not seeing processes.
const REMEDY: &str = "give the agent CAP_SYS_PTRACE, the host's /proc (--proc) and enough open files";

impl Missing {
    /// Whether there is no such namespace any more, as opposed to one that could not be looked at just now.
    pub(crate) fn is_gone(&self) -> bool {
        const ESRCH: i32 = 3;
        match self {
            // InvalidInput: the file a deleted namespace was bound to is still there for a moment.
            Self::Unopened(error) => {
                matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput)
                    || error.raw_os_error() == Some(ESRCH)
            }
            Self::TakenDown => true,
            Self::Awaited | Self::Unclear(_) => false,
        }
    }

    /// Whether there is nothing wrong with that: the pod is to be started yet.
    pub(crate) fn is_awaited(&self) -> bool {
        matches!(self, Self::Awaited)
    }
}

impl From<io::Error> for Missing {
    fn from(error: io::Error) -> Self {
        Self::Unopened(Arc::new(error))
    }
}

/// What is known of the pods' namespaces from one survey to the next. Holds at most one descriptor for a pod.
#[derive(Debug)]
pub(crate) struct Namespaces {
    /// Where the host's `proc` is mounted.
    proc: PathBuf,
    handed: Handed,
    /// Where the pods of Kubernetes were found the last time.
    seen: BTreeMap<Uid, Seen>,
    /// Whether the last search could not see everything, which was said then.
    impeded: bool,
}

impl Namespaces {
    /// Knows nothing yet. `proc` is where the host's processes can be seen.
    pub(crate) fn new(proc: PathBuf, handed: Handed) -> Self {
        Self { proc, handed, seen: BTreeMap::new(), impeded: false }
    }

    /// Finds the namespace of every pod. One that is in `held` already is that one again, not a second descriptor.
    pub(crate) fn survey(&mut self, specs: &[PodSpec], held: &BTreeMap<Uid, Arc<Netns>>) -> Vec<Wanted> {
        let mut answers = self.find(specs, held);
        let mut seen = BTreeMap::new();
        let mut look = |spec: &PodSpec| match answers.remove(spec.uid.as_str()) {
            Some(answer) => {
                seen.extend(self.remember(&spec.uid, &answer));
                answer.found
            }
            None => named(spec, held.get(&spec.uid)),
        };
        let wanted = specs.iter().map(|spec| Wanted { spec: spec.clone(), found: look(spec) }).collect();
        self.seen = seen;
        wanted
    }

    /// The namespaces of pods that nobody wants in the mesh, in one search: those that can be found without the runtime.
    pub(crate) fn scan_all(&self, pods: &[(Uid, Arc<[IpAddr]>)]) -> Vec<(Uid, Arc<Netns>)> {
        let sought = pods.iter().map(|(uid, addresses)| (uid.as_str(), &**addresses)).collect();
        let mut findings = scan::scan(&self.proc, &sought);
        if let Some(error) = &findings.stopped {
            warn!(error = %Chain(&**error), pods = pods.len(), found = findings.found.len(), "not all pods could be looked for");
        }
        let found = |(uid, _): &(Uid, _)| Some((uid.clone(), findings.found.remove(uid.as_str())?.netns));
        pods.iter().filter_map(found).collect()
    }

    /// What becomes of the pods of Kubernetes.
    fn find<'a>(&mut self, specs: &'a [PodSpec], held: &BTreeMap<Uid, Arc<Netns>>) -> Answers<'a> {
        let placeless = |spec: &'a PodSpec| match &spec.netns {
            NetnsSource::Found(addresses) => Some((&spec.uid, &**addresses)),
            NetnsSource::Path(_) | NetnsSource::Process(_) => None,
        };
        let mut pods = specs.iter().filter_map(placeless).peekable();
        // If it cannot be opened, a search finds out and says why.
        let processes = pods.peek().and_then(|_| Processes::open(&self.proc).ok());
        let look = |(uid, addresses): (&'a Uid, &'a [IpAddr])| {
            let known = Known { handed: self.handed.of(uid), held: held.get(uid), seen: self.seen.get(uid) };
            Prospect::look((uid.as_str(), addresses), known, processes.as_ref())
        };
        let mut prospects: Vec<Prospect<'a>> = pods.map(look).collect();
        self.search(&mut prospects);
        prospects.into_iter().map(|prospect| (prospect.uid(), prospect.answer())).collect()
    }

    /// One search for all pods that need it. The others join, so that they have witnesses the next time.
    fn search(&mut self, prospects: &mut [Prospect<'_>]) {
        if !prospects.iter().any(Prospect::needs_search) {
            return;
        }
        let mut sought = Sought::new();
        for prospect in &*prospects {
            prospect.join(&mut sought);
        }
        let findings = scan::scan(&self.proc, &sought);
        debug!(sought = sought.len(), found = findings.found.len(), "searched the node's processes");
        self.report(&findings);
        for prospect in prospects {
            prospect.learn(&findings);
        }
    }

    /// Says once that not everything can be seen, and once that it can again.
    fn report(&mut self, findings: &Findings<'_>) {
        let impeded = findings.stopped.is_some() || !findings.hidden.is_empty();
        if impeded && !self.impeded {
            let error = findings.stopped.as_deref().map(|error| Chain(error).to_string());
            let (proc, hidden) = (self.proc.display(), findings.hidden.len());
            warn!(%proc, error, hidden, "not all processes can be looked at, so that pods may not be found; {REMEDY}");
        }
        if self.impeded && !impeded {
            info!("all processes that matter can be looked at again");
        }
        self.impeded = impeded;
    }

    /// What is known of the pod the next time. An answer that is not clear changes nothing.
    fn remember(&self, uid: &Uid, answer: &Answer) -> Option<(Uid, Seen)> {
        let seen = match &answer.found {
            Ok(netns) => Seen { netns: Arc::clone(netns), witness: answer.witness },
            Err(Missing::Unclear(_)) => self.seen.get(uid)?.clone(),
            Err(Missing::Unopened(_) | Missing::Awaited | Missing::TakenDown) => return None,
        };
        Some((uid.clone(), seen))
    }
}

/// The namespace the pods file names.
fn named(spec: &PodSpec, held: Option<&Arc<Netns>>) -> Result<Arc<Netns>, Missing> {
    let found = open(&spec.netns)?;
    let known = held.filter(|known| known.id() == found.id());
    Ok(known.map_or_else(|| Arc::new(found), Arc::clone))
}

fn open(source: &NetnsSource) -> io::Result<Netns> {
    match source {
        NetnsSource::Process(pid) => Netns::of_process(*pid),
        NetnsSource::Path(path) => open_file(path),
        // Two specs with one UID, of which the first was answered.
        NetnsSource::Found(_) => Err(io::ErrorKind::NotFound.into()),
    }
}

fn open_file(path: &Path) -> io::Result<Netns> {
    // Opening a named pipe would wait for a writer for ever.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a network namespace"));
    }
    Netns::open(path)
}
