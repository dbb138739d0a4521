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
use crate::pod::{NetnsSource, PodSpec, Uid, Workload};

/// A pod, and its namespace with something of ours in it.
pub(crate) type Leftover = (PodSpec, Arc<Netns>);

/// What a search has come to.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    pub(crate) found: Vec<Leftover>,
    /// Pods that are said to be in the mesh and were not found.
    pub(crate) unseen: Vec<Workload>,
}

/// Looks into the pods that shall not be in the mesh, and finds all that shall: the wish may have changed before anybody has acted
/// on it, and nobody would ever look into such a pod again.
pub(crate) async fn to_adopt(view: &View, proc: &Path, iptables: Iptables) -> Vec<Leftover> {
    let runs =
        |pod: &PodView| !matches!(pod.wish, Wish::Pass(Why::HostNetwork | Why::Finished | Why::Static));
    let is_wished = |uid: &Uid| matches!(view.pods[uid].wish, Wish::Enrol(_));
    let wished = view.pods.keys().filter(|uid| is_wished(uid)).cloned().collect();
    look(view, proc, runs, Eye { wished, iptables }).await.found
}

/// Looks into all pods that have a network of their own.
pub(crate) async fn in_all_pods(view: &View, proc: &Path, iptables: Iptables) -> Leftovers {
    let has_network = |pod: &PodView| pod.wish != Wish::Pass(Why::HostNetwork);
    look(view, proc, has_network, Eye { wished: BTreeSet::new(), iptables }).await
}

/// Sees whether something of ours is in a pod.
struct Eye {
    /// Pods that are not looked into: they are programmed in any case.
    wished: BTreeSet<Uid>,
    iptables: Iptables,
}

impl Eye {
    fn sees(&self, uid: &Uid, netns: &Netns) -> bool {
        self.wished.contains(uid)
            || self.iptables.has_traces(netns).unwrap_or_else(|error| {
                warn!(%uid, %error, "it cannot be seen whether something of ours is left in a pod; taking it out to be sure");
                true
            })
    }
}

async fn look(view: &View, proc: &Path, which: impl Fn(&PodView) -> bool, eye: Eye) -> Leftovers {
    let sought = view.pods.iter().filter(|(_, pod)| which(pod));
    let sought: Vec<_> = sought.map(|(uid, pod)| (uid.clone(), Arc::clone(&pod.addresses))).collect();
    let namespaces = Namespaces::new(proc.to_owned(), Handed::default());
    let search = tokio::task::spawn_blocking(move || {
        let mut found = namespaces.scan_all(&sought);
        let seen: BTreeSet<_> = found.iter().map(|(uid, _)| uid.clone()).collect();
        let unseen: Vec<_> =
            sought.into_iter().map(|(uid, _)| uid).filter(|uid| !seen.contains(uid)).collect();
        found.retain(|(uid, netns)| eye.sees(uid, netns));
        (found, unseen, eye.wished)
    });
    let (found, unseen, wished) = search.await.expect("a search does not panic and is not cancelled");
    let unwished = found.iter().filter(|(uid, _)| !wished.contains(uid)).count();
    if unwished > 0 {
        info!(pods = unwished, "rules of an agent before were found in pods they are to be taken out of");
    }
    let spec = |(uid, netns): (Uid, Arc<Netns>)| Some((spec(&uid, view.pods.get(&uid)?), netns));
    let is_claimed = |pod: &&Arc<PodView>| matches!(pod.claim, Claim::Enabled | Claim::Pending);
    let unseen = unseen.iter().filter_map(|uid| view.pods.get(uid)).filter(is_claimed);
    Leftovers {
        unseen: unseen.map(|pod| pod.workload.clone()).collect(),
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
