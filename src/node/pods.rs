//! The pods this node serves: starts and stops their proxies, and retries those that could not start.
//!
//! A pod whose proxy cannot start is set aside with its reason and tried again with growing pauses; the others run.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use culvert_process::exit::Chain;
use culvert_sys::netns::{Netns, NetnsId};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::admission::{Probes, Recogniser};
use crate::capture::{self, FIRST_PAUSE, LONGEST_PAUSE};
use crate::drain::{self, Drain};
use crate::proxy::{self, PodInfo, Shared, Whose};
use crate::state::{PodState, State, Trouble};

/// All pods, keyed by UID. One task owns this.
pub(crate) struct Pods {
    shared: Shared,
    running: HashMap<String, Running>,
    failed: HashMap<String, Failed>,
    /// The pod this process runs in, if it is told which.
    own: Option<Own>,
    stopping: JoinSet<()>,
    state: State,
}

/// A pod as the agent offers it: who it is and where, which makes it the same pod or another one, and what kubelet does to it, which
/// does not.
#[derive(Debug, Clone)]
pub(crate) struct Offered {
    pub(crate) pod: PodInfo,
    pub(crate) netns: Arc<Netns>,
    pub(crate) probes: Probes,
}

#[derive(Debug)]
struct Running {
    pod: PodInfo,
    netns: NetnsId,
    probes: watch::Sender<Probes>,
    since: SystemTime,
    drain: Drain,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Own {
    pod: PodInfo,
    drain: Drain,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Failed {
    offered: Offered,
    next: Instant,
    pause: Duration,
    /// Since when it fails.
    since: SystemTime,
    trouble: Trouble,
}

/// Why a pod's proxy did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot serve pod {pod}")]
    Start { pod: String, source: capture::Error },
    #[error("cannot serve pod {pod}: pod {other} is already served in the same network namespace")]
    SharedNamespace { pod: String, other: String },
}

/// Lets what is under way in a pod finish until the deadline.
async fn end(pod: PodInfo, drain: Drain, task: JoinHandle<()>, deadline: Duration) {
    if !drain.drain(deadline).await {
        let PodInfo { name, namespace, .. } = pod;
        tracing::warn!(pod = name, namespace, "connections were cut at the drain deadline");
    }
    // What did not let go when it was cut is ended here: nothing of a pod outlives its proxy.
    task.abort();
}

impl Running {
    fn is(&self, offered: &Offered) -> bool {
        self.netns == offered.netns.id() && self.pod == offered.pod
    }

    /// Takes over what kubelet does by now; connections that are no probes any more are judged by the policies.
    fn hear_of_probes(&self, uid: &str, probes: Probes) {
        self.probes.send_if_modified(|known| {
            let changed = *known != probes;
            if changed {
                let PodInfo { name, namespace, .. } = &self.pod;
                tracing::info!(uid, pod = name, namespace, ?probes, "kubelet probes the pod in another way");
                *known = probes;
            }
            changed
        });
    }

    fn state(&self, uid: &str) -> PodState {
        let Self { pod, since, .. } = self;
        PodState { uid: uid.to_owned(), pod: pod.clone(), state: "Up", since: *since, trouble: None }
    }
}

impl Failed {
    fn state(&self, uid: &str) -> PodState {
        let Self { offered: Offered { pod, .. }, since, trouble, .. } = self;
        let trouble = Some(trouble.clone());
        PodState { uid: uid.to_owned(), pod: pod.clone(), state: "Pending", since: *since, trouble }
    }
}

impl Pods {
    pub(crate) fn new(shared: Shared, state: State) -> Self {
        let (running, failed) = (HashMap::new(), HashMap::new());
        Self { shared, running, failed, own: None, stopping: JoinSet::new(), state }
    }

    /// Takes tunnels to the pod this process runs in, so that its metrics can be had through the mesh. Others do not suffer when
    /// that fails.
    pub(crate) fn serve_own(&mut self, pod: PodInfo) {
        let (drain, guard) = drain::channel();
        match proxy::start_own(&self.shared, pod.clone(), guard) {
            Ok(serve) => {
                tracing::info!(pod = pod.name, namespace = pod.namespace, "serving the pod of this process");
                self.state.serves_own(&pod);
                self.own = Some(Own { pod, drain, task: tokio::spawn(serve) });
            }
            Err(error) => {
                let PodInfo { name, namespace, .. } = pod;
                tracing::warn!(pod = name, namespace, error = %Chain(&error), "no tunnels to the pod of this process");
            }
        }
    }

    /// Serves a pod. Of the same pod again only what is said of its probes is taken over; the same UID in another namespace, or as
    /// another workload, is served anew.
    pub(crate) fn add(&mut self, uid: &str, offered: Offered) -> Result<(), Error> {
        match self.running.get(uid) {
            Some(running) if running.is(&offered) => {
                running.hear_of_probes(uid, offered.probes);
                return Ok(());
            }
            Some(_) => self.stop(uid),
            None => {}
        }
        let result = self.start(uid, &offered);
        match &result {
            Ok(()) => drop(self.failed.remove(uid)),
            Err(error) => self.set_aside(uid, offered, error),
        }
        self.publish();
        result
    }

