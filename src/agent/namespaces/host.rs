//! Which namespaces are no pod's, and which of them kubelet calls pods from.

use std::io;
use std::path::Path;
use std::sync::Arc;

use culvert_sys::netns::{Netns, NetnsId};
use culvert_sys::process::Processes;

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
    /// Looks them up, once: they live as long as the agent does. `proc` is where the host's processes can be seen.
    pub(crate) fn find(proc: &Path) -> io::Result<Self> {
        let processes = Processes::open(proc).ok();
        Self::among(processes.as_ref())
    }

    pub(super) fn of(processes: &Processes) -> io::Result<Self> {
        Self::among(Some(processes))
    }

    fn among(processes: Option<&Processes>) -> io::Result<Self> {
        let own = Arc::new(Netns::current()?);
        // Without a view of the host's processes, process 1 is not the host's, and nothing is lost.
        let first = processes.and_then(|all| all.process(1).and_then(|first| first.netns()).ok());
        Ok(Self { own, first: first.map(Arc::new), kubelet: Kubelet::default() })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_namespace_is_the_hosts() {
        let host = Host::find(Path::new("/proc")).unwrap();
        assert!(host.is(Netns::current().unwrap().id()));
        assert!(!host.is(Netns::create().unwrap().id()));
        assert_eq!(host.kubelet().id(), Netns::current().unwrap().id());
        let first = Netns::of_process(1).unwrap_or(Netns::current().unwrap()).id();
        assert!(host.is(first));
        assert_eq!(host.with_kubelet(Kubelet::FirstProcess).kubelet().id(), first);
    }
}
