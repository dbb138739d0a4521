//! Who talks to whom, added up over the pods of this node.

use std::collections::HashMap;

use culvert_api::{Bytes, End, Traffic};
use culvert_core::identity::SpiffeId;
use culvert_core::workload::Workload;

use super::connections::shape;
use super::moment::Now;
use super::problem::Refusal;
use super::query::Query;
use super::{Sources, json, page};
use crate::ledger::{Pair, owner_of};
use crate::stream::quiet::Moment;

/// `/v1/traffic`.
pub(super) fn list(sources: &Sources, query: &Query) -> Result<Vec<u8>, Refusal> {
    let mut sums: HashMap<String, Pair> = HashMap::new();
    for pair in sources.shown.state.ledger().books().iter().flat_map(|book| book.traffic()) {
        let key = key(&pair);
        match sums.get_mut(&key) {
            Some(sum) => add(sum, pair),
            None => drop(sums.insert(key, pair)),
        }
    }
    let part = page::by_text(query, sums.into_iter())?;
    let now = Now::read();
    Ok(json(&part.show(|pair| traffic(&pair, now))))
}

/// What makes pairs of two pods one, and its place in the list: what owns the ends.
fn key(pair: &Pair) -> String {
    let owner = |workload: Option<&Workload>| {
        workload
            .map(|it| format!("{}\0{}\0{}", it.namespace, owner_of(it), it.cluster_id))
            .unwrap_or_default()
    };
    let service = pair.service.as_ref().map(|service| service.key().to_string()).unwrap_or_default();
    let address = pair.address.map(|address| address.to_string()).unwrap_or_default();
    let (from, to) = (owner(pair.from.as_deref()), owner(pair.to.as_deref()));
    let how = format!("{}{}", u8::from(pair.tunnelled), u8::from(pair.nested));
    [pair.direction.as_str(), &from, &to, &service, &address, &how].join("\u{1}")
}

fn add(sum: &mut Pair, pair: Pair) {
    sum.open += pair.open;
    sum.add_half_closed(pair.half_closed, pair.half_closed_since);
    sum.connections += pair.connections;
    sum.refused += pair.refused;
    sum.broken += pair.broken;
    sum.to_server += pair.to_server;
    sum.to_client += pair.to_client;
    if pair.last_seen > sum.last_seen {
        sum.last_seen = pair.last_seen;
        sum.last_reason = pair.last_reason.or(sum.last_reason);
    } else {
        sum.last_reason = sum.last_reason.or(pair.last_reason);
    }
    same_or_none(&mut sum.from_identity, pair.from_identity);
    same_or_none(&mut sum.to_identity, pair.to_identity);
}

/// One identity is said of many ends only if it is that of all whose identity is known.
fn same_or_none(known: &mut Option<SpiffeId>, other: Option<SpiffeId>) {
    match (known.as_ref(), other) {
        (Some(one), Some(other)) if *one != other => *known = None,
        (None, other) => *known = other,
        (Some(_), _) => {}
    }
}

/// How long ago, in milliseconds.
fn since(moment: Moment) -> u64 {
    u64::try_from(moment.until(Moment::now()).as_millis()).unwrap_or(u64::MAX)
}

fn traffic(pair: &Pair, now: Now) -> Traffic {
    let address = pair.address.map(|address| address.to_string()).unwrap_or_default();
    let service = pair.service.as_ref().map(|service| service.hostname.to_string());
    Traffic {
        direction: shape::direction(pair.direction),
        source: end(pair.from.as_deref(), pair.from_identity.as_ref()),
        destination: End { address, service, ..end(pair.to.as_deref(), pair.to_identity.as_ref()) },
        protocol: shape::protocol(pair.tunnelled, pair.nested),
        open: pair.open,
        half_closed: pair.half_closed,
        oldest_half_closed_milliseconds: pair.half_closed_since.map(since),
        connections: pair.connections,
        refused: pair.refused,
        broken: pair.broken,
        bytes: Bytes { to_server: pair.to_server, to_client: pair.to_client },
        last_reason: pair.last_reason.map(str::to_owned),
        last_seen: now.at(pair.last_seen),
    }
}

/// What pods of one owner have in common.
fn end(workload: Option<&Workload>, identity: Option<&SpiffeId>) -> End {
    let known = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    End {
        owner: workload.and_then(|it| known(owner_of(it))),
        namespace: workload.and_then(|it| known(&it.namespace)),
        cluster: workload.and_then(|it| known(&it.cluster_id)),
        identity: identity.map(ToString::to_string),
        ..End::default()
    }
}
