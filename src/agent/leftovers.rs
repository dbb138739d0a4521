//! What an agent that was here before has left in pods.
//!
//! In go pods and the host's processes; out come those pods whose namespaces hold something of ours, or may do so. What becomes of it
//! is not decided here.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use culvert_sys::netns::Netns;
use ebpf_free_iptables::Iptables;
use tracing::{info, warn};

use crate::cluster::{Claim, PodView, View, Why, Wish};
use crate::handed::Handed;
use crate::namespaces::Namespaces;
use crate::pod::{NetnsSource, PodSpec, Uid};

/// A pod, and its namespace with something of ours in it.
pub(crate) type Leftover = (PodSpec, Arc<Netns>);

/// What a search has come to.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    pub(crate) found: Vec<Leftover>,
    /// Pods that are said to be in the mesh and were not found.
    pub(crate) unseen: Vec<Uid>,
}

/// Looks into all pods that may run. Also into those that shall be in the mesh: the wish may change before anybody has acted on it,
/// and nobody would ever look into such a pod again.
pub(crate) async fn to_adopt(view: &View, proc: &Path, iptables: Iptables) -> Vec<Leftover> {
    let runs =
        |pod: &PodView| !matches!(pod.wish, Wish::Pass(Why::HostNetwork | Why::Finished | Why::Static));
    look(view, proc, runs, iptables).await.found
}

/// Looks into all pods that have a network of their own.
pub(crate) async fn in_all_pods(view: &View, proc: &Path, iptables: Iptables) -> Leftovers {
    look(view, proc, |pod| pod.wish != Wish::Pass(Why::HostNetwork), iptables).await
}

fn has_traces(iptables: &Iptables, uid: &Uid, netns: &Netns) -> bool {
    iptables.has_traces(netns).unwrap_or_else(|error| {
        warn!(%uid, %error, "it cannot be seen whether something of ours is left in a pod; taking it out to be sure");
        true
    })
}

async fn look(view: &View, proc: &Path, which: impl Fn(&PodView) -> bool, iptables: Iptables) -> Leftovers {
    let sought = view.pods.iter().filter(|(_, pod)| which(pod));
    let sought: Vec<_> = sought.map(|(uid, pod)| (uid.clone(), Arc::clone(&pod.addresses))).collect();
    let namespaces = Namespaces::new(proc.to_owned(), Handed::default());
    let search = tokio::task::spawn_blocking(move || {
        let mut found = namespaces.scan_all(&sought);
        let seen: BTreeSet<_> = found.iter().map(|(uid, _)| uid.clone()).collect();
        let unseen: Vec<_> =
            sought.into_iter().map(|(uid, _)| uid).filter(|uid| !seen.contains(uid)).collect();
        found.retain(|(uid, netns)| has_traces(&iptables, uid, netns));
        (found, unseen)
    });
    let (found, unseen) = search.await.expect("a search does not panic and is not cancelled");
    if !found.is_empty() {
        info!(pods = found.len(), "rules of an agent before were found in pods");
    }
    let spec = |(uid, netns): (Uid, Arc<Netns>)| Some((spec(&uid, view.pods.get(&uid)?), netns));
    let is_claimed = |uid: &Uid| matches!(view.pods[uid].claim, Claim::Enabled | Claim::Pending);
    Leftovers {
        unseen: unseen.into_iter().filter(is_claimed).collect(),
        found: found.into_iter().filter_map(spec).collect(),
    }
}

fn spec(uid: &Uid, pod: &PodView) -> PodSpec {
    PodSpec {
        uid: uid.clone(),
        workload: pod.workload.clone(),
        netns: NetnsSource::Found(Arc::clone(&pod.addresses)),
        capture: Arc::default(),
        expected: false,
    }
}
