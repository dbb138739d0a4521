//! Finds the pods' network namespaces: what each source in the pods file leads to at this moment.
//!
//! In go specs and the namespaces already held, out come open namespaces or the reasons there are none. Blocking,
//! but short. It does not decide what follows from a namespace that is gone or another one.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use culvert_sys::netns::{Netns, NetnsId};

use crate::pod::{NetnsSource, PodSpec, Uid};

/// A pod of the file, and the namespace it has right now.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) spec: PodSpec,
    pub(crate) found: Result<Arc<Netns>, Missing>,
}

/// Why a namespace could not be opened.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
pub(crate) struct Missing(Arc<io::Error>);

impl Missing {
    /// Whether there is no such namespace, as opposed to one that could not be looked at just now.
    pub(crate) fn is_gone(&self) -> bool {
        const ESRCH: i32 = 3;
        // InvalidInput: the file a deleted namespace was bound to is still there for a moment.
        matches!(self.0.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput)
            || self.0.raw_os_error() == Some(ESRCH)
    }
}

impl Missing {
    /// Whether it is only a matter of time: the pod has not been started yet.
    pub(crate) fn is_awaited(&self) -> bool {
        false
    }
}

impl From<io::Error> for Missing {
    fn from(error: io::Error) -> Self {
        Self(Arc::new(error))
    }
}

/// Namespaces that are no pod's: the agent's own, and the host's.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    own: Arc<Netns>,
    /// That of process 1, if it can be looked at.
    first: Option<Arc<Netns>>,
    kubelet: Kubelet,
}

/// Which of them kubelet calls pods from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Kubelet {
    /// The agent's own.
    #[default]
    Here,
    /// That of process 1: for an agent that sees the host's processes and has a network of its own. Where process 1 cannot be
    /// looked at, the agent's own.
    FirstProcess,
}

impl Host {
    /// Looks them up, once: they live as long as the agent does.
    pub(crate) fn find() -> io::Result<Self> {
        let own = Arc::new(Netns::current()?);
        // Without a view of the host's processes, process 1 is not the host's, and nothing is lost.
        let first = Netns::of_process(1).ok().map(Arc::new);
        Ok(Self { own, first, kubelet: Kubelet::default() })
    }

    /// Says where kubelet is; without this it is where the agent is.
    pub(crate) fn with_kubelet(self, kubelet: Kubelet) -> Self {
        Self { kubelet, ..self }
    }

    pub(crate) fn is(&self, id: NetnsId) -> bool {
        [Some(&self.own), self.first.as_ref()].into_iter().flatten().any(|netns| netns.id() == id)
    }

    /// The namespace kubelet calls pods from.
    pub(crate) fn kubelet(&self) -> &Arc<Netns> {
        match self.kubelet {
            Kubelet::Here => &self.own,
            Kubelet::FirstProcess => self.first.as_ref().unwrap_or(&self.own),
        }
    }
}

/// Opens the namespace of every pod. One that is in `held` already is that one again, not a second descriptor.
pub(crate) fn survey(specs: &[PodSpec], held: &BTreeMap<Uid, Arc<Netns>>) -> Vec<Wanted> {
    let look = |spec: &PodSpec| -> Result<Arc<Netns>, Missing> {
        let found = open(&spec.netns)?;
        match held.get(&spec.uid) {
            Some(known) if known.id() == found.id() => Ok(Arc::clone(known)),
            _ => Ok(Arc::new(found)),
        }
    };
    specs.iter().map(|spec| Wanted { spec: spec.clone(), found: look(spec) }).collect()
}

fn open(source: &NetnsSource) -> io::Result<Netns> {
    match source {
        NetnsSource::Process(pid) => Netns::of_process(*pid),
        NetnsSource::Path(path) => open_file(path),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::Workload;

    fn spec(netns: NetnsSource) -> PodSpec {
        let workload =
            Workload { name: "web".into(), namespace: "shop".into(), service_account: "web".into() };
        PodSpec { uid: "u".into(), workload, netns, capture: Arc::default(), claimed: false }
    }

    fn look(netns: NetnsSource) -> Result<Arc<Netns>, Missing> {
        survey(&[spec(netns)], &BTreeMap::new()).remove(0).found
    }

    #[test]
    fn paths_and_processes_lead_to_the_same_namespace() {
        let netns = Netns::create().unwrap();
        let found = look(NetnsSource::Path(netns.path())).unwrap();
        assert_eq!(found.id(), netns.id());
        let own = look(NetnsSource::Process(std::process::id())).unwrap();
        assert_eq!(own.id(), Netns::current().unwrap().id());
    }

    #[test]
    fn a_held_namespace_is_not_opened_twice() {
        let netns = Arc::new(Netns::create().unwrap());
        let held = BTreeMap::from([(Uid::from("u"), Arc::clone(&netns))]);
        let found = survey(&[spec(NetnsSource::Path(netns.path()))], &held).remove(0).found.unwrap();
        assert!(Arc::ptr_eq(&found, &netns));
    }

    #[test]
    fn what_is_not_a_namespace_counts_as_gone() {
        for path in ["/run/netns/there-is-none", "/etc/passwd", "/dev/null", "/tmp", "/proc/self/ns/mnt"] {
            assert!(look(NetnsSource::Path(path.into())).unwrap_err().is_gone(), "{path}");
        }
        assert!(look(NetnsSource::Process(u32::MAX)).unwrap_err().is_gone());
        let busy = io::Error::from_raw_os_error(24); // EMFILE
        assert!(!Missing::from(busy).is_gone());
    }

    #[test]
    fn the_own_namespace_is_the_hosts() {
        let host = Host::find().unwrap();
        assert!(host.is(Netns::current().unwrap().id()));
        assert!(!host.is(Netns::create().unwrap().id()));
        assert_eq!(host.kubelet().id(), Netns::current().unwrap().id());
        let first = Netns::of_process(1).unwrap_or(Netns::current().unwrap()).id();
        assert!(host.is(first));
        assert_eq!(host.with_kubelet(Kubelet::FirstProcess).kubelet().id(), first);
    }
}
