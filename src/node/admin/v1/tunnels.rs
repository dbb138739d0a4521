//! The tunnels of this node's pods.

use culvert_api::{Page, Tunnel};

use super::problem::Refusal;
use super::query::Query;
use super::{Sources, json, page};

/// `/v1/tunnels`.
pub(super) fn list(_: &Sources, query: &Query) -> Result<Vec<u8>, Refusal> {
    let part = page::by_numbers(query, std::iter::empty::<([u64; 2], Tunnel)>())?;
    let shown: Page<Tunnel> = part.show(|tunnel| tunnel);
    Ok(json(&shown))
}
