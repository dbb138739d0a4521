//! One account of each query: counted, and logged at the end.

use std::sync::Arc;
use std::time::Instant;

use culvert_core::workload::Workload;
use hickory_proto::rr::RecordType;
use metrics::Label;

use super::message::Transport;

const REQUESTS: &str = "istio_dns_requests_total";
const UPSTREAM_REQUESTS: &str = "istio_dns_upstream_requests_total";
const UPSTREAM_FAILURES: &str = "istio_dns_upstream_failures_total";
/// How long others take.
pub(super) const UPSTREAM_DURATION: &str = "istio_dns_upstream_request_duration_seconds";
const CACHE_HITS: &str = "culvert_dns_cache_hits_total";
const DEMANDS: &str = "culvert_dns_demands_total";
const ON_DEMAND: &str = "istio_on_demand_dns_total";
const UNKNOWN: &str = "unknown";

/// Describes the metrics, once at start.
pub(super) fn describe() {
    metrics::describe_counter!(REQUESTS, "DNS queries of pods (unstable).");
    metrics::describe_counter!(UPSTREAM_REQUESTS, "DNS queries other servers were asked (unstable).");
    metrics::describe_counter!(
        UPSTREAM_FAILURES,
        "DNS queries no other server answered, or said that it could not answer (unstable)."
    );
    metrics::describe_histogram!(
        UPSTREAM_DURATION,
        metrics::Unit::Seconds,
        "How long other DNS servers took (unstable)."
    );
    metrics::describe_counter!(
        ON_DEMAND,
        "Hosts looked up for connections to workloads without an address (unstable)."
    );
    metrics::describe_counter!(
        DEMANDS,
        "DNS queries that had the control plane asked for names the node does not know (unstable)."
    );
    metrics::describe_counter!(CACHE_HITS, "DNS queries answered with what others said before (unstable).");
}

/// How a query ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The mesh answered, with this many records.
    Answered(usize),
    /// The name is ours and has no such record.
    NoRecords,
    /// The name is ours, and names of ours have no records of this type.
    NoSuchType,
    /// Others answered.
    Forwarded,
    /// Others answered, before.
    Cached,
    /// Nobody answered.
    Failed(String),
    /// It was not in order.
    Refused(&'static str),
}

/// The account of one query. Given when it is ended.
#[derive(Debug)]
pub(super) struct Account {
    source: Option<Arc<Workload>>,
    kind: String,
    name: String,
    labels: Vec<Label>,
}

impl Account {
    /// Begins the account of a query for a record of a name.
    pub(super) fn begin(
        source: Option<Arc<Workload>>,
        transport: Transport,
        kind: Option<RecordType>,
        name: String,
    ) -> Self {
        let kind = kind.map_or_else(|| UNKNOWN.to_owned(), kind_label);
        let of = source.as_ref();
        let labels = vec![
            Label::new("request_query_type", kind.clone()),
            Label::from_static_parts("request_protocol", transport.as_str()),
            label("source_canonical_service", of.map(|it| &it.canonical_name)),
            label("source_canonical_revision", of.map(|it| &it.canonical_revision)),
        ];
        metrics::counter!(REQUESTS, labels.clone()).increment(1);
        Self { source, kind, name, labels }
    }

    /// Says that others are asked.
    pub(super) fn asked(&self) -> Instant {
        metrics::counter!(UPSTREAM_REQUESTS, self.labels.clone()).increment(1);
        Instant::now()
    }

    /// Says that others have answered, or not, and whether they could say something about the question.
    pub(super) fn settled(&self, since: Instant, well: bool) {
        metrics::histogram!(UPSTREAM_DURATION, self.labels.clone()).record(since.elapsed());
        if !well {
            metrics::counter!(UPSTREAM_FAILURES, self.labels.clone()).increment(1);
        }
    }

    /// Ends it.
    pub(super) fn end(self, outcome: &Outcome) {
        if matches!(outcome, Outcome::Cached) {
            metrics::counter!(CACHE_HITS, self.labels.clone()).increment(1);
        }
        let endpoints = match outcome {
            Outcome::Answered(count) => Some(*count),
            Outcome::NoRecords | Outcome::NoSuchType => Some(0),
            Outcome::Forwarded | Outcome::Cached | Outcome::Failed(_) | Outcome::Refused(_) => None,
        };
        let source = self.source.as_ref();
        tracing::event!(target: "dns", tracing::Level::DEBUG, {
            src.workload = source.map_or(UNKNOWN, |workload| workload.name()),
            src.namespace = source.map_or(UNKNOWN, |workload| &workload.namespace),
            query = self.kind,
            domain = self.name,
            result = outcome.to_string(),
            endpoints,
        });
    }
}

