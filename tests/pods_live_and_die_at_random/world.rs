//! The node under test: its programs, its pods, and a thread that keeps the control plane informed.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use culvert_lab::{Behaviour, Container, Containers, Error, Lab, Launch, Node, PodSpec, Program, new_uid};

use super::kubelet::Kubelet;
use super::model::{Label, Model, NAMESPACES, Number, Step};
use super::told::{Cluster, Identity};
use crate::harness::cluster::ECHO;

/// How often the control plane is told, when there is something to tell.
const ROUND: Duration = Duration::from_millis(50);

/// All of it.
pub(super) struct World {
    pub(super) lab: Lab,
    pub(super) node: Node,
    pub(super) kubelet: Kubelet,
    pub(super) cluster: Arc<dyn Cluster>,
    model: Arc<Mutex<Model>>,
    programs: Mutex<Programs>,
    /// The revisions of kubelet and model that were published last.
    published: Mutex<(u64, u64)>,
    failure: Mutex<Option<String>>,
    changes: Mutex<u64>,
    stopping: Mutex<bool>,
    /// A pod that is never in the mesh, and one that always is.
    pub(super) outsider: Container,
    pub(super) member: Container,
}

/// What is killed and started again.
struct Programs {
    agent: Option<Program>,
    node: Option<Program>,
}

impl World {
    /// Makes a node with two pods, and starts all programs. The agent follows what is made of the node and its runtime.
    pub(super) fn new<C: Cluster + 'static>(
        lab: Lab,
        cluster: impl FnOnce(&Lab, &Node, &Containers) -> C,
    ) -> Self {
        let node = lab.node("one").unwrap();
        let containers = lab.containers(&node).unwrap();
        let cluster = cluster(&lab, &node, &containers);
        let make = |name: &str, label: Label| {
            let identity = Identity { uid: new_uid().unwrap(), name: name.to_owned(), namespace: "fixed" };
            cluster.created(&identity, label);
            let spec = PodSpec::new(name).namespace("fixed").service_account("fixed");
            let made = containers.sandbox(spec, &identity.uid).unwrap();
            lab.serve(made.pod(), ECHO, Behaviour::Echo).unwrap();
            cluster.started(&identity, made.pod());
            made
        };
        let (outsider, member) = (make("outsider", Label::Absent), make("member", Label::Ambient));
        let model = Model::new();
        for (namespace, in_mesh) in NAMESPACES.iter().zip(model.namespaces) {
            cluster.namespace_labelled(namespace, in_mesh);
        }
        lab.start_control().unwrap();
        let cluster: Arc<dyn Cluster> = Arc::new(cluster);
        let model = Arc::new(Mutex::new(model));
        let world = Self {
            kubelet: Kubelet::new(containers, Arc::clone(&cluster), Arc::clone(&model)),
            cluster,
            model,
            programs: Mutex::new(Programs { agent: None, node: None }),
            published: Mutex::new((0, 0)),
            failure: Mutex::default(),
            changes: Mutex::new(1),
            stopping: Mutex::new(false),
            lab,
            node,
            outsider,
            member,
        };
        world.publish().unwrap();
        world.revive();
        world
    }

    pub(super) fn model(&self) -> Model {
        self.model.lock().unwrap().clone()
    }

    /// Everything has come to rest, and was as it should be.
    pub(super) fn rest(&self) {
        self.model.lock().unwrap().rest();
    }

    /// Does what happens, except for a quiet moment.
    pub(super) fn take(&self, step: Step) {
        self.model.lock().unwrap().take(step);
        match step {
            Step::Add(number, wanted) => self.kubelet.add(number, wanted),
            Step::Remove(number) => self.kubelet.remove(number),
            Step::LabelPod(number, label) => self.kubelet.label_pod(number, label),
            Step::LabelNamespace(index, in_mesh) => self.kubelet.label_namespace(index, in_mesh),
            Step::Disturb(trouble) => self.cluster.disturb(trouble),
            Step::KillAgent => kill(&mut self.programs.lock().unwrap().agent),
            Step::KillNode => kill(&mut self.programs.lock().unwrap().node),
            Step::Revive | Step::Quiet => self.revive(),
        }
        *self.changes.lock().unwrap() += 1;
    }

    /// Starts what does not run, and does not wait until it is ready.
    pub(super) fn revive(&self) {
        let mut programs = self.programs.lock().unwrap();
        let start = |launch: Launch| Some(self.lab.start(launch).unwrap());
        if programs.agent.is_none() {
            programs.agent = start(self.cluster.agent(&self.lab, &self.node));
        }
        if programs.node.is_none() {
            programs.node = start(self.lab.node_launch(&self.node).unwrap());
        }
    }

    /// The agent and the node, which must run.
    #[track_caller]
    pub(super) fn programs(&self) -> [Program; 2] {
        let programs = self.programs.lock().unwrap();
        let running = [&programs.agent, &programs.node].map(|program| program.clone().unwrap());
        for program in &running {
            assert!(program.is_running(), "{} ended\n{}", program.name(), program.log_tail());
        }
        running
    }

    /// The pods that run: those that should be in the mesh, and the others.
    pub(super) fn pods(&self) -> [Vec<Container>; 2] {
        let (model, running) = (self.model(), self.kubelet.running());
        let of = |enrolled: bool| {
            let wanted = |(number, _): &&(Number, Container)| model.is_enrolled(*number) == enrolled;
            let fixed = if enrolled { &self.member } else { &self.outsider };
            let moving = running.iter().filter(wanted).map(|(_, container)| container.clone());
            std::iter::once(fixed.clone()).chain(moving).collect()
        };
        [of(true), of(false)]
    }

    /// Whether the control plane has been told of everything.
    pub(super) fn is_published(&self) -> bool {
        *self.published.lock().unwrap() == self.revision()
    }

    /// Runs everything beside the steps, for as long as something happens.
    pub(super) fn meanwhile<T>(&self, kubelets: usize, happen: impl FnOnce() -> T) -> T {
        thread::scope(|scope| {
            let _stop = Stop(self);
            scope.spawn(|| self.keep_published());
            for _ in 0..kubelets {
                scope.spawn(|| self.kubelet.work());
            }
            happen()
        })
    }

    fn keep_published(&self) {
        while !*self.stopping.lock().unwrap() {
            if !self.is_published()
                && let Err(error) = self.publish()
            {
                // The thread that checks has a place to fail.
                self.failure.lock().unwrap().get_or_insert(format!("{error:?}"));
            }
            thread::sleep(ROUND);
        }
    }

    fn publish(&self) -> Result<(), Error> {
        let revision = self.revision();
        let [enrolled, others] = self.pods();
        let all: Vec<_> = enrolled.iter().chain(&others).map(|container| container.pod().clone()).collect();
        let is_enrolled =
            |pod: &culvert_lab::Pod| enrolled.iter().any(|container| container.pod().uid() == pod.uid());
        self.lab.describe(&all, is_enrolled)?;
        *self.published.lock().unwrap() = revision;
        Ok(())
    }

    /// Why the control plane could not be told of something.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap().clone()
    }

    fn revision(&self) -> (u64, u64) {
        (self.kubelet.revision(), *self.changes.lock().unwrap())
    }
}

/// Ends the threads, also when a check fails.
struct Stop<'w>(&'w World);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        *self.0.stopping.lock().unwrap() = true;
        self.0.kubelet.stop();
    }
}

fn kill(program: &mut Option<Program>) {
    if let Some(program) = program.take() {
        program.kill_hard().unwrap();
    }
}
