//! Enrols pods: keeps the rules in each pod's namespace and the published table equal to what is wished for.
//!
//! In go the wishes and the packet rules, out come the table the node sessions read, the board that says what has become of each
//! pod, and what people should be told. One task owns all state; blocking work runs beside it, at most [`WIDTH`] pods at once. Rules are in and verified before a pod is published.
//! When it leaves, or moves, new connections pass before it is taken back, and the rest of the rules goes when nodes have had time
//! to end what they carry: it is not refused, and nothing that was captured goes on in plaintext. A pod that fails is
//! quarantined alone and retried. It does not talk to nodes.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use culvert_sys::netns::Netns;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use crate::board::{Board, Telling};
use crate::descriptors::Budget;
use crate::handed::Handed;
use crate::namespaces::{Host, Namespaces};
use crate::pod::{Desired, PodSpec, Uid};
use crate::rules::PacketRules;
use crate::served::Served;
use crate::table::Publisher;

pub(crate) mod cleanup;
mod exit;
mod job;
mod metered;
mod notice;
mod pace;
mod plan;
mod state;
mod steps;
#[cfg(test)]
mod tests;
mod verifying;
mod view;
mod watching;

use job::Done;
use pace::rest_after;
use plan::Looked;
use state::{Hold, Pod, Pods, Work};

/// Pods being worked on at once.
const WIDTH: usize = 4;

/// Time between two looks at the namespaces and rules of all pods.
const VERIFY_EVERY: Duration = Duration::from_secs(5);

/// How long nodes wait for the first table; pods not decided by then are kept as they are.
const FIRST_PASS: Duration = Duration::from_secs(10);

/// How long nodes get to end the connections of a pod that leaves. They do so as soon as they hear of it.
const PARTING: Duration = Duration::from_secs(1);

/// Changes nobody has looked into yet; whoever has more to say waits.
const CHANGES: usize = 64;

/// Time between two rounds of retries, at least.
const RETRY_PACE: Duration = Duration::from_millis(200);

/// What becomes of the rules when the agent exits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// They stay: without a node, pods are refused, not in plaintext.
    LeaveRules,
    /// They go.
    RemoveRules,
}

/// What the enrolment works with.
pub(crate) struct Tools {
    pub(crate) rules: Arc<dyn PacketRules>,
    pub(crate) host: Host,
    pub(crate) handed: Handed,
    pub(crate) served: Served,
    pub(crate) budget: Budget,
}

/// Where the enrolment says what it does.
pub(crate) struct Outlets {
    pub(crate) table: Publisher,
    pub(crate) board: watch::Sender<Arc<Board>>,
    pub(crate) tell: Telling,
}

/// The owner of the pods.
pub(crate) struct Enrolment {
    tools: Tools,
    /// Away during a survey.
    namespaces: Option<Namespaces>,
    outlets: Outlets,
    looked: Looked,
    pods: Pods,
    jobs: JoinSet<Done>,
    /// Enrolled pods this round has still to verify.
    unverified: VecDeque<Uid>,
    /// Enrolled pods in whose namespaces something has changed, as they are told, and those nobody has looked into yet.
    changed: (mpsc::Sender<Uid>, mpsc::Receiver<Uid>),
    suspects: VecDeque<Uid>,
    suspects_turn: bool,
    /// How many pods are being verified.
    verifying: usize,
    first_pass_ends: Instant,
    /// Whether a step waits for a place.
    crowded: bool,
    /// When steps were last taken.
    advanced_at: Instant,
    /// Whether something has changed that may cure any pod, and has not been looked at.
    hurried: bool,
    /// Whether what happened last may have consequences.
    stirred: bool,
    /// When it ended, and how long it took.
    last_look: (Instant, Duration),
    /// When the next look is to be taken, if something has changed.
    look_at: Option<Instant>,
}

impl Enrolment {
    pub(crate) fn new(tools: Tools, namespaces: Namespaces, outlets: Outlets) -> Self {
        Self {
            tools,
            namespaces: Some(namespaces),
            outlets,
            looked: Looked::default(),
            pods: Pods::new(),
            jobs: JoinSet::new(),
            unverified: VecDeque::new(),
            changed: mpsc::channel(CHANGES),
            suspects: VecDeque::new(),
            suspects_turn: false,
            verifying: 0,
            first_pass_ends: Instant::now() + FIRST_PASS,
            crowded: false,
            advanced_at: Instant::now(),
            hurried: false,
            stirred: true,
            last_look: (Instant::now(), Duration::ZERO),
            look_at: None,
        }
    }

    /// Takes over pods in which something of ours was found. What is not wished for is taken out again.
    pub(crate) fn adopt(&mut self, found: Vec<(PodSpec, Arc<Netns>)>) {
        for (spec, netns) in found {
            let uid = spec.uid.clone();
            self.pods.insert(uid, Pod { hold: Hold::Touched(netns), ..Pod::new(spec) });
        }
    }

