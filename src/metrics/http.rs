//! The HTTP answer: which format and which encoding a client wants, and the text in pieces.
//!
//! A client that asks for something we do not have is shown the classic format as it is: whoever looks with a browser or a
//! script shall see something.

mod accept;
mod gzip;

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use futures::stream;

use crate::{Format, Metrics};
use accept::Encoding;

/// Answers with what is known at the moment, whatever the method. Of a body that is not sent nothing is made.
pub async fn exposition(State(metrics): State<Metrics>, headers: HeaderMap) -> Response {
    let format = accept::format(texts(&headers, &header::ACCEPT));
    let encoding = accept::encoding(texts(&headers, &header::ACCEPT_ENCODING));
    let mut answer = Response::new(body(&metrics, format, encoding));
    let head = answer.headers_mut();
    head.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(format)));
    head.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
    if let Some(name) = encoding.name() {
        head.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    answer
}

fn body(metrics: &Metrics, format: Format, encoding: Encoding) -> Body {
    let pieces = metrics.exposition(format).map(String::into_bytes);
    match encoding {
        Encoding::Identity => Body::from_stream(stream::iter(pieces.map(Ok::<_, Infallible>))),
        Encoding::Gzip => Body::from_stream(stream::iter(gzip::compress(pieces).map(Ok::<_, Infallible>))),
    }
}

fn content_type(format: Format) -> &'static str {
    match format {
        Format::Classic => "text/plain; version=0.0.4; charset=utf-8",
        Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
    }
}

/// All values of a header; what is not text is left out.
fn texts<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests;