/// What came of asking the control plane for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Demanded {
    /// It said what there is, if anything.
    Answered,
    /// It said nothing in time.
    TimedOut,
    /// It said nothing to others lately, so nobody waited.
    NotWaited,
    /// The pod has asked for too many.
    TooMany,
}

/// Counts that a query had the control plane asked, or would have.
pub(super) fn demanded(what: Demanded) {
    let result = match what {
        Demanded::Answered => "answered",
        Demanded::TimedOut => "timed_out",
        Demanded::NotWaited => "not_waited",
        Demanded::TooMany => "too_many",
    };
    metrics::counter!(DEMANDS, "result" => result).increment(1);
}

/// Counts that a connection of a pod needs the addresses of a host.
pub(super) fn on_demand(source: Option<&Arc<Workload>>, hostname: &str) {
    let principal = source.and_then(|it| it.identity().ok()).map(|id| Arc::from(id.to_string()));
    let labels = vec![
        label("source_workload", source.map(|it| &it.workload_name)),
        label("source_canonical_service", source.map(|it| &it.canonical_name)),
        label("source_canonical_revision", source.map(|it| &it.canonical_revision)),
        label("source_workload_namespace", source.map(|it| &it.namespace)),
        label("source_principal", principal.as_ref()),
        label("source_app", source.map(|it| &it.canonical_name)),
        label("source_version", source.map(|it| &it.canonical_revision)),
        label("source_cluster", source.map(|it| &it.cluster_id)),
        Label::new("hostname", hostname.to_owned()),
    ];
    metrics::counter!(ON_DEMAND, labels).increment(1);
}

fn label(name: &'static str, value: Option<&Arc<str>>) -> Label {
    match value.filter(|value| !value.is_empty()) {
        Some(value) => Label::new(name, Arc::clone(value)),
        None => Label::from_static_parts(name, UNKNOWN),
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answered(_) => f.write_str("success"),
            Self::NoRecords => f.write_str("no records"),
            Self::NoSuchType => f.write_str("service does not support this record type"),
            Self::Forwarded => f.write_str("forwarded"),
            Self::Cached => f.write_str("forwarded (cached)"),
            Self::Failed(why) => write!(f, "forwarding failed ({why})"),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

/// Numbers without a name are one label: a client could ask for all of them.
fn kind_label(kind: RecordType) -> String {
    if let RecordType::Unknown(_) = kind { UNKNOWN.to_owned() } else { kind.to_string().to_ascii_lowercase() }
}

#[cfg(test)]
mod tests {
    use culvert_metrics::{Metrics, Settings};

    use super::*;

    #[test]
    fn each_use_of_a_host_is_counted_for_its_workload() {
        let metrics = Metrics::new(Settings::default());
        let client = "workloads: [{uid: c, name: c, namespace: ns1, serviceAccount: sa, workloadIps: [], workloadName: web, canonicalName: shop}]";
        let mesh = crate::mesh::tests::fixed(client).unwrap();
        let snapshot = mesh.snapshot();
        metrics::with_local_recorder(&metrics, || {
            for source in [snapshot.local_workload("ns1", "c", "sa"), None, None] {
                on_demand(source, "counted.example");
            }
        });
        let text = metrics.text();
        let known = "{source_workload=\"web\",source_canonical_service=\"shop\",source_canonical_revision=\"unknown\",\
            source_workload_namespace=\"ns1\",source_principal=\"spiffe://cluster.local/ns/ns1/sa/sa\",source_app=\"shop\",\
            source_version=\"unknown\",source_cluster=\"Kubernetes\",hostname=\"counted.example\"} 1";
        assert!(text.contains(&format!("{ON_DEMAND}{known}")), "{text}");
        assert!(text.contains("source_cluster=\"unknown\",hostname=\"counted.example\"} 2"), "{text}");
    }

    #[test]
    fn kinds_without_a_name_share_a_label() {
        for (number, label) in
            [(1, "a"), (28, "aaaa"), (65, "https"), (255, "any"), (65_280, "unknown"), (65_281, "unknown")]
        {
            assert_eq!(kind_label(RecordType::from(number)), label);
        }
    }
}