    /// Works until told to exit. Ends the published table, and with it the node sessions.
    pub(crate) async fn run(
        mut self,
        mut desired: watch::Receiver<Desired>,
        exit: impl Future<Output = Exit>,
    ) -> Result<(), cleanup::Error> {
        metered::describe();
        let mut exit = pin!(exit);
        let mut round = interval_at(Instant::now() + VERIFY_EVERY, VERIFY_EVERY);
        round.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut handed, mut served) = (self.tools.handed.changes(), self.tools.served.changes());
        let mut specs = Arc::clone(&desired.borrow_and_update());
        self.look(&specs).await;
        let mut quiet = false;
        self.publish_board();
        // Also when it is empty: then that is known, and what others believe of pods can be put right.
        self.outlets.board.send_modify(|_| {});
        let exit = loop {
            if std::mem::take(&mut quiet) {
                self.verify_next();
            } else {
                self.advance();
            }
            let wake_at = self.wake_at();
            tokio::select! {
                exit = &mut exit => break exit,
                Ok(()) = desired.changed() => {
                    specs = Arc::clone(&desired.borrow_and_update());
                    self.hurried = true;
                    self.look_soon(&specs).await;
                }
                Ok(()) = handed.changed() => self.look_soon(&specs).await,
                Ok(()) = served.changed() => {}
                Some(uid) = self.changed.1.recv() => self.suspect(uid),
                Some(Ok(done)) = self.jobs.join_next() => {
                    self.finish(done);
                    quiet = self.is_quiet();
                }
                _ = round.tick() => {
                    self.look(&specs).await;
                    self.begin_round();
                }
                () = sleep_until(wake_at) => self.look(&specs).await,
            }
        };
        self.end(exit).await
    }

    /// Has a look taken at once; where looks take long, so much later that they take a fraction of the time. A look is at all pods,
    /// and they often change one after the other.
    async fn look_soon(&mut self, specs: &Desired) {
        let (looked_at, took) = self.last_look;
        let rest = rest_after(took);
        if looked_at + rest <= Instant::now() {
            self.look(specs).await;
        } else {
            self.look_at.get_or_insert(looked_at + rest);
        }
    }

    /// Looks at where every wanted pod's namespace leads.
    async fn look(&mut self, specs: &Desired) {
        let begun = Instant::now();
        let netns = |pod: &Pod| pod.hold.netns().map(Arc::clone);
        let held: BTreeMap<_, _> =
            self.pods.iter().filter_map(|(uid, pod)| Some((uid.clone(), netns(pod)?))).collect();
        let (wishes, others) = (Arc::clone(specs), specs.others.clone());
        let mut namespaces = self.namespaces.take().expect("every survey returns them");
        let survey =
            tokio::task::spawn_blocking(move || (namespaces.survey(&wishes.pods, &held), namespaces));
        let (wanted, namespaces) = survey.await.expect("a survey does not panic and is not cancelled");
        self.namespaces = Some(namespaces);
        (self.look_at, self.last_look) = (None, (Instant::now(), begun.elapsed()));
        self.tools.budget.note_wanted(wanted.len());
        self.looked = Looked { wanted, others };
        for pod in self.pods.values_mut() {
            pod.passed_by |= pod.work == Work::Busy;
        }
        if std::mem::take(&mut self.hurried) {
            self.hurry();
        }
    }

    /// A changed file may have cured any pod.
    fn hurry(&mut self) {
        let now = Instant::now();
        for trouble in self.pods.values_mut().filter_map(|pod| pod.trouble.as_mut()) {
            trouble.backoff = trouble.backoff.hurry(now);
        }
    }

    /// Whether nothing follows from what has just happened but the next pod of a round: on a full node that is how it mostly is, and
    /// there is no need to go through all pods for each of them.
    fn is_quiet(&mut self) -> bool {
        !std::mem::replace(&mut self.stirred, true) && !self.crowded
    }

    /// Takes every step that can be taken now, and publishes the result.
    fn advance(&mut self) {
        (self.crowded, self.advanced_at) = (false, Instant::now());
        while self.take_steps() {}
        self.verify_next();
        self.publish();
    }

    /// When to look again without being called: at the next retry, or when nodes have waited long enough.
    fn wake_at(&self) -> Instant {
        let now = Instant::now();
        // What was due at the last look and could not go on waits for something to happen, or the next round.
        let looked_at = self.last_look.0;
        let retry = |pod: &Pod| match (pod.work, &pod.trouble, &pod.hold) {
            (Work::Idle, Some(trouble), _) => Some(trouble.backoff.retry_at()),
            (Work::Idle, None, Hold::Released(_, until)) => Some(*until),
            (Work::Idle | Work::Busy, ..) => None,
        };
        let first_pass = self.outlets.table.borrow().is_none().then_some(self.first_pass_ends);
        let next = self.pods.values().filter_map(retry).filter(|at| *at > looked_at).chain(first_pass).min();
        let next = next.unwrap_or(now + VERIFY_EVERY).max(self.advanced_at + RETRY_PACE);
        self.look_at.map_or(next, |soon| soon.min(next))
    }

    fn publish(&self) {
        let known = self.outlets.table.borrow().is_some();
        let is_settled = || view::settled(&self.looked.wanted, &self.pods);
        if known || is_settled() || Instant::now() >= self.first_pass_ends {
            self.publish_table();
        }
        self.publish_board();
    }

    fn publish_table(&self) {
        let table = view::table(&self.looked.wanted, &self.pods);
        self.outlets.table.send_if_modified(|current| {
            let changed = current.as_ref().is_none_or(|current| **current != table);
            if changed {
                *current = Some(Arc::new(table));
            }
            changed
        });
    }
}
