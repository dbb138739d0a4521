//! The node itself, on one line.

use culvert_api::{Agent, ControlPlane, Node, Reachability};
use time::OffsetDateTime;

use super::super::list::{Column, Listed};
use super::{since, unwanted};
use crate::output::{Cell, Tone, human};

impl Listed for Node {
    const PATH: &'static str = "/v1/node";
    const WHAT: &'static str = "nodes";
    const ORDER: &'static [&'static str] = &[];
    const COLUMNS: &'static [Column<Self>] = &[
        Column::left("NAME", |it, _| Cell::maybe(it.name.as_ref())),
        Column::left("READY", |it, _| ready(it)),
        Column::left("XDS", |it, now| control_plane(&it.xds, now)),
        Column::left("CA", |it, now| control_plane(&it.ca, now)),
        Column::left("AGENT", |it, now| agent(it.agent.as_ref(), now)),
        Column::right("PODS", |it, _| Cell::number(it.pods)),
        Column::right("OPEN", |it, _| Cell::number(it.open)),
        Column::right("TUNNELS", |it, _| Cell::number(it.tunnels)),
        Column::right("WORKLOADS", |it, _| Cell::number(it.workloads)),
        Column::right("SERVICES", |it, _| Cell::number(it.services)),
        Column::right("POLICIES", |it, _| Cell::number(it.policies)),
        Column::left("VERSION", |it, _| Cell::text(&it.version)),
        Column::right("AGE", |it, now| since(&it.started, now)),
        Column::wide("NETWORK", |it, _| Cell::text(&it.network)),
        Column::wide("XDS ADDRESS", |it, _| Cell::maybe(it.xds.address.as_ref())),
        Column::wide("CA ADDRESS", |it, _| Cell::maybe(it.ca.address.as_ref())),
        Column::wide("LOG", |it, _| Cell::text(&it.log_filter)),
        Column::wide_right("DROPPED LINES", |it, _| unwanted(it.dropped_log_lines)),
        Column::left("TROUBLE", |it, _| trouble(it)),
    ];

    fn namespaces(&self) -> Vec<&str> {
        Vec::new()
    }

    fn names(&self) -> Vec<String> {
        self.name.iter().cloned().collect()
    }
}

fn ready(node: &Node) -> Cell {
    if node.ready { Cell::text("yes").in_tone(Tone::Good) } else { Cell::text("no").in_tone(Tone::Bad) }
}

fn control_plane(service: &ControlPlane, now: OffsetDateTime) -> Cell {
    let (word, tone) = match service.state {
        Reachability::Unused => ("unused", Tone::Faint),
        Reachability::Up => ("up", Tone::Good),
        Reachability::Down => ("down", Tone::Bad),
    };
    Cell::text(timed(word, service.since.as_deref(), now)).in_tone(tone)
}

fn agent(agent: Option<&Agent>, now: OffsetDateTime) -> Cell {
    agent.map_or_else(Cell::nothing, |agent| {
        let (word, tone) = if agent.connected { ("up", Tone::Good) } else { ("down", Tone::Bad) };
        Cell::text(timed(word, agent.since.as_deref(), now)).in_tone(tone)
    })
}

fn timed(word: &str, since: Option<&str>, now: OffsetDateTime) -> String {
    match since.and_then(|since| human::seconds_since(since, now)) {
        Some(seconds) => format!("{word} {}", human::ago(seconds)),
        None => word.to_owned(),
    }
}

/// What it waits for, and who does not answer it.
fn trouble(node: &Node) -> Cell {
    let waits = (!node.pending.is_empty()).then(|| format!("waits for {}", node.pending.join(", ")));
    let of =
        |name: &str, service: &ControlPlane| service.error.as_ref().map(|error| format!("{name}: {error}"));
    let all = [waits, of("xds", &node.xds), of("ca", &node.ca)];
    Cell::text(all.into_iter().flatten().collect::<Vec<_>>().join("; "))
}
