//! Names and labels of the traffic metrics: `istio_tcp_*` with the labels dashboards expect, `unknown` for what is
//! not known.
//!
//! Where the mesh knows a workload, all its labels are the mesh's; what a peer says of itself is shown where the mesh knows
//! nothing, and for so many only.

use std::sync::{LazyLock, OnceLock};

use culvert_core::refusal::Flag;
use culvert_core::workload::Workload;
use culvert_metrics::{Counters, Group, Metrics};

use super::dry_run::COUNTED as COUNTED_DRY_RUNS;
use crate::ledger::{Direction, Facts, Party};

pub(super) const UNKNOWN: &str = "unknown";

/// The counters of connections with the same labels, by their places in [`FAMILIES`].
pub(super) const OPENED: usize = 0;
pub(super) const CLOSED: usize = 1;
pub(super) const FAILED: usize = 2;
pub(super) const RECEIVED: usize = 3;
pub(super) const SENT: usize = 4;

const FAMILIES: &[&str] = &[
    "istio_tcp_connections_opened_total",
    "istio_tcp_connections_closed_total",
    "istio_tcp_connections_failed_total",
    "istio_tcp_received_bytes_total",
    "istio_tcp_sent_bytes_total",
];

/// One look-up for each connection finds all of its counters.
static TRAFFIC: LazyLock<Group> = LazyLock::new(|| Group::new(FAMILIES));

static LABELS: OnceLock<Labels> = OnceLock::new();

/// How much the metrics tell of the ends of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Labels {
    #[default]
    Full,
    /// No workloads, only what they are of: the labels stay, so that what groups by them goes on.
    Service,
    /// Namespaces, services, and how it went.
    Minimal,
}

impl Labels {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "full" => Ok(Self::Full),
            "service" => Ok(Self::Service),
            "minimal" => Ok(Self::Minimal),
            _ => Err("use `full`, `service` or `minimal`".into()),
        }
    }

    /// What is shown of a label; `None`: not even its name.
    fn show<'l>(self, (name, value): (&'static str, &'l str)) -> Option<(&'static str, &'l str)> {
        match self {
            Self::Full => Some((name, value)),
            Self::Service if is_place(name) => None,
            Self::Service if OF_WORKLOADS.contains(&name) => Some((name, UNKNOWN)),
            Self::Service => Some((name, value)),
            Self::Minimal => MINIMAL.contains(&name).then_some((name, value)),
        }
    }
}

/// Shows the counters of connections, from now on with these labels.
pub(crate) fn show(metrics: &Metrics, labels: Labels) {
    let _ = LABELS.set(labels);
    metrics.include(&TRAFFIC);
}

/// Describes the families this node exports, once at start.
pub(crate) fn describe() {
    let texts = [
        "Connections opened.",
        "Connections closed.",
        "Connections that could not be made (unstable).",
        "Bytes from client to server.",
        "Bytes from server to client.",
    ];
    for (name, text) in FAMILIES.iter().zip(texts) {
        metrics::describe_counter!(*name, text);
    }
    metrics::describe_counter!(
        "culvert_connections_ended_early_total",
        "Connections refused, denied, broken or drained, by reason (unstable)."
    );
    metrics::describe_counter!(
        super::PROBES,
        "Kubelet's probes, let in whatever the policies say, by what became of them (unstable)."
    );
    metrics::describe_counter!(
        COUNTED_DRY_RUNS,
        "What dry-run policies would have done, once for each connection and set of policies it lived under (unstable)."
    );
    metrics::describe_counter!(
        "istio_crl_policy_rejections_total",
        "Peers turned away and tunnels torn down because of a certificate revocation list (unstable)."
    );
    metrics::describe_gauge!(
        "culvert_crl_valid",
        "Whether the revocation lists in force are those of CRL_PATH: 0 when the file is missing or not valid (unstable)."
    );
    super::access::describe();
}

/// What a peer says of its workload, which nobody can verify.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hearsay {
    pub(super) counts: bool,
}

/// Finds the counters of a connection.
pub(super) fn counters(direction: Direction, facts: &Facts, flag: Flag, hearsay: Hearsay) -> Counters {
    let principals = [&facts.from, &facts.to].map(|party| party.identity.as_ref().map(ToString::to_string));
    let ends = |believed| {
        [End::of(&facts.from, &principals[0], believed), End::of(&facts.to, &principals[1], believed)]
    };
    let shown = LABELS.get().copied().unwrap_or_default();
    if hearsay.counts && [&facts.from, &facts.to].into_iter().any(is_hearsay) {
        let told = TRAFFIC.hearsay(&traffic((direction, flag), facts, &ends(true), shown));
        if let Some(counters) = told {
            return counters;
        }
    }
    TRAFFIC.counters(&traffic((direction, flag), facts, &ends(false), shown))
}

