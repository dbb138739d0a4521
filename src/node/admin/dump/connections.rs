//! Pods and their connections, as tools expect them in `/config_dump`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use super::stream::{Content, entry};
use crate::ledger::{Book, Direction, Facts, Record, Stage};
use crate::state::{PodState, State};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ConnectionView {
    src: SocketAddr,
    /// Outbound the address that was dialled; inbound the host the peer says its client called.
    original_dst: Option<String>,
    /// Outbound the next hop; inbound the address of the application.
    actual_dst: SocketAddr,
    protocol: &'static str,
    id: String,
}

/// Pods by uid, with the connections that are open.
pub(super) fn content(state: &State) -> Content {
    let books: HashMap<(String, String), Arc<Book>> = state
        .ledger()
        .books()
        .into_iter()
        .filter(|book| book.gone().is_none())
        .map(|book| ((book.pod.namespace.clone(), book.pod.name.clone()), book))
        .collect();
    let mut pods = state.pods();
    pods.sort_by(|one, other| one.uid.cmp(&other.uid));
    Content::Map(Box::new(pods.into_iter().map(move |PodState { uid, pod, state, .. }| {
        let book = books.get(&(pod.namespace.clone(), pod.name.clone()));
        let mut shown = json!({
            "state": state,
            "info": { "name": pod.name, "namespace": pod.namespace, "serviceAccount": pod.service_account },
        });
        if let Some(book) = book {
            shown["connections"] = connections(book);
        }
        entry(&uid, &shown)
    })))
}

fn connections(book: &Book) -> Value {
    let (mut inbound, mut outbound) = (Vec::new(), Vec::new());
    for record in book.live() {
        let facts = record.facts();
        if facts.stage == Stage::Open {
            let list = if record.direction == Direction::Inbound { &mut inbound } else { &mut outbound };
            list.push(shown(&record, &facts));
        }
    }
    json!({ "inbound": inbound, "outbound": outbound })
}

fn shown(record: &Record, facts: &Facts) -> ConnectionView {
    let (original_dst, actual_dst) = match record.direction {
        Direction::Outbound => (Some(record.dialled.to_string()), facts.destination),
        Direction::Inbound => {
            let host = facts.service.as_ref().map(|service| service.hostname.to_string());
            (host, facts.delivered.unwrap_or(facts.destination))
        }
    };
    let protocol = match (facts.is_tunnelled(), facts.nested) {
        (_, true) => "DOUBLEHBONE",
        (true, false) => "HBONE",
        (false, false) => "TCP",
    };
    ConnectionView { src: record.client, original_dst, actual_dst, protocol, id: record.id.to_string() }
}