    fn start(&mut self, uid: &str, offered: &Offered) -> Result<(), Error> {
        let Offered { pod, netns, probes } = offered;
        let name = format!("{}/{}", pod.namespace, pod.name);
        let same = |running: &&Running| running.netns == netns.id();
        if let Some(other) = self.running.values().find(same) {
            let other = format!("{}/{}", other.pod.namespace, other.pod.name);
            return Err(Error::SharedNamespace { pod: name, other });
        }
        let (drain, guard) = drain::channel();
        let probes = watch::Sender::new(probes.clone());
        let whose =
            Whose { pod: pod.clone(), netns: Some(Arc::clone(netns)), probes: Recogniser::of(&probes) };
        let serve = proxy::start(&self.shared, whose, guard);
        let serve = serve.map_err(|source| Error::Start { pod: name, source })?;
        let task = tokio::spawn(serve);
        let (netns, since) = (netns.id(), SystemTime::now());
        let running = Running { pod: pod.clone(), netns, probes, since, drain, task };
        self.running.insert(uid.to_owned(), running);
        metrics::counter!("workload_manager_proxies_started_total").increment(1);
        tracing::info!(uid, pod = pod.name, namespace = pod.namespace, %netns, "serving pod");
        Ok(())
    }

    fn set_aside(&mut self, uid: &str, offered: Offered, error: &Error) {
        let before = self.failed.get(uid);
        let pause = before.map_or(FIRST_PAUSE, |before| (before.pause * 2).min(LONGEST_PAUSE));
        let now = SystemTime::now();
        let since = before.map_or(now, |before| before.since);
        let trouble = Trouble { error: Chain(error).to_string(), next: now + pause };
        tracing::error!(uid, error = %Chain(error), retry = ?pause, "pod set aside");
        let next = Instant::now() + pause;
        self.failed.insert(uid.to_owned(), Failed { offered, next, pause, since, trouble });
    }

    /// Stops serving a pod at once; unknown UIDs are fine. What is under way gets no time: whoever takes the pod out takes its rules
    /// out next, and without them what its applications say on open connections would go out in plaintext.
    pub(crate) fn remove(&mut self, uid: &str) {
        self.failed.remove(uid);
        self.stop(uid);
        self.publish();
    }

    /// Whether the pod is served, or would be if it could.
    pub(crate) fn knows(&self, uid: &str) -> bool {
        self.running.contains_key(uid) || self.failed.contains_key(uid)
    }

    /// Stops serving every pod that is not named.
    pub(crate) fn retain(&mut self, named: &HashSet<String>) {
        let known: Vec<String> = self.running.keys().chain(self.failed.keys()).cloned().collect();
        for uid in known.iter().filter(|uid| !named.contains(*uid)) {
            self.remove(uid);
        }
    }

    fn stop(&mut self, uid: &str) {
        let Some(Running { pod, drain, task, .. }) = self.running.remove(uid) else { return };
        tracing::info!(uid, pod = pod.name, namespace = pod.namespace, "no longer serving pod");
        metrics::counter!("workload_manager_proxies_stopped_total").increment(1);
        self.stopping.spawn(async move {
            drain.cut().await;
            task.abort();
        });
        while self.stopping.try_join_next().is_some() {}
    }

    /// Tries again every pod whose pause is over. Cancel safe: it waits first, and then does not.
    pub(crate) async fn retry(&mut self) {
        let Some(next) = self.failed.values().map(|failed| failed.next).min() else {
            return std::future::pending().await;
        };
        tokio::time::sleep_until(next).await;
        let due = |failed: &Failed| failed.next <= Instant::now();
        let due: Vec<_> = self.failed.iter().filter(|(_, failed)| due(failed)).collect();
        let due: Vec<_> =
            due.into_iter().map(|(uid, failed)| (uid.clone(), failed.offered.clone())).collect();
        for (uid, offered) in due {
            // A failure is logged and set aside again inside.
            let _ = self.add(&uid, offered);
        }
    }

    /// Fetches the certificates of the pods there are, and forgets those of pods that are gone.
    pub(crate) fn sync_identities(&self) {
        let snapshot = self.shared.mesh.snapshot();
        let identity = |pod: &PodInfo| {
            let workload = snapshot.local_workload(&pod.namespace, &pod.name, &pod.service_account)?;
            workload.identity().ok()
        };
        let pods = self.running.values().map(|running| &running.pod);
        let wanted: HashSet<_> =
            pods.chain(self.own.iter().map(|own| &own.pod)).filter_map(identity).collect();
        for id in &wanted {
            self.shared.identities.prefetch(id);
        }
        self.shared.identities.retain(&wanted);
    }

    /// Lets connections finish until the deadline, all pods at once.
    pub(crate) async fn drain(mut self, deadline: Duration) {
        let mut draining = JoinSet::new();
        for (_, Running { pod, drain, task, .. }) in self.running.drain() {
            draining.spawn(end(pod, drain, task, deadline));
        }
        if let Some(Own { pod, drain, task }) = self.own.take() {
            draining.spawn(end(pod, drain, task, deadline));
        }
        while draining.join_next().await.is_some() {}
        while self.stopping.join_next().await.is_some() {}
    }

    fn publish(&self) {
        let up = self.running.iter().map(|(uid, running)| running.state(uid));
        let pending = self.failed.iter().map(|(uid, failed)| failed.state(uid));
        let pods: Vec<_> = up.chain(pending).collect();
        self.shared
            .residents
            .are(pods.iter().map(|it| (&*it.uid, &*it.pod.namespace, &*it.pod.service_account)));
        self.state.set_pods(pods);
        metrics::gauge!("workload_manager_active_proxy_count").set(self.running.len() as f64);
        metrics::gauge!("workload_manager_pending_proxy_count").set(self.failed.len() as f64);
    }
}
