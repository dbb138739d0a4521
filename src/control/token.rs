//! The bearer token of a call.

use tonic::Status;
use tonic::metadata::MetadataMap;

/// The token of an `authorization: Bearer` header.
pub(crate) fn bearer(metadata: &MetadataMap) -> Option<&str> {
    let (scheme, token) = metadata.get("authorization")?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// What a stranger is told: nothing more.
pub(crate) fn needed() -> Status {
    Status::unauthenticated("a valid bearer token is needed")
}
