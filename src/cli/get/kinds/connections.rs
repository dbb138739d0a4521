//! Connections that live, connections that are over, and what they come to for each pair of ends.

use culvert_api::{Connection, Outcome, Stage, State, Traffic};
use serde::Deserialize;

use super::super::list::{Column, Listed};
use super::{called, caller, ends, milliseconds, retransmits, round_trip, since, size, unwanted};
use crate::output::{Cell, Tone};

impl Listed for Connection {
    const PATH: &'static str = "/v1/connections";
    const WHAT: &'static str = "connections";
    const ORDER: &'static [&'static str] = &["SOURCE", "DESTINATION", "AGE"];
    const COLUMNS: &'static [Column<Self>] = &[
        Column::left("ID", |it, _| Cell::text(&it.id)),
        Column::left("DIR", |it, _| Cell::text(ends::direction(it.direction))),
        Column::left("SOURCE", |it, _| Cell::text(caller(&it.source))),
        Column::left("DESTINATION", |it, _| Cell::text(called(&it.destination))),
        Column::left("PROTOCOL", |it, _| Cell::text(ends::protocol(it.protocol))),
        Column::left("STAGE", |it, _| stage(it.stage)),
        Column::right("AGE", |it, _| milliseconds(it.milliseconds)),
        Column::right("TO SERVER", |it, _| size(it.bytes.to_server)),
        Column::right("TO CLIENT", |it, _| size(it.bytes.to_client)),
        Column::right("RTT", |it, _| round_trip(it.network.as_ref())),
        Column::wide_right("RETRANSMITS", |it, _| retransmits(it.network.as_ref())),
        Column::wide("SOURCE ADDRESS", |it, _| Cell::text(&it.source.address)),
        Column::wide("SOURCE IDENTITY", |it, _| Cell::maybe(it.source.identity.as_ref())),
        Column::wide("DIALLED", |it, _| Cell::text(&it.original_destination)),
        Column::wide("SERVICE", |it, _| Cell::maybe(it.destination.service.as_ref())),
        Column::wide("NEXT HOP", |it, _| Cell::text(&it.next_hop)),
        Column::wide("DESTINATION IDENTITY", |it, _| Cell::maybe(it.destination.identity.as_ref())),
        Column::wide("TUNNEL", |it, _| Cell::maybe(it.tunnel.as_ref())),
        Column::wide("GROUP", |it, _| Cell::maybe(it.tls.as_ref().and_then(|tls| tls.group.as_ref()))),
        Column::wide("POLICY", |it, _| Cell::maybe(it.policy.as_ref())),
        Column::wide("TRACE", |it, _| Cell::maybe(it.trace.as_ref())),
    ];

    fn namespaces(&self) -> Vec<&str> {
        namespaces(self)
    }

    fn names(&self) -> Vec<String> {
        names(self)
    }
}

fn stage(stage: Stage) -> Cell {
    match stage {
        Stage::Deciding => Cell::text("deciding").in_tone(Tone::Warning),
        Stage::Connecting => Cell::text("connecting").in_tone(Tone::Warning),
        Stage::Open => Cell::text("open").in_tone(Tone::Good),
        Stage::Ended => Cell::text("ended").in_tone(Tone::Faint),
    }
}

/// Those of its pod and of both its ends.
fn namespaces(it: &Connection) -> Vec<&str> {
    let ends = [&it.source, &it.destination].into_iter().filter_map(|end| end.namespace.as_deref());
    ends.chain([it.pod.namespace.as_str()]).collect()
}

fn names(it: &Connection) -> Vec<String> {
    let ends = ends::names(&it.source).chain(ends::names(&it.destination));
    ends.chain([ends::pod(&it.pod), it.id.clone(), it.original_destination.clone()]).collect()
}

/// A connection that is over and did not end well.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Ended(pub(crate) Connection);

impl Listed for Ended {
    const PATH: &'static str = "/v1/refusals";
    const WHAT: &'static str = "connections that did not end well lately";
    const ORDER: &'static [&'static str] = &[];
    const COLUMNS: &'static [Column<Self>] = &[
        Column::right("AGO", |it, _| milliseconds(it.0.stage_milliseconds)),
        Column::left("ID", |it, _| Cell::text(&it.0.id)),
        Column::left("DIR", |it, _| Cell::text(ends::direction(it.0.direction))),
        Column::left("SOURCE", |it, _| Cell::text(caller(&it.0.source))),
        Column::left("DESTINATION", |it, _| Cell::text(called(&it.0.destination))),
        Column::left("STATE", |it, _| state(it.0.outcome.as_ref())),
        Column::left("REASON", |it, _| said(it.0.outcome.as_ref(), |outcome| outcome.reason.as_ref())),
        Column::wide_right("TOOK", |it, _| milliseconds(it.0.milliseconds)),
        Column::wide("FLAG", |it, _| said(it.0.outcome.as_ref(), |outcome| outcome.flag.as_ref())),
        Column::wide("SOURCE ADDRESS", |it, _| Cell::text(&it.0.source.address)),
        Column::wide("DIALLED", |it, _| Cell::text(&it.0.original_destination)),
        Column::wide("NEXT HOP", |it, _| Cell::text(&it.0.next_hop)),
        Column::left("ERROR", |it, _| said(it.0.outcome.as_ref(), |outcome| outcome.error.as_ref())),
    ];

    fn namespaces(&self) -> Vec<&str> {
        namespaces(&self.0)
    }

    fn names(&self) -> Vec<String> {
        let reason = self.0.outcome.as_ref().and_then(|outcome| outcome.reason.clone());
        names(&self.0).into_iter().chain(reason).collect()
    }
}

