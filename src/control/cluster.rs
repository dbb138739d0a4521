//! The control plane of a Kubernetes cluster: what the files are elsewhere, the API server is here.
//!
//! ```text
//! API server ─▶ mesh: objects ─▶ derive ─▶ catalog ─▶ discovery          (every replica)
//!            ─▶ pods: who is on which node ─▶ residents ─▶ certificates  (every replica)
//!            ─▶ root: Secrets ─▶ what signs                              (every replica)
//!            ◀─ publish, status, addresses, rotation                     (the one that holds the lease)
//! ```

mod addresses;
mod answers;
mod api;
mod args;
mod contest;
mod due;
mod lease;
mod leaves;
mod mesh;
mod monitoring;
pub(crate) mod pods;
mod publish;
pub(crate) mod residents;
pub(crate) mod reviews;
mod root;
pub(crate) mod rotation;
mod secret;
mod status;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use culvert_kubernetes::{Asker, Client, Freshness, Pace, client};
use culvert_process::signal::Stop;
use culvert_serving::liveness::Liveness;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::live::Live;
use crate::root::Root;
use crate::root::leaves::Signed;
use crate::server::Farewell;
use crate::serving::{self, Failed, Served};
use addresses::Giver;
use lease::{Candidate, Terms};
use mesh::{Allotments, Mesh};
use monitoring::Progress;
use pods::Index;
use publish::Publisher;
use residents::{Limits, OfCluster};
use reviews::{Reviews, Timing};
use status::Statuses;

pub(crate) use args::ClusterArgs;

/// The lease of the replica that writes.
const LEASE: &str = "culvert-control";

/// On whose behalf the API server is asked.
const ASKER: Asker = Asker {
    name: "control plane",
    watch_restarts: "culvert_control_watch_restarts_total",
    api_errors: "culvert_control_api_errors_total",
    view_age: "culvert_control_view_age_seconds",
};

/// Serves until asked to stop.
pub(crate) async fn run(args: ClusterArgs) -> Result<(), Failed> {
    let membership = args.membership()?;
    let mut stop = Stop::listen()?;
    let metrics = monitoring::record()?;
    let client = client::connect(args.kubeconfig.as_deref()).await?;
    let (pace, freshness, mut background) = (Pace::default(), Freshness::default(), JoinSet::new());
    let (statuses, residents) = (Statuses::default(), Arc::new(Index::new(membership)));
    let mesh =
        Mesh::start(&client, args.settings(), (statuses.clone(), Arc::clone(&residents)), (pace, &freshness));
    let (published, mut missing, allotments) = (mesh.published(), mesh.missing(), mesh.allotments());
    let (has_root, leaves) = (watch::Sender::new(false), watch::Sender::new(false));
    let progress = Progress {
        missing: missing.clone(),
        has_root: has_root.subscribe(),
        leaves: leaves.subscribe(),
        freshness: freshness.clone(),
    };
    let liveness = Liveness::default();
    background.spawn(monitoring::serve(args.monitoring_port, metrics, (progress, liveness.clone()))?);
    background.spawn(freshness.clone().measured(ASKER));
    background.spawn(liveness.main("the mesh").beside(mesh.run()));
    // Whoever is served before everything is known would take what is missing for what is gone.
    let ready = async {
        let root = root::follow(&client, &args.namespace, pace, &freshness).await;
        has_root.send_replace(true);
        if missing.wait_for(|missing| missing.is_empty()).await.is_err() {
            // Who follows the mesh has ended, which is told below.
            std::future::pending::<()>().await;
        }
        root
    };
    let (root, follow_root) = tokio::select! {
        ready = ready => ready,
        ended = serving::gone(&mut background) => return Err(ended.into()),
        why = stop.asked() => {
            tracing::info!(why, "asked to end before the cluster was known");
            return Ok(());
        }
    };
    background.spawn(follow_root);
    let written = ToWrite { root: root.clone(), statuses, allotments };
    lead(&mut background, &client, &args, written, &freshness);
    let (signed, longest) = (Signed::default(), args.serving.lifetimes()?.longest());
    let noted = (root.clone(), signed.clone());
    background.spawn(leaves::keep(client.clone(), args.namespace.clone(), noted, longest, pace));
    let served = Served {
        callers: Arc::new(Reviews::new(client.clone(), reviewed_by(&args), residents.clone())),
        residents: Arc::new(OfCluster::new(client.clone(), &args.trust_domain, residents, Limits::default())),
        published,
        root,
        signed,
        farewell: Farewell { begun: leaves, lasts: args.lame_duck },
        background,
    };
    let (names, candidate) = (args.names(), candidate(&client, &args));
    let ended = serving::serve(served, args.serving.or_named(names), stop).await;
    candidate.give_back().await;
    ended
}

fn candidate(client: &Client, args: &ClusterArgs) -> Candidate {
    Candidate::new(client, &args.namespace, [LEASE, &args.pod], Terms::USUAL)
}

/// What one replica alone writes.
struct ToWrite {
    root: Live<Root>,
    statuses: Statuses,
    allotments: Allotments,
}

/// Starts what one replica alone does.
fn lead(
    background: &mut JoinSet<()>,
    client: &Client,
    args: &ClusterArgs,
    ToWrite { root, statuses, allotments }: ToWrite,
    freshness: &Freshness,
) {
    let (leads, namespace) = (watch::Sender::new(false), args.namespace.clone());
    let publisher =
        Publisher::start(client, &namespace, (root, leads.subscribe()), Pace::default(), freshness);
    background.spawn(publisher.run());
    background.spawn(status::write(client.clone(), statuses, leads.subscribe(), Pace::default()));
    if args.give_addresses {
        background.spawn(Giver::new(client, (allotments, leads.subscribe()), Pace::default()).run());
    }
    background.spawn(rotation::go_on(client.clone(), namespace, leads.subscribe()));
    background.spawn(candidate(client, args).run(leads));
}

fn reviewed_by(args: &ClusterArgs) -> reviews::Settings {
    reviews::Settings {
        audiences: args.token_audiences.clone(),
        trusted: args.node_accounts(),
        trust_domain: args.trust_domain.clone(),
        root_namespace: args.namespace.clone(),
        timing: Timing::default(),
    }
}
