//! What an agent that was here before has left in pods.
//!
//! In go pods and the host's processes; out come those pods whose namespaces still hold something of ours. What becomes of it is
//! not decided here.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use culvert_sys::netns::Netns;
use ebpf_free_iptables::Iptables;
use tracing::{info, warn};

use crate::cluster::{PodView, View, Why, Wish};
use crate::handed::Handed;
use crate::namespaces::Namespaces;
use crate::pod::{NetnsSource, PodSpec, Uid};

/// A pod, and its namespace with something of ours in it.
pub(crate) type Leftover = (PodSpec, Arc<Netns>);

/// Looks into the pods that are there and shall not be in the mesh.
pub(crate) async fn in_pods_to_leave(view: &View, proc: &Path, iptables: Iptables) -> Vec<Leftover> {
    let to_leave = |pod: &PodView| match pod.wish {
        Wish::Enrol(_) | Wish::Pass(Why::HostNetwork | Why::Finished | Why::Static) => false,
        Wish::Pass(_) => true,
    };
    look(view, proc, iptables, to_leave).await
}

/// Looks into all pods that have a network of their own.
pub(crate) async fn in_all_pods(view: &View, proc: &Path, iptables: Iptables) -> Vec<Leftover> {
    look(view, proc, iptables, |pod| pod.wish != Wish::Pass(Why::HostNetwork)).await
}

async fn look(
    view: &View,
    proc: &Path,
    iptables: Iptables,
    which: impl Fn(&PodView) -> bool,
) -> Vec<Leftover> {
    let sought = view.pods.iter().filter(|(_, pod)| which(pod));
    let sought: Vec<_> = sought.map(|(uid, pod)| (uid.clone(), Arc::clone(&pod.addresses))).collect();
    let namespaces = Namespaces::new(proc.to_owned(), Handed::default());
    let search = tokio::task::spawn_blocking(move || search(&namespaces, &sought, &iptables));
    let found = search.await.expect("a search does not panic and is not cancelled");
    let spec = |(uid, netns): (Uid, Arc<Netns>)| Some((spec(&uid, view.pods.get(&uid)?), netns));
    let found: Vec<_> = found.into_iter().filter_map(spec).collect();
    if !found.is_empty() {
        info!(pods = found.len(), "rules of an agent before were found in pods they are to be taken out of");
    }
    found
}

fn search(
    namespaces: &Namespaces,
    sought: &[(Uid, Arc<[IpAddr]>)],
    iptables: &Iptables,
) -> Vec<(Uid, Arc<Netns>)> {
    let mut found = namespaces.scan_all(sought);
    found.retain(|(uid, netns)| {
        iptables.has_traces(netns).unwrap_or_else(|error| {
            warn!(%uid, %error, "it cannot be seen whether something of ours is left in a pod; taking it out to be sure");
            true
        })
    });
    found
}

fn spec(uid: &Uid, pod: &PodView) -> PodSpec {
    PodSpec {
        uid: uid.clone(),
        workload: pod.workload.clone(),
        netns: NetnsSource::Found(Arc::clone(&pod.addresses)),
        capture: Arc::default(),
        claimed: false,
    }
}
