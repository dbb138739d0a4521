//! An agent whose wishes are Kubernetes': labels and annotations in, protected pods and word of them out.
//!
//! ```text
//!                     ┌─▶ wishes ─▶ enrolment ─▶ board ─┬─▶ annotations, events
//! API server ─▶ views ┤                 ▲               └─▶ api ◀─▶ CNI plugin
//!                     └─▶ roster (file) └──── handed ◀──────┘
//! ```

use std::sync::Arc;
use std::time::Duration;

use culvert_cni::AgentPods;
use culvert_kubernetes::{Client, Pace};
use culvert_process::exit::{Chain, Failure};
use culvert_process::signal::Stop;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::agent::{Agent, Machine};
use crate::args::Args;
use crate::cluster::{View, Views};
use crate::enrolment::Exit;
use crate::expectations::Expectations;
use crate::handed::Handed;
use crate::install::{self, Installation};
use crate::kubernetes;
use crate::kubernetes::report::{Reporter, Withdrawal};
use crate::kubernetes::settings::Settings;
use crate::kubernetes::source::Source;
use crate::namespaces::Kubelet;
use crate::pod::Desired;
use crate::server::Progress;
use crate::{api, complaints, host_probes, leftovers, roster};

/// How long what is still to be told may take at the end.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// A part of the agent that has ended although nobody asked it to; it is started anew with all the others.
#[derive(Debug, thiserror::Error)]
#[error("a part of the agent has ended by itself; see the log before this")]
struct Broken;

/// How long pods that shall be let go of are kept because their annotations cannot be taken back.
const TAKE_BACK: Duration = Duration::from_secs(5);

/// Runs until asked to stop.
pub(crate) async fn run(args: &Args, machine: Machine, mut stop: Stop) -> Result<(), Failure> {
    let settings = Settings::read(&args.kubernetes, args.probes).map_err(Failure::usage)?;
    let client = kubernetes::settings::connect(&settings).await.map_err(Failure::runtime)?;
    let iptables = machine.iptables.clone();
    let (agent, occurrences) = Agent::open(args, machine, Kubelet::FirstProcess)?;
    let socket = api::bind(&args.api.cni_socket).map_err(Failure::runtime)?;

    kubernetes::metered::describe();
    let mut tasks = JoinSet::new();
    let (publish, views) = watch::channel(None);
    let source = Source::new(client.clone(), &settings, Pace::default());
    let freshness = Some(source.freshness());
    tasks.spawn(source.run(publish));
    tasks.spawn(api::serve(socket, sources(&agent, &views, args, client.clone())));
    tasks.spawn(roster::keep(args.install.state_file(), views.clone()));
    let installation = install(args, &settings, &mut tasks);
    let has_plugin = installation.is_some();
    let progress =
        Progress { views: Some(views.clone()), freshness, table: agent.table.clone(), installation };
    agent.serve(&args.server, progress).await?;
    let probes =
        host_probes::prepare(args.probes, &iptables, agent.host(), &args.proc).map_err(Failure::runtime)?;
    if let Some(rules) = probes {
        tasks.spawn(host_probes::run(rules, agent.boards.clone()));
    }
    let reporter = Reporter::new(client, &settings, Pace::default());
    let withdrawal = reporter.withdrawal();
    let told = reporter.run(views.clone(), agent.boards.clone(), occurrences);
    let mut reporting = tokio::spawn(told);

    let first = first(views.clone(), &mut stop).await.map_err(Failure::runtime)?;
    let Some(view) = first else { return Ok(()) };
    let adopted = leftovers::to_adopt(&view, &args.proc, iptables).await;
    let mut expectations = Expectations::new(has_plugin);
    let (wish, wishes) = watch::channel(expectations.wishes(&view));
    tasks.spawn(complaints::tell(views.clone(), agent.telling()));
    tasks.spawn(pass_on(views, wish, (expectations, agent.handed())));
    let mut broken = false;
    let exit = async {
        tokio::select! {
            signal = stop.asked() => info!(signal, release = args.release_on_exit, "stopping"),
            // None of them ends before the enrolment does.
            Some(_) = tasks.join_next() => {
                broken = true;
                return Exit::LeaveRules;
            }
            _ = &mut reporting => {
                broken = true;
                return Exit::LeaveRules;
            }
        }
        if args.release_on_exit { release(&withdrawal).await } else { Exit::LeaveRules }
    };
    let result = agent.run(wishes, adopted, exit).await;
    tasks.shutdown().await;
    // With views, boards and occurrences the reasons to report have ended.
    if !reporting.is_finished() {
        let _ = tokio::time::timeout(LAST_WORDS, reporting).await;
    }
    if broken { result.and(Err(Failure::runtime(Broken))) } else { result }
}

/// Peers must not send tunnels to pods that are let go of, so they are told first.
async fn release(withdrawal: &Withdrawal) -> Exit {
    match withdrawal.take_back(TAKE_BACK).await {
        Ok(pods) => info!(pods, "their annotations are taken back, and they are let go of"),
        Err(error) => {
            let error = Chain(&error);
            warn!(%error, "pods are let go of that may still be believed to be in the mesh");
        }
    }
    Exit::RemoveRules
}

fn sources(agent: &Agent, views: &Views, args: &Args, client: Client) -> api::Sources {
    api::Sources {
        views: views.clone(),
        registry: Arc::new(kubernetes::ApiServer::new(client)),
        boards: agent.boards.clone(),
        handed: agent.handed(),
        host: agent.host().clone(),
        host_prefix: args.api.host_netns_prefix.clone().unwrap_or_default(),
        patience: api::Patience::default(),
    }
}

/// Starts to install the plugin, if that is asked for.
fn install(
    args: &Args,
    settings: &Settings,
    tasks: &mut JoinSet<()>,
) -> Option<watch::Receiver<Installation>> {
    let names = args.pod_namespace.as_deref().zip(args.pod_name.as_deref());
    let own = names.and_then(|(namespace, name)| AgentPods::like(namespace, name));
    let settings = args.install.settings(&args.api.cni_socket, own, settings.excluded().clone())?;
    let (tell, installation) = watch::channel(Installation::begun());
    tasks.spawn(install::run(settings, tell));
    Some(installation)
}

/// The first complete view; none when asked to stop before.
async fn first(mut views: Views, stop: &mut Stop) -> Result<Option<Arc<View>>, Broken> {
    tokio::select! {
        view = views.wait_for(Option::is_some) => view.map(|view| view.clone()).map_err(|_| Broken),
        signal = stop.asked() => {
            info!(signal, "stopping before anything was known of the cluster");
            Ok(None)
        }
    }
}

/// Makes wishes of views for as long as there are both.
async fn pass_on(
    mut views: Views,
    wish: watch::Sender<Desired>,
    (mut expectations, handed): (Expectations, Handed),
) {
    while views.changed().await.is_ok() {
        let Some(view) = views.borrow_and_update().clone() else { continue };
        // Nothing waits in between: whoever hands over a pod has seen it in a view.
        handed.retain(|uid| view.pods.contains_key(uid));
        let wishes = expectations.wishes(&view);
        wish.send_if_modified(|current| {
            let changed = *current != wishes;
            *current = wishes;
            changed
        });
    }
}