/// A connection that is over, however it ended.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Recent(Connection);

impl Listed for Recent {
    const PATH: &'static str = "/v1/recent";
    const WHAT: &'static str = "connections that ended lately";
    const ORDER: &'static [&'static str] = &[];
    const COLUMNS: &'static [Column<Self>] = &[
        Column::right("AGO", |it, _| milliseconds(it.0.stage_milliseconds)),
        Column::left("ID", |it, _| Cell::text(&it.0.id)),
        Column::left("DIR", |it, _| Cell::text(ends::direction(it.0.direction))),
        Column::left("SOURCE", |it, _| Cell::text(caller(&it.0.source))),
        Column::left("DESTINATION", |it, _| Cell::text(called(&it.0.destination))),
        Column::left("PROTOCOL", |it, _| Cell::text(ends::protocol(it.0.protocol))),
        Column::left("STATE", |it, _| state(it.0.outcome.as_ref())),
        Column::right("TOOK", |it, _| milliseconds(it.0.milliseconds)),
        Column::right("TO SERVER", |it, _| size(it.0.bytes.to_server)),
        Column::right("TO CLIENT", |it, _| size(it.0.bytes.to_client)),
        Column::left("REASON", |it, _| said(it.0.outcome.as_ref(), |outcome| outcome.reason.as_ref())),
        Column::wide("TRACE", |it, _| Cell::maybe(it.0.trace.as_ref())),
        Column::wide("ERROR", |it, _| said(it.0.outcome.as_ref(), |outcome| outcome.error.as_ref())),
    ];

    fn namespaces(&self) -> Vec<&str> {
        namespaces(&self.0)
    }

    fn names(&self) -> Vec<String> {
        names(&self.0)
    }
}

fn state(outcome: Option<&Outcome>) -> Cell {
    outcome.map_or_else(Cell::nothing, |outcome| match outcome.state {
        State::Complete => Cell::text("complete").in_tone(Tone::Good),
        State::Broken => Cell::text("broken").in_tone(Tone::Warning),
        State::Refused => Cell::text("refused").in_tone(Tone::Bad),
    })
}

fn said(outcome: Option<&Outcome>, what: fn(&Outcome) -> Option<&String>) -> Cell {
    Cell::maybe(outcome.and_then(what))
}

impl Listed for Traffic {
    const PATH: &'static str = "/v1/traffic";
    const WHAT: &'static str = "pairs that have talked";
    const ORDER: &'static [&'static str] = &["SOURCE", "DESTINATION", "DIR"];
    const COLUMNS: &'static [Column<Self>] = &[
        Column::left("DIR", |it, _| Cell::text(ends::direction(it.direction))),
        Column::left("SOURCE", |it, _| Cell::text(caller(&it.source))),
        Column::left("DESTINATION", |it, _| Cell::text(called(&it.destination))),
        Column::left("PROTOCOL", |it, _| Cell::text(ends::protocol(it.protocol))),
        Column::right("OPEN", |it, _| Cell::number(it.open)),
        Column::right("TOTAL", |it, _| Cell::number(it.connections)),
        Column::right("REFUSED", |it, _| unwanted(it.refused)),
        Column::right("BROKEN", |it, _| unwanted(it.broken)),
        Column::right("TO SERVER", |it, _| size(it.bytes.to_server)),
        Column::right("TO CLIENT", |it, _| size(it.bytes.to_client)),
        Column::right("LAST SEEN", |it, now| since(&it.last_seen, now)),
        Column::wide_right("HALF-CLOSED", |it, _| Cell::number(it.half_closed)),
        Column::wide_right("FOR", |it, _| {
            it.oldest_half_closed_milliseconds.map_or_else(Cell::nothing, milliseconds)
        }),
        Column::wide("SOURCE IDENTITY", |it, _| Cell::maybe(it.source.identity.as_ref())),
        Column::wide("DESTINATION IDENTITY", |it, _| Cell::maybe(it.destination.identity.as_ref())),
        Column::wide("SERVICE", |it, _| Cell::maybe(it.destination.service.as_ref())),
        Column::left("LAST REASON", |it, _| Cell::maybe(it.last_reason.as_ref())),
    ];

    fn namespaces(&self) -> Vec<&str> {
        [&self.source, &self.destination].into_iter().filter_map(|end| end.namespace.as_deref()).collect()
    }

    fn names(&self) -> Vec<String> {
        ends::names(&self.source).chain(ends::names(&self.destination)).collect()
    }
}
