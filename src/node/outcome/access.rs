//! The access log: one line for each connection, at its end.

use std::fmt;

use crate::ledger::{Direction, Ended, Record};
use crate::stream::Closer;

use super::Failure;

/// Says that a connection was made.
pub(super) fn opened(record: &Record) {
    let facts = record.facts();
    tracing::debug!(target: "access", {
        src.addr = %record.client, dst.addr = %facts.destination, id = %record.id
    }, "connection opened");
}

/// Says how a connection ended.
pub(super) fn ended(record: &Record, ended: &Ended) {
    let facts = record.facts();
    let (forth, back) = (facts.moved.forth.bytes(), facts.moved.back.bytes());
    let (sent, received) = match record.direction {
        Direction::Outbound => (forth, back),
        Direction::Inbound => (back, forth),
    };
    macro_rules! line {
        ($level:ident, $($error:tt)*) => {
            tracing::$level!(target: "access", {
                src.addr = %record.client,
                src.workload = facts.from.name(),
                src.namespace = facts.from.namespace(),
                src.identity = facts.from.identity.as_ref().map(quoted),
                dst.addr = %facts.destination,
                dst.hbone_addr = facts.authority.as_deref().map(tracing::field::display),
                dst.service = facts.service.as_ref().map(|service| service.hostname.as_ref()),
                dst.workload = facts.to.name(),
                dst.namespace = facts.to.namespace(),
                dst.identity = facts.to.identity.as_ref().map(quoted),
                direction = record.direction.as_str(),
                socks = facts.asked.as_deref(),
                bytes_sent = sent,
                bytes_recv = received,
                closed_by = facts.ends().closed_by.map(Closer::as_str),
                duration = format!("{}ms", ended.at.duration_since(record.began).as_millis()),
                policy = facts.policy.as_deref(),
                probe = facts.probe.then_some(true),
                id = %record.id,
                trace = %format_args!("{:032x}", facts.trace.id),
                $($error)*
            }, "connection complete")
        };
    }
    let error = ended.result.as_ref().err().map(Failure::in_words);
    let reason = ended.result.as_ref().err().map(Failure::reason);
    // Kubelet asks each pod every few seconds, and reports what it finds itself.
    match (error, facts.probe) {
        (None, true) => line!(debug,),
        (Some(error), true) => line!(info, reason = reason, error = error),
        (None, false) => line!(info,),
        (Some(error), false) => line!(error, reason = reason, error = error),
    }
}

fn quoted(value: &impl fmt::Display) -> tracing::field::DebugValue<String> {
    tracing::field::debug(value.to_string())
}
