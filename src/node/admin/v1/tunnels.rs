//! The tunnels of this node's pods.

use std::sync::Arc;

use culvert_api::{Tunnel, TunnelState};

use super::connections::{self, Filter, shape};
use super::moment::Now;
use super::problem::Refusal;
use super::query::Query;
use super::sockets::{self, Seen};
use super::{Sources, json, page};
use crate::ledger::{Book, tunnels};
use crate::tunnel;

/// What can be asked.
pub(super) const TAKES: &[&str] = &["limit", "after", "pod", "direction"];

/// `/v1/tunnels`: the newest first.
pub(super) fn list(sources: &Sources, query: &Query) -> Result<Vec<u8>, Refusal> {
    let filter = Filter::read(query)?;
    let books = sources.shown.state.ledger().books().into_iter().filter(|book| filter.takes_book(book));
    let all = books.flat_map(|book| {
        let tunnels = book.tunnels.list();
        tunnels.into_iter().map(move |tunnel| (Arc::clone(&book), tunnel))
    });
    let wanted = all.filter(|(_, tunnel)| filter.takes_direction(tunnel.direction));
    let placed = wanted.map(|entry| ([!connections::age(sources, entry.1.since), entry.1.id], entry));
    let part = page::by_numbers(query, placed)?;
    let (now, mut seen) = (Now::read(), Seen::default());
    Ok(json(&part.show(|(book, tunnel)| {
        let network = seen.of(&book).of_tunnel(&tunnel).map(sockets::shown);
        Tunnel { network, ..shown(&book, &tunnel, now) }
    })))
}

fn shown(book: &Book, tunnel: &tunnels::Tunnel, now: Now) -> Tunnel {
    let peer_address = tunnel.peer().map_or_else(|| "unknown".to_owned(), |peer| peer.to_string());
    Tunnel {
        id: tunnel.name(),
        pod: shape::pod(&book.pod),
        direction: shape::direction(tunnel.direction),
        state: match tunnel.gauge.state() {
            tunnel::TunnelState::Open => TunnelState::Open,
            tunnel::TunnelState::Bulk => TunnelState::Bulk,
            tunnel::TunnelState::Doubtful => TunnelState::Doubtful,
            tunnel::TunnelState::Leaving => TunnelState::Leaving,
        },
        identity: tunnel.identity.to_string(),
        peer_identity: tunnel.peer_identity.to_string(),
        local_address: tunnel.local().map(|local| local.to_string()),
        peer_address,
        since: now.at(tunnel.since),
        streams: tunnel.gauge.streams() as u64,
        capacity: tunnel.gauge.capacity().into(),
        tls: shape::tls(tunnel.tls),
        network: None,
    }
}
