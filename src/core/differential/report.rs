//! What one end has seen of a stream, and whether both ends have seen the same.

use crate::plan::{Plan, Script};
use culvert_core::tunnel::http2::Role;

/// A stream as one end knows it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// Whether it was there at all.
    pub(crate) opened: bool,
    pub(crate) answered: Option<u16>,
    pub(crate) sent: usize,
    pub(crate) sent_end: bool,
    pub(crate) received: usize,
    pub(crate) received_end: bool,
    pub(crate) reset_sent: Option<u32>,
    pub(crate) reset_seen: Option<u32>,
    /// How often it was refused before.
    pub(crate) refused: u32,
}

impl Report {
    fn is_whole(&self) -> bool {
        self.sent_end && self.received_end
    }
}

/// Both ends, stream by stream.
pub(crate) fn judge(plan: &Plan, client: &[Report], server: &[Report]) -> Result<(), String> {
    for (index, script) in plan.scripts.iter().enumerate() {
        let (client, server) = (&client[index], &server[index]);
        let judged = if plan.is_cut() {
            within(client, server).and_then(|()| within(server, client))
        } else {
            stream(script, client, server)
        };
        judged.map_err(|wrong| format!("stream {index}: {wrong}\nclient {client:?}\nserver {server:?}"))?;
    }
    Ok(())
}

fn stream(script: &Script, client: &Report, server: &Report) -> Result<(), &'static str> {
    check(client.refused < 50, "refused without end")?;
    if !server.opened {
        let given_up = !client.opened || client.reset_sent.is_some();
        return check(given_up, "the server knows nothing of it");
    }
    check(client.opened, "the client knows nothing of it")?;
    seen(client, server)?;
    seen(server, client)?;
    let broken = client.reset_sent.is_some() || server.reset_sent.is_some();
    if broken {
        return Ok(());
    }
    check(client.answered == Some(script.status), "the answer is another one")?;
    check(client.is_whole() && server.is_whole(), "it did not end")?;
    if script.status != 200 {
        return Ok(());
    }
    check(client.sent == script.sends(Role::Client).bytes, "not all was sent to the server")?;
    check(server.sent == script.sends(Role::Server).bytes, "not all was sent to the client")
}

/// What `one` has seen of what the `other` did.
fn seen(one: &Report, other: &Report) -> Result<(), &'static str> {
    within(one, other)?;
    if other.sent_end && other.reset_sent.is_none() && one.reset_sent.is_none() {
        check(one.received_end, "an end that was sent was not seen")?;
    }
    match (other.reset_sent, one.reset_seen) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err("a reset was seen that was not sent"),
        (Some(sent), Some(seen)) => check(sent == seen, "a reset was seen with another code"),
        // It was over, or both gave it up at once.
        (Some(_), None) => {
            check(one.is_whole() || one.reset_sent.is_some(), "a reset that was sent was not seen")
        }
    }
}

/// Nothing was seen that was not sent.
fn within(one: &Report, other: &Report) -> Result<(), &'static str> {
    check(one.received <= other.sent, "more came than was sent")?;
    if one.received_end {
        check(other.sent_end, "an end was seen that was not sent")?;
        check(one.received == other.sent, "not all came before the end")?;
    }
    Ok(())
}

fn check(holds: bool, otherwise: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(otherwise) }
}
