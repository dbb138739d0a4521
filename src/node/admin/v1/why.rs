//! Why a connection failed, or would.

use culvert_api::Why;

use crate::why;

use super::moment::Now;
use super::problem::Refusal;
use super::query::Query;
use super::sockets::Seen;
use super::{Sources, connections, json};

/// `/v1/connections/{id}/why`: what became of a connection, and why.
pub(super) fn did(sources: &Sources, id: &str) -> Result<Vec<u8>, Refusal> {
    let (book, record) = connections::find(sources, id)?;
    let mut seen = Seen::default();
    let sockets = seen.of(&book);
    let connection = connections::shape::connection(&book, &record, (Now::read(), sockets));
    let why = why::did(&sources.shown, &book, &record, sockets);
    Ok(json(&Why { connection: Some(Box::new(connection)), ..why }))
}

/// `/v1/why`: what would become of one that somebody might make.
pub(super) fn would(sources: &Sources, query: &Query) -> Result<Vec<u8>, Refusal> {
    let (Some(source), Some(destination)) = (query.text("source")?, query.text("destination")?) else {
        let both = "say who would call and whom, by `source` and `destination`; of a connection there is or was, ask \
                    /v1/connections/ID/why";
        return Err(Refusal::bad_request(both.into()));
    };
    let would = why::would(&sources.shown, &source, &destination);
    would.map(|why| json(&why)).map_err(|error| Refusal::not_found(error.to_string()))
}
