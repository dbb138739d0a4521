//! Starts and ends pods until they are as they should be, several at a time, and tries again what fails, as kubelet does.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use culvert_lab::{Behaviour, Container, Containers, PodSpec, Server, new_uid};

use crate::harness::cluster::ECHO;

use super::model::{Label, Model, NAMESPACES, Number, Runtime, Wanted};
use super::told::{Cluster, Identity};

/// How long after a failure it is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// The pods of a node. Its work is done by threads that [`work`](Self::work).
pub(super) struct Kubelet {
    containers: Containers,
    cluster: Arc<dyn Cluster>,
    model: Arc<Mutex<Model>>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    slots: BTreeMap<Number, Slot>,
    /// Grows whenever a pod has started or is gone.
    revision: u64,
    /// Their namespaces stay until nobody can be told of them any more.
    graveyard: Vec<Container>,
    stopping: bool,
    /// How many pods were captured before anything in them ran, of those that had to be, and which were not.
    captured: usize,
    exposed: Vec<String>,
}

struct Slot {
    identity: Identity,
    runtime: Runtime,
    wanted: bool,
    running: Option<Running>,
    busy: bool,
    next_try: Instant,
    failure: Option<String>,
}

struct Running {
    container: Container,
    server: Server,
}

impl Slot {
    fn is_settled(&self) -> bool {
        self.wanted == self.running.is_some() && !self.busy
    }

    fn is_gone(&self) -> bool {
        !self.wanted && !self.busy && self.running.is_none()
    }

    fn is_due(&self) -> bool {
        !self.busy && !self.is_settled() && self.next_try <= Instant::now()
    }
}

