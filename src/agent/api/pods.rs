//! The pods of the node as the agent sees them, for people and their tools.
//!
//! In go the cluster's view and the enrolment's board, out comes one list. It says what is, not what shall be done.

use std::collections::BTreeSet;
use std::time::SystemTime;

use culvert_cni::message::excerpt;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::board::{Board, State, Status};
use crate::cluster::{PodView, View, Wish};
use crate::pod::{Capture, Uid, Workload};

/// One pod.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pod {
    uid: String,
    namespace: String,
    name: String,
    service_account: String,
    state: &'static str,
    reason: Option<String>,
    /// RFC 3339.
    since: Option<String>,
    netns: Option<String>,
    nodes: usize,
    repairs: u64,
    capture: Option<Captured>,
    complaints: Vec<String>,
}

/// What of its traffic is captured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Captured {
    dns: bool,
    inbound: bool,
    virtual_interfaces: Vec<String>,
    exclude_outbound_ports: BTreeSet<u16>,
    exclude_inbound_ports: BTreeSet<u16>,
    exclude_outbound_cidrs: Vec<String>,
    probe_ports: BTreeSet<u16>,
}

/// Lists all pods, by UID: those that are in the mesh, those that pass, and those on their way.
pub(super) fn list(view: Option<&View>, board: &Board) -> Vec<Pod> {
    let in_view = || view.into_iter().flat_map(|view| &view.pods);
    let uids: BTreeSet<&Uid> = in_view().map(|(uid, _)| uid).chain(board.keys()).collect();
    let pod = |uid: &Uid| view.and_then(|view| view.pods.get(uid)).map(AsRef::as_ref);
    uids.into_iter().filter_map(|uid| row(uid, pod(uid), board.get(uid).map(AsRef::as_ref))).collect()
}

fn row(uid: &Uid, pod: Option<&PodView>, status: Option<&Status>) -> Option<Pod> {
    let Workload { name, namespace, service_account } =
        status.map(|status| &status.workload).or(pod.map(|pod| &pod.workload))?;
    let wish = pod.map(|pod| &pod.wish);
    let (state, reason) = state(wish, status);
    let brief = |text: &String| excerpt(text).into_owned();
    let capture = match (status, wish) {
        (Some(status), _) => Some(&*status.capture),
        (None, Some(Wish::Enrol(capture))) => Some(&**capture),
        (None, Some(Wish::Pass(_)) | None) => None,
    };
    Some(Pod {
        uid: uid.to_string(),
        namespace: namespace.clone(),
        name: name.clone(),
        service_account: service_account.clone(),
        state,
        reason: reason.as_ref().map(brief),
        since: status.and_then(|status| rfc3339(status.since)),
        netns: status.and_then(|status| status.netns).map(|id| id.to_string()),
        nodes: status.map_or(0, |status| status.nodes),
        repairs: status.map_or(0, |status| status.repairs),
        capture: capture.map(captured),
        complaints: pod.map(|pod| pod.complaints.iter().map(brief).collect()).unwrap_or_default(),
    })
}

fn state(wish: Option<&Wish>, status: Option<&Status>) -> (&'static str, Option<String>) {
    let Some(status) = status else {
        return match wish {
            Some(Wish::Pass(why)) => ("passed", Some(why.says().to_owned())),
            Some(Wish::Enrol(_)) | None => ("awaited", None),
        };
    };
    match &status.state {
        State::Awaited => ("awaited", None),
        State::Programming => ("programming", None),
        State::Enrolled if status.nodes == 0 => ("enrolled", Some(unserved(status))),
        State::Enrolled => ("enrolled", None),
        State::Impaired { reason } => ("impaired", Some(reason.to_string())),
        State::Quarantined { reason } => ("quarantined", Some(reason.to_string())),
        State::Leaving => ("leaving", None),
    }
}

fn unserved(status: &Status) -> String {
    match &status.refusal {
        Some(refusal) => format!("the node refuses to serve it, so its connections are refused: {refusal}"),
        None => "no node serves it, so its connections are refused".to_owned(),
    }
}

fn captured(capture: &Capture) -> Captured {
    let rules = &capture.rules;
    Captured {
        dns: rules.dns,
        inbound: rules.inbound,
        virtual_interfaces: rules.virtual_interfaces.clone(),
        exclude_outbound_ports: rules.passed.outbound_ports.clone(),
        exclude_inbound_ports: rules.passed.inbound_ports.clone(),
        exclude_outbound_cidrs: rules.passed.outbound_networks.iter().map(ToString::to_string).collect(),
        probe_ports: capture.probe_ports.clone(),
    }
}

fn rfc3339(time: SystemTime) -> Option<String> {
    OffsetDateTime::from(time).format(&Rfc3339).ok()
}
