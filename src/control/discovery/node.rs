//! What a client says of itself in its first request.

use culvert_proto::xds::Node;
use prost_types::value::Kind;

use crate::callers::{Caller, Known, Reach};

/// The longest text that is repeated in a log line.
const LONGEST_SHOWN: usize = 256;

/// Names the client, for the log.
pub(super) fn shown(node: Option<&Node>) -> String {
    let id = node.map_or("", |node| node.id.as_str());
    if id.is_empty() { "-".to_owned() } else { clipped(id) }
}

/// The beginning of a text.
pub(super) fn clipped(text: &str) -> String {
    text.chars().take(LONGEST_SHOWN).collect()
}

/// The node a client is on: where its token says it is, and where nothing is known of that, what it says.
///
/// # Errors
/// The node it says it is on, when its token is for another one.
pub(super) fn name(known: &Known, node: Option<&Node>) -> Result<String, String> {
    let said = node.and_then(|node| match &node.metadata.as_ref()?.fields.get("NODE_NAME")?.kind {
        Some(Kind::StringValue(name)) if !name.is_empty() => Some(name.clone()),
        _ => None,
    });
    let own = match (&known.caller, &known.reach) {
        (Caller::Node(own), _) => own,
        (Caller::Workload(_), Reach::Near { node, .. }) => &**node,
        (Caller::Workload(_), Reach::Everything) => return Ok(said.unwrap_or_default()),
    };
    match said {
        Some(said) if said != own => Err(said),
        _ => Ok(own.to_owned()),
    }
}
