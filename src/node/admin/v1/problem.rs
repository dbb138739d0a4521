//! Why a request is not answered: `application/problem+json` (RFC 9457).

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use culvert_api::Problem;

/// The longest piece of a request that is quoted.
const LONGEST_QUOTE: usize = 100;

/// A request that is not answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal(Box<Problem>);

impl Refusal {
    fn new(status: StatusCode, detail: String) -> Self {
        let title = status.canonical_reason().unwrap_or_default().to_owned();
        Self(Box::new(Problem { status: status.as_u16(), title, detail }))
    }

    /// Something about the request makes no sense.
    pub(super) fn bad_request(detail: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// What is asked for is not here.
    pub(super) fn not_found(detail: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// There is no such path.
    pub(super) fn unknown_path(path: &str) -> Self {
        Self::not_found(format!("there is no {}; /v1/openapi.json describes what there is", quote(path)))
    }

    /// The path is there, and is only to be read.
    pub(super) fn wrong_method() -> Self {
        let detail = "everything below /v1 can be read by GET and HEAD, and nothing can be changed";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, detail.into())
    }

    /// Making the answer failed.
    pub(super) fn internal() -> Self {
        let detail =
            "the answer could not be made; the log of the node says why, and that is a bug to report";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers =
            [(header::CONTENT_TYPE, "application/problem+json"), (header::CACHE_CONTROL, "no-store")];
        (status, headers, super::json(&self.0)).into_response()
    }
}

/// A piece of a request, in so far as it is worth repeating.
pub(super) fn quote(text: &str) -> String {
    let mut quoted: String = text.chars().take(LONGEST_QUOTE).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST_QUOTE).is_some() {
        quoted.push('…');
    }
    format!("`{quoted}`")
}
