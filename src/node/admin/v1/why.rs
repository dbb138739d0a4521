//! `/v1/why`: what became of a connection and why, or what would become of one.

use culvert_api::Why;

use crate::why;

use super::problem::Refusal;
use super::query::Query;
use super::{Sources, connections, json};

/// What can be asked.
pub(super) const PARAMETERS: &[&str] = &["connection", "source", "destination"];

pub(super) fn answer(sources: &Sources, query: &Query) -> Result<Vec<u8>, Refusal> {
    let [connection, source, destination] =
        [query.text("connection")?, query.text("source")?, query.text("destination")?];
    match (connection, source, destination) {
        (Some(id), None, None) => did(sources, &id),
        (None, Some(source), Some(destination)) => {
            let would = why::would(&sources.shown, &source, &destination);
            would.map(|why| json(&why)).map_err(|error| Refusal::not_found(error.to_string()))
        }
        _ => Err(Refusal::bad_request(
            "ask for `connection`, the id of one there is or was, or for `source` and `destination` of one there might be".into(),
        )),
    }
}

fn did(sources: &Sources, id: &str) -> Result<Vec<u8>, Refusal> {
    let connection = connections::find(sources, id)?;
    let why = connection.id.parse().ok().and_then(|id| why::did(&sources.shown, id));
    let why = why.map(|why| Why { connection: Some(Box::new(connection)), ..why });
    why.map(|why| json(&why)).ok_or_else(|| connections::gone(id))
}
