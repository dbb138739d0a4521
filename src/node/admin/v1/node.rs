//! The node itself, and what it depends on.

use std::time::SystemTime;

use culvert_api::{Agent, ControlPlane, Node, Reachability};
use culvert_process::log;

use super::problem::Refusal;
use super::query::Query;
use super::{Sources, json, moment};
use crate::control_plane::status::{State as Reachable, Status, View};
use crate::ledger::Book;

/// `/v1/node`.
pub(super) fn node(sources: &Sources, _: &Query) -> Result<Vec<u8>, Refusal> {
    let state = &sources.shown.state;
    let pending = state.pending();
    let mesh = sources.shown.mesh.snapshot();
    let services = state.control_planes();
    let service = |key: &str| services.iter().find(|status| status.key() == key);
    let agent = state.agent().map(|agent| Agent {
        socket: agent.socket.display().to_string(),
        connected: agent.connected,
        since: Some(moment::text(agent.since)),
    });
    let books = state.ledger().books();
    let count = |count: usize| count as u64;
    Ok(json(&Node {
        name: mesh.local_node().map(str::to_owned),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        network: mesh.local_network().to_owned(),
        started: moment::text(sources.began.1),
        ready: pending.is_empty(),
        pending: pending.into_iter().map(str::to_owned).collect(),
        xds: control_plane(service("xds")),
        ca: control_plane(service("ca")),
        agent,
        workloads: count(mesh.workloads().len()),
        services: count(mesh.services().len()),
        policies: count(mesh.policies().len()),
        log_filter: log::filter().map(|filter| filter.current()).unwrap_or_default(),
        dropped_log_lines: log::dropped(),
        pods: count(state.pods().len()),
        open: books.iter().map(|book| count(Book::open(book))).sum(),
        tunnels: books.iter().map(|book| count(book.tunnels.open())).sum(),
    }))
}

/// Whether a service of the control plane answers.
fn control_plane(status: Option<&Status>) -> ControlPlane {
    let Some(status) = status else {
        let (since, last_update, error, version) = (None, None, None, None);
        return ControlPlane {
            address: None,
            state: Reachability::Unused,
            since,
            last_update,
            error,
            version,
        };
    };
    let View { state, since, version, updated } = status.view();
    let (state, error) = match state {
        Reachable::Unused => (Reachability::Unused, None),
        Reachable::Up => (Reachability::Up, None),
        Reachable::Down(why) => (Reachability::Down, Some(why)),
    };
    let text = |moment: SystemTime| moment::text(moment);
    ControlPlane {
        address: Some(status.address().to_owned()),
        state,
        since: Some(text(since)),
        last_update: updated.map(text),
        error,
        version: Some(version).filter(|version| !version.is_empty()),
    }
}
