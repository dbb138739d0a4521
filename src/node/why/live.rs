//! What a connection waits for that has not ended, and what slowed down one that has: judged by what the kernel counts.
//!
//! Goes in: the sockets of both sides and what was moved. Comes out: who is waited for. An idle connection waits for nobody.

use std::time::Duration;

use culvert_api::Culprit;

use super::evidence::Evidence;
use crate::ledger::sockets::Socket;
use crate::ledger::{Direction, Stage};

/// Who is waited for, and what says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) culprit: Culprit,
    pub(super) sentence: String,
    pub(super) remedy: &'static str,
}

/// A side that takes nothing for so long, with bytes waiting for it, is what holds the connection up.
const STUCK: Duration = Duration::from_secs(1);

/// So many segments sent again, and
const MANY: u32 = 5;

/// one in so many, are more than a healthy network loses.
const ONE_IN: u64 = 100;

/// What is taken for the size of a segment: the usual one of Ethernet.
const SEGMENT: u64 = 1448;

/// Tells who a living connection waits for, or what has slowed down one that is over.
pub(super) fn find(evidence: &Evidence) -> Option<Finding> {
    held_up(evidence).or_else(|| lossy(evidence)).or_else(|| slow(evidence)).or_else(|| unanswered(evidence))
}

/// The application of this node's pod, and the other end, as the connection knows them.
fn sides(evidence: &Evidence) -> [(Culprit, &'static str); 2] {
    let (client, server) =
        ((Culprit::Client, "the calling application"), (Culprit::Server, "the called application"));
    match evidence.record.direction {
        Direction::Outbound => [client, server],
        Direction::Inbound => [server, client],
    }
}

/// Somebody does not read, and bytes wait for him now.
fn held_up(evidence: &Evidence) -> Option<Finding> {
    if evidence.facts.stage != Stage::Open {
        return None;
    }
    let [(own, own_name), (other, other_name)] = sides(evidence);
    let (near, far) = (evidence.near.as_ref()?, evidence.far.as_ref());
    if does_not_read(near) {
        return Some(not_reading(own, own_name, near));
    }
    let far = far?;
    let plain = !evidence.facts.is_tunnelled();
    if plain && does_not_read(far) {
        return Some(not_reading(other, other_name, far));
    }
    // What this node does not take from its own application it cannot pass on: the network has it all, so the other end's window is used up.
    let passed_on = far.info.bytes_unsent == 0 && far.info.bytes_unacknowledged == 0;
    if near.unread > 0 && passed_on {
        let sentence = format!(
            "{other_name} does not read: {} bytes wait to be sent, all that was sent has arrived, and the other end allows no more",
            near.unread
        );
        return Some(Finding { culprit: other, sentence, remedy: READ });
    }
    None
}

const READ: &str =
    "look at the application that does not read: it is busy, stopped, or waits for something itself";

/// Bytes wait for it, and it has said that it takes none.
fn does_not_read(socket: &Socket) -> bool {
    let waits = socket.info.bytes_unsent > 0;
    waits
        && (socket.info.peer_window == 0 || Duration::from_micros(socket.info.peer_limited) >= STUCK)
        && socket.info.bytes_unacknowledged <= SEGMENT
}

fn not_reading(culprit: Culprit, name: &str, socket: &Socket) -> Finding {
    let waited = Duration::from_micros(socket.info.peer_limited).as_millis();
    let sentence = format!(
        "{name} does not read: {} bytes wait for it, and its window has been closed for {waited} ms in all",
        socket.info.bytes_unsent
    );
    Finding { culprit, sentence, remedy: READ }
}

/// The network loses more than a healthy one.
fn lossy(evidence: &Evidence) -> Option<Finding> {
    let far = evidence.far.as_ref()?.info;
    let sent = (far.bytes_acknowledged / SEGMENT).max(u64::from(far.retransmits));
    let moved = (evidence.facts.moved.forth.bytes() + evidence.facts.moved.back.bytes()) / SEGMENT;
    let segments = if evidence.facts.is_tunnelled() { moved.max(1) } else { sent };
    if far.retransmits < MANY || u64::from(far.retransmits) * ONE_IN < segments {
        return None;
    }
    let sentence = format!(
        "the network loses packets: {} segments were sent again for about {segments}, round trip {} ms",
        far.retransmits,
        far.rtt / 1000
    );
    let remedy =
        "look at links, queues and MTU between the two nodes; the applications and the mesh wait for it";
    Some(Finding { culprit: Culprit::Network, sentence, remedy })
}

/// It is over, and most of its time somebody did not read.
fn slow(evidence: &Evidence) -> Option<Finding> {
    let ended = evidence.facts.ended.as_ref()?;
    let took = ended.at.saturating_duration_since(evidence.record.began);
    let [(own, own_name), (other, other_name)] = sides(evidence);
    let candidates = [(evidence.near, own, own_name), (evidence.far, other, other_name)];
    let plain = !evidence.facts.is_tunnelled();
    // The window of a tunnel's socket is that of the other node.
    let candidates = candidates.into_iter().take(if plain { 2 } else { 1 });
    candidates.into_iter().find_map(|(socket, culprit, name)| {
        let limited = Duration::from_micros(socket?.info.peer_limited);
        (limited >= STUCK && limited * 2 >= took).then(|| {
            let sentence = format!(
                "{name} was slow to read: it was waited for {} of {} ms",
                limited.as_millis(),
                took.as_millis()
            );
            Finding { culprit, sentence, remedy: READ }
        })
    })
}

/// A question went out, and there is no answer yet.
fn unanswered(evidence: &Evidence) -> Option<Finding> {
    let facts = &evidence.facts;
    let waits = facts.moved.forth.bytes() > 0 && facts.moved.back.bytes() == 0;
    let since = evidence.now.saturating_duration_since(facts.since);
    if facts.stage != Stage::Open || !waits || since < STUCK {
        return None;
    }
    let delivered = evidence.far.as_ref().is_none_or(|far| {
        far.info.bytes_unsent == 0 && (far.info.bytes_unacknowledged == 0 || facts.is_tunnelled())
    });
    if !delivered {
        return None;
    }
    let sentence = format!(
        "the called application has not answered: it was sent {} bytes, and has said nothing for {} s",
        facts.moved.forth.bytes(),
        since.as_secs()
    );
    let remedy = "look at the called application: it has taken the connection and says nothing";
    Some(Finding { culprit: Culprit::Server, sentence, remedy })
}

#[cfg(test)]
mod tests;
