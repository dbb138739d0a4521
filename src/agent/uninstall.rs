//! Taking back all that was ever put on this node: `--cleanup`.
//!
//! In go the pods, from a file or from Kubernetes; nothing of ours stays: plugin, rules, routes, sets, files, annotations. It is an
//! agent that wishes for no pods, so nodes let go of them first, and nothing that was captured goes on in plaintext. Every part is
//! tried, and what could not be done is said at the end; it can be run again. An agent that runs at the same time would put it all
//! back, so there must be none.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use culvert_kubernetes::Pace;
use culvert_process::exit::{Chain, Failure};
use culvert_process::signal::Stop;
use culvert_sys::netns::Netns;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::info;

use crate::agent::{Agent, Machine};
use crate::args::Args;
use crate::board::{Board, State, Status};
use crate::cluster::{PodView, View, Why, Wish};
use crate::enrolment::Exit;
use crate::handed::Handed;
use crate::kubernetes::report::clear_claims;
use crate::kubernetes::settings::{self, Settings};
use crate::kubernetes::source::Source;
use crate::namespaces::{Kubelet, Namespaces};
use crate::pod::{Capture, PodSpec, Uid, Wishes};
use crate::{host_probes, leftovers, pods_file};

mod files;

/// How long the API server may take to say which pods there are, and to take their annotations off.
const ANSWER: Duration = Duration::from_secs(30);

/// The same, when it has not answered so far.
const LAST_CHANCE: Duration = Duration::from_secs(2);

/// How long nodes and pods may take. Connections that go on in a pod hold it up.
const PODS: Duration = Duration::from_secs(60);

/// What is still there.
#[derive(Debug)]
struct Left(Vec<String>);

impl std::error::Error for Left {}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "not everything could be taken back; run it again when that is mended: {}",
            self.0.join("; ")
        )
    }
}

impl Left {
    fn note<E: std::error::Error>(&mut self, result: Result<(), E>) {
        self.0.extend(result.err().map(|error| Chain(&error).to_string()));
    }

    fn done(self) -> Result<(), Failure> {
        if self.0.is_empty() {
            info!("nothing is left on this node");
            Ok(())
        } else {
            Err(Failure::runtime(self))
        }
    }
}

/// Takes back what an agent with this file has put into its pods.
pub(crate) async fn of_file(args: &Args, file: &Path, machine: Machine, stop: Stop) -> Result<(), Failure> {
    let text = std::fs::read_to_string(file).map_err(Failure::runtime)?;
    let wishes = pods_file::parse(file, &text, &Arc::new(Capture::default())).map_err(Failure::runtime)?;
    let (agent, _) = Agent::open(args, machine, Kubelet::Here)?;
    let mut namespaces = Namespaces::new(args.proc.clone(), Handed::default());
    let found = namespaces.survey(&wishes.pods, &BTreeMap::new());
    let held = found.into_iter().filter_map(|wanted| Some((wanted.spec, wanted.found.ok()?)));
    let mut left = Left(Vec::new());
    left.0.extend(empty(agent, held.collect(), stop).await);
    left.done()
}

/// Takes back all that an agent of Kubernetes has put on this node.
pub(crate) async fn in_cluster(args: &Args, machine: Machine, stop: Stop) -> Result<(), Failure> {
    let settings = Settings::read(&args.kubernetes, args.probes).map_err(Failure::usage)?;
    let client = settings::connect(&settings).await.map_err(Failure::runtime)?;
    let (iptables, host) =
        (machine.iptables.clone(), machine.host.clone().with_kubelet(Kubelet::FirstProcess));
    let (agent, _) = Agent::open(args, machine, Kubelet::FirstProcess)?;
    let mut left = Left(Vec::new());

    // First what would put new pods into the mesh.
    if let Some(install) = args.install.settings(&args.api.cni_socket, None, settings.excluded().clone()) {
        left.0.extend(crate::install::remove(&install).iter().map(|error| Chain(error).to_string()));
    }
    left.note(files::remove_roster(&args.install.state_file()));
    let (publish, mut views) = watch::channel(None);
    let source = tokio::spawn(Source::new(client.clone(), &settings, Pace::default()).run(publish));
    // A copy: nobody could publish while the view is borrowed.
    let view = timeout(ANSWER, views.wait_for(Option::is_some)).await;
    let view = view.ok().and_then(Result::ok).and_then(|view| view.clone());
    // Before the pods are let go of: others would send tunnels to nobody.
    let within = if view.is_some() { ANSWER } else { LAST_CHANCE };
    left.note(clear_claims(&client, settings.node(), within).await.map(drop));
    if let Some(view) = view {
        let leftovers = leftovers::in_all_pods(&view, &args.proc, iptables.clone()).await;
        left.0.extend(empty(agent, leftovers.found, stop).await);
        left.0.extend(unseen(&leftovers.unseen, views.borrow().as_deref()));
    } else {
        // With its socket.
        drop(agent);
        left.0.push(format!(
            "the API server did not say within {} s which pods there are, so what is in them stays",
            ANSWER.as_secs()
        ));
    }
    source.abort();
    // Without the tools nobody can have put anything there.
    if let Ok(rules) = host_probes::open(&iptables, &host, &args.proc) {
        left.note(host_probes::remove(&rules));
    }
    left.note(files::remove_socket(&args.api.cni_socket));
    for path in [&args.socket, &args.api.cni_socket, &args.install.state_file()] {
        left.note(files::remove_directory_of(path));
    }
    left.done()
}

/// Has the pods let go of, rules and all. Gives what is left.
async fn empty(agent: Agent, pods: Vec<(PodSpec, Arc<Netns>)>, mut stop: Stop) -> Vec<String> {
    let boards = agent.boards.clone();
    info!(pods = pods.len(), "taking the rules out of pods");
    let (_wish, wishes) = watch::channel(Arc::new(Wishes::default()));
    let mut watched = boards.clone();
    let table = agent.table.clone();
    let exit = async {
        // The first board comes with the first table.
        let empty = |board: &Arc<Board>| table.borrow().is_some() && board.is_empty();
        tokio::select! {
            _ = timeout(PODS, watched.wait_for(empty)) => {}
            _ = stop.asked() => {}
        }
        Exit::LeaveRules
    };
    let result = agent.run(wishes, pods, exit).await;
    let mut left: Vec<String> = boards.borrow().values().map(|status| still_in(status)).collect();
    left.extend(result.err().map(said));
    left
}

fn said(failure: Failure) -> String {
    let (Failure::Runtime(error) | Failure::Usage(error)) = failure;
    Chain(error.as_ref()).to_string()
}

/// Pods in which nothing could be looked for, as far as they are still there.
fn unseen(pods: &[Uid], view: Option<&View>) -> Vec<String> {
    let there = pods.iter().filter_map(|uid| view?.pods.get(uid));
    let there = there.filter(|pod| pod.wish != Wish::Pass(Why::Finished));
    let say = |pod: &Arc<PodView>| {
        format!(
            "pod {} was said to be in the mesh, and no process of it could be found: what is in it stays; see that --proc is the \
             host's /proc and the agent has CAP_SYS_PTRACE",
            pod.workload
        )
    };
    there.map(say).collect()
}

fn still_in(status: &Status) -> String {
    let pod = &status.workload;
    match &status.state {
        State::Impaired { reason } | State::Quarantined { reason } => format!("pod {pod}: {reason}"),
        State::Awaited | State::Programming | State::Enrolled | State::Leaving => {
            format!(
                "pod {pod}: its rules are not out after {} s; end the connections that go on there",
                PODS.as_secs()
            )
        }
    }
}
