//! The span of a connection: as long as it was there, below that of whoever called.

use culvert_proto::otlp::trace::{Event, Span, SpanKind, Status, StatusCode};

use super::Ended;
use super::attributes::{self, Attributes, Clock};
use crate::ledger::{Direction, Facts, Tried};

/// That the trace is kept.
pub(super) const SAMPLED: u32 = 0x01;
/// That it is known whether the parent is somewhere else.
const KNOWN: u32 = 0x100;
/// That it is.
const REMOTE: u32 = 0x200;

/// Makes the span of a connection that is over.
pub(super) fn of(ended: &Ended, clock: Clock) -> Span {
    let record = &*ended.record;
    let facts = record.facts();
    let over = facts.ended.as_ref().map_or(clock.now, |ended| ended.at);
    let parent = facts.trace.parent;
    Span {
        trace_id: facts.trace.id.to_be_bytes().to_vec(),
        span_id: record.id.number().to_be_bytes().to_vec(),
        parent_span_id: parent.map(|parent| parent.get().to_be_bytes().to_vec()).unwrap_or_default(),
        name: if facts.is_tunnelled() { "CONNECT" } else { "tcp" }.to_owned(),
        kind: match record.direction {
            Direction::Outbound => SpanKind::Client,
            Direction::Inbound => SpanKind::Server,
        }
        .into(),
        start_time_unix_nano: clock.nanos(record.began),
        end_time_unix_nano: clock.nanos(over),
        attributes: attributes::of(ended, &facts).done(),
        events: facts.tried.iter().map(|tried| attempt(tried, clock)).collect(),
        status: status(&facts),
        flags: SAMPLED | KNOWN | parent.map_or(0, |_| REMOTE),
    }
}

/// Of an end in good order nothing is said: whether all was well is the application's to judge.
fn status(facts: &Facts) -> Option<Status> {
    let failure = attributes::failure(facts)?;
    Some(Status { message: failure.in_words(), code: StatusCode::Error.into() })
}

/// An endpoint that could not be reached, before another one was tried.
fn attempt(tried: &Tried, clock: Clock) -> Event {
    let mut all = Attributes::default();
    all.text("network.peer.address", Some(tried.address.ip().to_string()));
    all.number("network.peer.port", Some(tried.address.port().into()));
    all.text("error.type", Some(tried.reason));
    all.text("error.message", Some(&*tried.error));
    let name = "attempt failed".to_owned();
    Event { time_unix_nano: clock.nanos(tried.at), name, attributes: all.done() }
}
