//! Pods and their connections, as tools expect them in `/config_dump`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::stream::{Content, entry};
use crate::ledger::{Book, Direction, Facts, Record, Stage};
use crate::state::{PodState, State};
use serde::Serialize;

/// A pod. Its connections are written as they are: as values of JSON, thousands would take tens of megabytes.
#[derive(Debug, Serialize)]
struct PodView<'p> {
    #[serde(skip_serializing_if = "Option::is_none")]
    connections: Option<Connections>,
    info: InfoView<'p>,
    state: &'p str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct InfoView<'p> {
    name: &'p str,
    namespace: &'p str,
    service_account: &'p str,
}

#[derive(Debug, Default, Serialize)]
struct Connections {
    inbound: Vec<ConnectionView>,
    outbound: Vec<ConnectionView>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ConnectionView {
    /// Outbound the next hop; inbound the address of the application.
    actual_dst: SocketAddr,
    id: String,
    /// Outbound the address that was dialled; inbound the host the peer says its client called.
    original_dst: Option<String>,
    protocol: &'static str,
    src: SocketAddr,
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
        let info =
            InfoView { name: &pod.name, namespace: &pod.namespace, service_account: &pod.service_account };
        entry(&uid, &PodView { connections: book.map(|book| connections(book)), info, state })
    })))
}

fn connections(book: &Book) -> Connections {
    let mut all = Connections::default();
    for record in book.live() {
        let facts = record.facts();
        if facts.stage == Stage::Open {
            let list =
                if record.direction == Direction::Inbound { &mut all.inbound } else { &mut all.outbound };
            list.push(shown(&record, &facts));
        }
    }
    all
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ledger::OfNode;
    use crate::proxy::PodInfo;

    #[test]
    fn connections_that_are_open_are_shown_by_their_direction() {
        let [name, namespace, service_account] = ["web", "shop", "default"].map(str::to_owned);
        let pod = OfNode::default().begin(PodInfo { name, namespace, service_account }, None);
        let [client, dialled] = ["10.0.0.1:4000", "10.0.0.9:80"].map(|it| it.parse().unwrap());
        let [out, inwards, _deciding] = [Direction::Outbound, Direction::Inbound, Direction::Outbound]
            .map(|direction| pod.book().begin(direction, client, dialled));
        for record in [&out, &inwards] {
            record.facts().enter(Stage::Open);
        }
        out.facts().authority = Some("10.0.0.2:80".into());
        inwards.facts().delivered = Some("127.0.0.1:80".parse().unwrap());
        assert_eq!(
            serde_json::to_value(connections(pod.book())).unwrap(),
            json!({
                "inbound": [{
                    "src": "10.0.0.1:4000", "originalDst": null, "actualDst": "127.0.0.1:80", "protocol": "TCP",
                    "id": inwards.id.to_string(),
                }],
                "outbound": [{
                    "src": "10.0.0.1:4000", "originalDst": "10.0.0.9:80", "actualDst": "10.0.0.9:80",
                    "protocol": "HBONE", "id": out.id.to_string(),
                }],
            })
        );
    }
}
