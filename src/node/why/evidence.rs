//! What is known of a connection, gathered at one moment.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use culvert_core::policy::{self, Denial, DryRun, Peer, Verdict};

use super::knock::{self, Knocked};
use crate::admin::Sources;
use crate::control_plane::status::State as Reachable;
use crate::ledger::sockets::{Socket, Sockets};
use crate::ledger::{Book, Direction, Facts, Record};
use crate::outcome::Failure;

/// What is known of a connection.
#[derive(Debug)]
pub(super) struct Evidence {
    pub(super) record: Arc<Record>,
    pub(super) facts: Facts,
    /// The pod it is of, `namespace/name`.
    pub(super) pod: String,
    /// The socket of this node's own pod, and the network's side.
    pub(super) near: Option<Socket>,
    pub(super) far: Option<Socket>,
    /// Since when the source of the mesh state has not answered, if that was so when the connection began.
    pub(super) stale: Option<Stale>,
    /// Why the policies of the destination, as this node knows them now, would not let it in.
    pub(super) denied_now: Option<Denial>,
    /// What policies that are only tried out would have done, as this node knows them now.
    pub(super) tried_out: Vec<String>,
    /// What the next hop, and the port that was wanted behind it, answer now. Only asked when nobody had answered.
    pub(super) knocked: Option<Knocked>,
    pub(super) now: Instant,
}

/// A control plane that was away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stale {
    /// How long before the connection began it was heard of last.
    pub(super) before: Duration,
    pub(super) error: String,
}

/// How long a control plane may be away before what it said is called old: a restart takes a few seconds.
const FRESH: Duration = Duration::from_secs(5);

/// Gathers what is known of a connection in the books. Takes a moment: it may ask the network.
pub(super) fn gather(sources: &Sources, book: &Book, record: &Arc<Record>, sockets: &Sockets) -> Evidence {
    let facts = record.facts().clone();
    let (near, far) = sockets.of(record, &facts);
    let now = Instant::now();
    let (denied_now, tried_out) = judge(sources, record, &facts).unwrap_or_default();
    Evidence {
        pod: format!("{}/{}", book.pod.namespace, book.pod.name),
        stale: stale(sources, now.saturating_duration_since(record.began)),
        knocked: knock_if_silent((book, sources.mark), record, &facts),
        denied_now,
        tried_out,
        record: Arc::clone(record),
        facts,
        near,
        far,
        now,
    }
}

/// Judges a connection as its destination would, by the policies this node knows now.
fn judge(sources: &Sources, record: &Record, facts: &Facts) -> Option<(Option<Denial>, Vec<String>)> {
    let workload = facts.to.workload.as_ref()?;
    let destination = match (record.direction, &facts.authority) {
        (Direction::Outbound, Some(authority)) => authority.parse().ok()?,
        (Direction::Outbound, None) => facts.destination,
        (Direction::Inbound, _) => facts.delivered.unwrap_or(record.dialled),
    };
    let source = SocketAddr::new(*facts.from.workload.as_ref()?.addresses.first()?, 0);
    let peer = Peer { identity: facts.from.identity.clone(), source, destination };
    let snapshot = sources.mesh.snapshot();
    let policies = snapshot.policies_for(workload);
    let verdict = policy::judge(&policies, &peer);
    let tried_out = policy::dry_run(&policies, &peer, &verdict).into_iter().map(would_have).collect();
    let Verdict::Deny(denial) = verdict else { return Some((None, tried_out)) };
    Some((Some(denial), tried_out))
}

/// What a policy would have done that is only tried out.
pub(super) fn would_have(finding: DryRun<'_>) -> String {
    match finding {
        DryRun::Deny(policy) => format!("{} would deny it, and is not enforced", policy.key),
        DryRun::Allow(policy) => format!("{} would allow it, and is not enforced", policy.key),
        DryRun::NoneAllowed => "with those that are not enforced, none would allow it".into(),
    }
}

/// Whether the mesh state was old when a connection began so long ago.
fn stale(sources: &Sources, ago: Duration) -> Option<Stale> {
    let began = SystemTime::now().checked_sub(ago)?;
    let services = sources.state.control_planes();
    let view = services.iter().find(|status| status.key() == "xds")?.view();
    let Reachable::Down(error) = view.state else { return None };
    let before = began.duration_since(view.since).ok()?;
    (before >= FRESH).then_some(Stale { before, error })
}

/// Asks those who have not answered, when that is why a connection failed: another port of the same host tells a firewall from a host
/// that is gone.
fn knock_if_silent((book, mark): (&Book, Option<u32>), record: &Record, facts: &Facts) -> Option<Knocked> {
    let silent = facts.failure().is_some_and(Failure::is_silence);
    if !silent || record.direction == Direction::Inbound {
        return None;
    }
    let wanted: Option<SocketAddr> = facts.authority.as_deref().and_then(|it| it.parse().ok());
    let behind = wanted.map_or(record.dialled.port(), |wanted| wanted.port());
    knock::at(book, mark, facts.destination, behind)
}

impl Evidence {
    /// Why it failed, if it has.
    pub(super) fn failure(&self) -> Option<&Failure> {
        self.facts.failure()
    }
}
