//! Names and labels of the traffic metrics: `istio_tcp_*` with the labels dashboards expect, `unknown` for what is
//! not known.

use std::sync::Arc;

use culvert_core::refusal::Flag;
use culvert_core::workload::Workload;
use metrics::Label;

use super::dry_run::COUNTED as COUNTED_DRY_RUNS;
use super::names::Names;
use crate::ledger::{Direction, Facts, Party};

const UNKNOWN: &str = "unknown";

/// Describes the families this node exports, once at start.
pub(crate) fn describe() {
    metrics::describe_counter!("istio_tcp_connections_opened_total", "Connections opened.");
    metrics::describe_counter!("istio_tcp_connections_closed_total", "Connections closed.");
    metrics::describe_counter!(
        "istio_tcp_connections_failed_total",
        "Connections that could not be made (unstable)."
    );
    metrics::describe_counter!("istio_tcp_received_bytes_total", "Bytes from client to server.");
    metrics::describe_counter!("istio_tcp_sent_bytes_total", "Bytes from server to client.");
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
        "Peers turned away and tunnels torn down because of a certificate revocation list."
    );
    metrics::describe_gauge!(
        "culvert_crl_valid",
        "Whether the revocation lists in force are those of CRL_PATH: 0 when the file is missing or not valid."
    );
}

/// What a peer says of its workload, which nobody can verify.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hearsay {
    pub(super) counts: bool,
}

/// Workloads only their peers have told of.
static TOLD: Names = Names::new();

pub(super) fn traffic(direction: Direction, facts: &Facts, flag: Flag, hearsay: Hearsay) -> Vec<Label> {
    let reporter = match direction {
        Direction::Outbound => "source",
        Direction::Inbound => "destination",
    };
    let mut labels = vec![Label::from_static_parts("reporter", reporter)];
    labels.extend(party(&facts.from, hearsay, &SOURCE));
    labels.extend(service(facts));
    labels.extend(party(&facts.to, hearsay, &DESTINATION));
    let security = if facts.is_tunnelled() { "mutual_tls" } else { UNKNOWN };
    labels.extend([
        Label::from_static_parts("request_protocol", "tcp"),
        Label::from_static_parts("response_flags", flag.as_str()),
        Label::from_static_parts("connection_security_policy", security),
    ]);
    labels
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

fn party(party: &Party, hearsay: Hearsay, names: &[&'static str; 8]) -> Vec<Label> {
    let principal = party.identity.as_ref().map(ToString::to_string);
    let named = |it: &&Arc<Workload>| !is_hearsay(it) || hearsay.counts && TOLD.include(&told(it));
    let values: [Option<Arc<str>>; 8] = match party.workload.as_ref().filter(named) {
        None => [None, None, None, None, principal.map(Arc::from), None, None, None],
        Some(workload) => [
            Some(Arc::clone(&workload.workload_name)),
            Some(Arc::clone(&workload.canonical_name)),
            Some(Arc::clone(&workload.canonical_revision)),
            Some(Arc::clone(&workload.namespace)),
            principal.map(Arc::from),
            Some(Arc::clone(&workload.canonical_name)),
            Some(Arc::clone(&workload.canonical_revision)),
            Some(Arc::clone(&workload.cluster_id)),
        ],
    };
    names.iter().zip(values).map(|(name, value)| label(name, value)).collect()
}

/// Whether only a peer has told of a workload: those of the mesh have a uid.
fn is_hearsay(workload: &Workload) -> bool {
    workload.uid.is_empty()
}

/// What labels say of a workload, as one name: no two workloads have the same, because no line breaks are in what peers say.
fn told(it: &Workload) -> String {
    [&it.cluster_id, &it.namespace, &it.workload_name, &it.canonical_name, &it.canonical_revision]
        .map(|it| &**it)
        .join("\n")
}

fn service(facts: &Facts) -> [Label; 3] {
    let service = facts.service.as_ref();
    [
        label("destination_service", service.map(|service| Arc::clone(&service.hostname))),
        label("destination_service_namespace", service.map(|service| Arc::clone(&service.namespace))),
        label("destination_service_name", service.map(|service| Arc::clone(&service.name))),
    ]
}

fn label(name: &'static str, value: Option<Arc<str>>) -> Label {
    match value.filter(|value| !value.is_empty()) {
        Some(value) => Label::new(name, value),
        None => Label::from_static_parts(name, UNKNOWN),
    }
}

#[cfg(test)]
mod tests {
    use culvert_core::hbone::Baggage;

    use super::*;

    fn labels(name: &str, counts: bool) -> Vec<Label> {
        let told = Baggage { canonical_name: name.into(), cluster: "c".into(), ..Baggage::default() };
        let party = Party { workload: Some(told.workload().into()), ..Party::default() };
        super::party(&party, Hearsay { counts }, &SOURCE)
    }

    fn value(labels: &[Label], name: &str) -> String {
        labels.iter().find(|label| label.key() == name).unwrap().value().to_owned()
    }

    #[test]
    fn what_peers_say_of_themselves_makes_only_so_many_series_and_none_before_they_are_let_in() {
        assert_eq!(value(&labels("refused", false), "source_app"), UNKNOWN);
        assert_eq!(value(&labels("shop", true), "source_app"), "shop");
        let all: std::collections::BTreeSet<String> =
            (0..5000).map(|nth| value(&labels(&format!("shop {nth}"), true), "source_app")).collect();
        assert!(all.len() <= 1001 && all.contains(UNKNOWN), "{} names", all.len());
        assert_eq!(value(&labels("shop", true), "source_app"), "shop", "who has a name keeps it");
        let name = |names: [&str; 2]| {
            let [namespace, canonical_name] = names.map(str::to_owned);
            told(&Baggage { namespace, canonical_name, ..Baggage::default() }.workload())
        };
        assert_ne!(name(["a/b", "c"]), name(["a", "b/c"]));
        assert_ne!(name(["a", ""]), name(["", "a"]));
    }
}