impl Kubelet {
    pub(super) fn new(containers: Containers, cluster: Arc<dyn Cluster>, model: Arc<Mutex<Model>>) -> Self {
        Self { containers, cluster, model, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Wants a pod from now on.
    pub(super) fn add(&self, number: Number, wanted: Wanted) {
        let identity = Identity {
            uid: new_uid().unwrap(),
            name: format!("pod-{number}"),
            namespace: NAMESPACES[wanted.namespace],
        };
        self.cluster.created(&identity, wanted.label);
        let (running, failure) = (None, None);
        let slot = Slot {
            identity,
            runtime: wanted.runtime,
            wanted: true,
            running,
            busy: false,
            next_try: Instant::now(),
            failure,
        };
        self.state().slots.insert(number, slot);
        self.changed.notify_all();
    }

    /// Wants a pod no longer. The cluster has said so before anything of it can be gone.
    pub(super) fn remove(&self, number: Number) {
        let identity = self.state().slots[&number].identity.clone();
        self.cluster.leaving(&identity);
        let is_gone = {
            let mut state = self.state();
            let slot = state.slots.get_mut(&number).unwrap();
            (slot.wanted, slot.next_try) = (false, Instant::now());
            let is_gone = slot.is_gone();
            if is_gone {
                state.slots.remove(&number);
            }
            state.revision += 1;
            is_gone
        };
        if is_gone {
            self.cluster.gone(&identity);
        }
        self.changed.notify_all();
    }

    pub(super) fn label_pod(&self, number: Number, label: Label) {
        let identity = self.state().slots[&number].identity.clone();
        self.cluster.labelled(&identity, label);
    }

    pub(super) fn label_namespace(&self, index: usize, in_mesh: bool) {
        self.cluster.namespace_labelled(NAMESPACES[index], in_mesh);
    }

    /// The pods that run and are not about to end.
    pub(super) fn running(&self) -> Vec<(Number, Container)> {
        let state = self.state();
        let of = |(number, slot): (&Number, &Slot)| {
            Some((*number, slot.running.as_ref().filter(|_| slot.wanted)?.container.clone()))
        };
        state.slots.iter().filter_map(of).collect()
    }

    /// Grows whenever [`running`](Self::running) says something else.
    pub(super) fn revision(&self) -> u64 {
        self.state().revision
    }

    /// What is not as it should be, and why.
    pub(super) fn unsettled(&self) -> Vec<String> {
        let state = self.state();
        let late = state.slots.values().filter(|slot| !slot.is_settled());
        late.map(|slot| {
            let verb = if slot.wanted { "start" } else { "end" };
            format!(
                "{} does not {verb}: {}",
                slot.identity.name,
                slot.failure.as_deref().unwrap_or("not tried yet")
            )
        })
        .collect()
    }

    /// How many pods were captured before anything in them ran, of those that had to be, and which were not.
    pub(super) fn births(&self) -> (usize, Vec<String>) {
        let state = self.state();
        (state.captured, state.exposed.clone())
    }

    /// Lets go of the namespaces of pods that are gone.
    pub(super) fn bury(&self) {
        self.state().graveyard.clear();
    }

    /// Does what is to be done until told to stop.
    pub(super) fn work(&self) {
        while let Some((number, identity, runtime, running)) = self.next() {
            let result = match running {
                None => self.start(number, &identity, runtime).map(Some),
                Some(running) => self.end(running),
            };
            self.done(number, result);
        }
    }

    pub(super) fn stop(&self) {
        self.state().stopping = true;
        self.changed.notify_all();
    }

    fn next(&self) -> Option<(Number, Identity, Runtime, Option<Running>)> {
        let mut state = self.state();
        loop {
            if state.stopping {
                return None;
            }
            if let Some((number, slot)) = state.slots.iter_mut().find(|(_, slot)| slot.is_due()) {
                slot.busy = true;
                return Some((*number, slot.identity.clone(), slot.runtime, slot.running.take()));
            }
            // A failure becomes due without a notice.
            state = self.changed.wait_timeout(state, PAUSE / 5).unwrap().0;
        }
    }

    fn start(
        &self,
        number: Number,
        identity: &Identity,
        runtime: Runtime,
    ) -> Result<Running, (Option<Running>, String)> {
        let spec =
            PodSpec::new(&identity.name).namespace(identity.namespace).service_account(identity.namespace);
        let must_be_captured =
            || self.cluster.has_plugin() && self.model.lock().unwrap().is_born_enrolled(number);
        let had_to_be_captured = must_be_captured();
        let made = match runtime {
            Runtime::Podman => self.containers.run(spec, &identity.uid),
            Runtime::Sandbox => self.containers.sandbox(spec, &identity.uid),
        };
        let container = made.map_err(|error| (None, format!("{error:?}")))?;
        let is_captured = container.pod().is_captured().unwrap();
        if had_to_be_captured && must_be_captured() {
            let mut state = self.state();
            state.captured += usize::from(is_captured);
            state.exposed.extend((!is_captured).then(|| identity.name.clone()));
        }
        let server = Server::start(container.pod(), ECHO, Behaviour::Echo).unwrap();
        self.cluster.started(identity, container.pod());
        Ok(Running { container, server })
    }

    fn end(&self, running: Running) -> Result<Option<Running>, (Option<Running>, String)> {
        running.server.stop();
        if let Err(error) = self.containers.remove(&running.container) {
            return Err((Some(running), format!("{error:?}")));
        }
        self.state().graveyard.push(running.container);
        Ok(None)
    }

    fn done(&self, number: Number, result: Result<Option<Running>, (Option<Running>, String)>) {
        let mut state = self.state();
        state.revision += 1;
        let slot = state.slots.get_mut(&number).unwrap();
        slot.busy = false;
        match result {
            Ok(running) => (slot.running, slot.failure) = (running, None),
            Err((running, why)) => {
                (slot.running, slot.failure) = (running, Some(why));
                slot.next_try = Instant::now() + PAUSE;
            }
        }
        let gone = slot.is_gone().then(|| slot.identity.clone());
        if let Some(identity) = gone {
            state.slots.remove(&number);
            drop(state);
            self.cluster.gone(&identity);
        }
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}
