//! How fast pairs talk: the differences between two samples of what they have said in all.

use std::collections::HashMap;
use std::time::Duration;

use culvert_api::Traffic;

use crate::get::kinds::{called, caller, direction, protocol};
use crate::get::list::Column;
use crate::output::{Cell, Tone, human};

/// A pair, and how fast it talks.
#[derive(Debug, Clone)]
pub(super) struct Rated {
    traffic: Traffic,
    /// `None`: there was nothing to compare it with.
    rate: Option<Rate>,
}

/// In one second.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rate {
    to_server: f64,
    to_client: f64,
    connections: f64,
}

/// Compares with what the same pairs had said a while before. A pair that is new since then has begun at nought; one that has said
/// less than before is counted anew by the node, and has no rate this time.
pub(super) fn rated(now: Vec<Traffic>, before: Option<&[Rated]>, elapsed: Duration) -> Vec<Rated> {
    let known: Option<HashMap<String, &Traffic>> =
        before.map(|pairs| pairs.iter().map(|pair| (key(&pair.traffic), &pair.traffic)).collect());
    let seconds = elapsed.as_secs_f64();
    let rate = |traffic: &Traffic| {
        let known = known.as_ref().filter(|_| seconds > 0.0)?;
        difference(traffic, known.get(&key(traffic)).copied(), seconds)
    };
    now.into_iter().map(|traffic| Rated { rate: rate(&traffic), traffic }).collect()
}

fn difference(now: &Traffic, before: Option<&Traffic>, seconds: f64) -> Option<Rate> {
    let old = before.map_or((0, 0, 0), |it| (it.bytes.to_server, it.bytes.to_client, it.connections));
    let per_second = |now: u64, old: u64| now.checked_sub(old).map(|more| more as f64 / seconds);
    Some(Rate {
        to_server: per_second(now.bytes.to_server, old.0)?,
        to_client: per_second(now.bytes.to_client, old.1)?,
        connections: per_second(now.connections, old.2)?,
    })
}

/// What makes two pairs of different moments the same.
fn key(it: &Traffic) -> String {
    format!("{:?} {:?} {:?} {:?}", it.direction, it.protocol, it.source, it.destination)
}

/// What is shown of each.
pub(super) const COLUMNS: &[Column<Rated>] = &[
    Column::left("DIR", |it, _| Cell::text(direction(it.traffic.direction))),
    Column::left("SOURCE", |it, _| Cell::text(caller(&it.traffic.source))),
    Column::left("DESTINATION", |it, _| Cell::text(called(&it.traffic.destination))),
    Column::left("PROTOCOL", |it, _| Cell::text(protocol(it.traffic.protocol))),
    Column::right("OPEN", |it, _| Cell::number(it.traffic.open)),
    Column::right("NEW/s", |it, _| number(it.rate.map(|rate| rate.connections))),
    Column::right("TO SERVER/s", |it, _| bytes(it.rate.map(|rate| rate.to_server))),
    Column::right("TO CLIENT/s", |it, _| bytes(it.rate.map(|rate| rate.to_client))),
    Column::right("IN ALL", |it, _| {
        let all = it.traffic.bytes.to_server.saturating_add(it.traffic.bytes.to_client);
        Cell::sorted(human::size(all), all.into())
    }),
    Column::right("REFUSED", |it, _| failed(it.traffic.refused)),
    Column::right("BROKEN", |it, _| failed(it.traffic.broken)),
    Column::left("LAST REASON", |it, _| Cell::maybe(it.traffic.last_reason.as_ref())),
];

fn number(rate: Option<f64>) -> Cell {
    rate.map_or_else(Cell::nothing, |rate| Cell::sorted(format!("{rate:.1}"), (rate * 1000.0) as i128))
}

fn bytes(rate: Option<f64>) -> Cell {
    rate.map_or_else(Cell::nothing, |rate| {
        Cell::sorted(human::size(rate.round() as u64), rate.round() as i128)
    })
}

fn failed(number: u64) -> Cell {
    Cell::number(number).in_tone(if number == 0 { Tone::Plain } else { Tone::Warning })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_node::sayings;

    fn after(seconds: u64, change: impl Fn(&mut Traffic)) -> Option<Rate> {
        let first = sayings::traffic();
        let mut second = first.clone();
        change(&mut second[0]);
        let before = rated(first, None, Duration::ZERO);
        assert!(before.iter().all(|pair| pair.rate.is_none()));
        rated(second, Some(&before), Duration::from_secs(seconds)).remove(0).rate
    }

    #[test]
    fn a_rate_is_what_came_since_by_the_time_it_took() {
        let rate = after(2, |pair| {
            pair.bytes.to_server += 3000;
            pair.connections += 1;
            pair.last_seen = "later".into();
        });
        assert_eq!(rate, Some(Rate { to_server: 1500.0, to_client: 0.0, connections: 0.5 }));
    }

    #[test]
    fn a_new_pair_has_begun_at_nought() {
        let rate = after(1, |pair| pair.destination.address = "10.1.1.9:80".into());
        assert_eq!(rate, Some(Rate { to_server: 5_000_000.0, to_client: 70_000.0, connections: 40.0 }));
    }

    #[test]
    fn a_node_that_counts_anew_makes_no_rate() {
        assert_eq!(after(1, |pair| pair.bytes.to_client = 1), None);
        assert_eq!(after(0, |_| ()), None);
    }
}