/// One end, as the labels tell of it.
#[derive(Debug, Clone, Copy)]
struct End<'f> {
    workload: Option<&'f Workload>,
    principal: Option<&'f str>,
}

impl<'f> End<'f> {
    /// Of what only a peer has told nothing is shown unless it is `believed`.
    fn of(party: &'f Party, principal: &'f Option<String>, believed: bool) -> Self {
        let workload = party.workload.as_deref().filter(|_| believed || !is_hearsay(party));
        Self { workload, principal: principal.as_deref() }
    }

    /// What [`SOURCE`] and [`DESTINATION`] name, in their order.
    fn values(self) -> [&'f str; 8] {
        let of = |part: fn(&'f Workload) -> &'f str| self.workload.map_or("", part);
        let (service, revision) = (of(|it| &it.canonical_name), of(|it| &it.canonical_revision));
        [
            of(|it| &it.workload_name),
            service,
            revision,
            of(|it| &it.namespace),
            self.principal.unwrap_or_default(),
            service,
            revision,
            of(|it| &it.cluster_id),
        ]
    }

    fn place(self) -> [&'f str; 2] {
        self.workload.map_or([""; 2], |it| [&it.place.locality.region, &it.place.locality.zone])
    }
}

const SOURCE: [&str; 8] = [
    "source_workload",
    "source_canonical_service",
    "source_canonical_revision",
    "source_workload_namespace",
    "source_principal",
    "source_app",
    "source_version",
    "source_cluster",
];

const SERVICE: [&str; 3] =
    ["destination_service", "destination_service_namespace", "destination_service_name"];

const DESTINATION: [&str; 8] = [
    "destination_workload",
    "destination_canonical_service",
    "destination_canonical_revision",
    "destination_workload_namespace",
    "destination_principal",
    "destination_app",
    "destination_version",
    "destination_cluster",
];

/// All of them, or none.
const PLACES: [&str; 4] = ["source_region", "source_zone", "destination_region", "destination_zone"];

/// Those that are another one for each workload and each version of it.
const OF_WORKLOADS: &[&str] = &[
    "source_workload",
    "source_canonical_revision",
    "source_version",
    "destination_workload",
    "destination_canonical_revision",
    "destination_version",
];

/// What is left when namespaces and services are all one wants to know.
const MINIMAL: &[&str] = &[
    "reporter",
    "source_workload_namespace",
    "source_canonical_service",
    "destination_service",
    "destination_service_namespace",
    "destination_service_name",
    "destination_canonical_service",
    "destination_workload_namespace",
    "response_flags",
    "connection_security_policy",
];

/// All labels of a connection, in order.
fn traffic<'f>(
    (direction, flag): (Direction, Flag),
    facts: &'f Facts,
    [from, to]: &[End<'f>; 2],
    shown: Labels,
) -> Vec<(&'static str, &'f str)> {
    let reporter = match direction {
        Direction::Outbound => "source",
        Direction::Inbound => "destination",
    };
    let service = facts.service.as_ref();
    let service = service.map_or([""; 3], |it| [&*it.hostname, &*it.namespace, &*it.name]);
    let security = if facts.is_tunnelled() { "mutual_tls" } else { UNKNOWN };
    let last = [
        ("request_protocol", "tcp"),
        ("response_flags", flag.as_str()),
        ("connection_security_policy", security),
    ];
    let ([from_region, from_zone], [to_region, to_zone]) = (from.place(), to.place());
    let places = [from_region, from_zone, to_region, to_zone];
    let is_placed = places.iter().any(|place| !place.is_empty());
    let mut labels = Vec::with_capacity(28);
    labels.push(("reporter", reporter));
    labels.extend(SOURCE.into_iter().zip(from.values()));
    labels.extend(SERVICE.into_iter().zip(service));
    labels.extend(DESTINATION.into_iter().zip(to.values()));
    labels.extend(last);
    labels.extend(PLACES.into_iter().zip(places).filter(|_| is_placed));
    let known =
        |(name, value): (&'static str, &'f str)| (name, if value.is_empty() { UNKNOWN } else { value });
    labels.into_iter().map(known).filter_map(|label| shown.show(label)).collect()
}

/// Whether only a peer has told of a workload: those of the mesh have a uid.
fn is_hearsay(party: &Party) -> bool {
    party.workload.as_ref().is_some_and(|workload| workload.uid.is_empty())
}

fn is_place(name: &str) -> bool {
    PLACES.contains(&name)
}

#[cfg(test)]
mod tests;
