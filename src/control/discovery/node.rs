//! What a client says of itself in its first request.

use culvert_proto::xds::Node;
use prost_types::value::Kind;

use crate::callers::Caller;

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

/// The node a client is on: what its token is for, else what it says.
///
/// # Errors
/// The node it says it is on, when its token is for another one.
pub(super) fn name(caller: &Caller, node: Option<&Node>) -> Result<String, String> {
    let said = node.and_then(|node| match &node.metadata.as_ref()?.fields.get("NODE_NAME")?.kind {
        Some(Kind::StringValue(name)) if !name.is_empty() => Some(name.clone()),
        _ => None,
    });
    match (caller, said) {
        (Caller::Node(own), Some(said)) if *own != said => Err(said),
        (Caller::Node(own), _) => Ok(own.clone()),
        (Caller::Workload(_), said) => Ok(said.unwrap_or_default()),
    }
}
