//! The node's own rules for kubelet's probes, kept equal to the pods that are captured: the scheme that works with any node program.
//!
//! In go boards, out come a set of addresses and a rule in the network namespace kubelet is in. Where the node program recognises
//! probes itself, there are none, and those of an agent that was here before go.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use culvert_process::exit::Chain;
use culvert_sys::netns::Netns;
use ebpf_free_iptables::{Disguise, HostError, HostProbes, HostRemoveError, Iptables, ProbedPods, Search};
use metrics::counter;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, warn};

use crate::board::{Board, Boards, State};
use crate::namespaces::Host;
use crate::probes::{Probing, kubelet};

/// Time between two looks at what nobody has changed on purpose.
const VERIFY_EVERY: Duration = Duration::from_secs(5);

/// The rules cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Tools(#[from] ebpf_free_iptables::Error),
    #[error("probes cannot be told apart by their source (--probes snat)")]
    Host(#[from] HostError),
}

/// The rules, and where they are.
#[derive(Clone)]
pub(crate) struct Rules {
    probes: Arc<HostProbes>,
    host: Arc<Netns>,
}

/// What to keep in place: nothing where nodes recognise probes by themselves.
pub(crate) fn prepare(
    probing: Probing,
    iptables: &Iptables,
    host: &Host,
    proc: &Path,
) -> Result<Option<Rules>, Error> {
    let rules = open(iptables, host, proc);
    match probing {
        Probing::Snat => rules.map(Some),
        Probing::Node => {
            // Without the tools nobody can have put anything there.
            if let Ok(rules) = rules
                && let Err(error) = remove(&rules)
            {
                warn!(error = %Chain(&error), "the node's rules for probes, of an agent before, cannot be removed");
            }
            Ok(None)
        }
    }
}

/// The rules of the node's own namespace.
pub(crate) fn open(iptables: &Iptables, host: &Host, proc: &Path) -> Result<Rules, Error> {
    let user = kubelet::user(proc, host.kubelet());
    let disguise = Disguise { user, ..Disguise::default() };
    let probes = HostProbes::new(iptables.clone(), &Search::from_environment()?, disguise)?;
    Ok(Rules { probes: Arc::new(probes), host: Arc::clone(host.kubelet()) })
}

/// Leaves nothing of them.
pub(crate) fn remove(rules: &Rules) -> Result<(), HostRemoveError> {
    rules.probes.remove(&rules.host)
}

/// Keeps the rules as the boards say, for as long as there are any.
pub(crate) async fn run(rules: Rules, mut boards: Boards) {
    let mut ticks = interval(VERIFY_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known = None;
    loop {
        tokio::select! {
            changed = boards.changed() => if changed.is_err() { return },
            _ = ticks.tick() => {}
        }
        let pods = probed(&boards.borrow_and_update());
        // A board changes for many reasons.
        let unchanged = known.as_ref() == Some(&pods);
        keep(&rules, pods.clone(), unchanged).await;
        known = Some(pods);
    }
}

/// The pods whose rules let the probes pass.
fn probed(board: &Board) -> ProbedPods {
    let captured = board.iter().filter(|(_, status)| match status.state {
        State::Enrolled | State::Impaired { .. } => true,
        State::Awaited | State::Programming | State::Quarantined { .. } | State::Leaving => false,
    });
    captured
        .flat_map(|(uid, status)| status.addresses.iter().map(move |ip| (*ip, uid.as_str().to_owned())))
        .collect()
}

async fn keep(rules: &Rules, pods: ProbedPods, unchanged: bool) {
    let rules = rules.clone();
    let work = tokio::task::spawn_blocking(move || {
        let drift = if unchanged { rules.probes.verify(&rules.host, &pods)? } else { Vec::new() };
        if unchanged && drift.is_empty() {
            return Ok(drift);
        }
        rules.probes.apply(&rules.host, &pods).map(|_| drift)
    });
    match work.await.expect("the work does not panic and is not cancelled") {
        Ok(drift) if drift.is_empty() => {}
        Ok(drift) => {
            counter!("culvert_agent_host_drift_repaired_total").increment(1);
            warn!(drift = drift.join("; "), "the node's rules for probes had drifted and were repaired");
        }
        Err(failure) => {
            counter!("culvert_agent_host_failures_total").increment(1);
            let failure: HostError = failure;
            error!(error = %Chain(&failure), "kubelet's probes may fail: the node's rules for them cannot be kept");
        }
    }
}
